//! One pass, many stores: every sealed part goes to all stores at the same time.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::sealing::parts::{PartSink, SealedPart};
use crate::store::{ObjectMeta, Part, Store, StoreError, StoreErrorKind, Upload, UploadTicket};

/// Parts that one store uploads at once. With two stores and the part being filled, at most
/// seven parts are in memory.
const UPLOADS_PER_STORE: usize = 2;

/// What became of one store's copy.
pub struct StoreOutcome {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its copy, or why there is none.
    pub result: Result<ObjectMeta, StoreError>,
}

/// Uploads one object to several stores. A store that fails drops out; the others go on.
pub struct FanOut {
    lanes: Vec<Lane>,
}

struct Lane {
    store: Arc<dyn Store>,
    upload: Option<Arc<Box<dyn Upload>>>,
    failure: Arc<Mutex<Option<StoreError>>>,
    queue: Option<SyncSender<Part>>,
    workers: Vec<JoinHandle<()>>,
}

impl FanOut {
    /// Begins the object in every store. `record` keeps each upload's ticket before its first
    /// part is put, so that a later run can remove what a crash leaves behind.
    pub fn start(
        stores: &[Arc<dyn Store>],
        key: &str,
        part_size: u64,
        record: &mut dyn FnMut(&dyn Store, UploadTicket) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut fan_out = Self { lanes: Vec::new() };
        for store in stores {
            match store.start_upload(key, part_size) {
                Err(error) => fan_out.lanes.push(Lane::failed(store.clone(), error)),
                Ok(upload) => {
                    if let Err(error) = record(store.as_ref(), upload.ticket()) {
                        give_up(store.as_ref(), Some(upload));
                        return Err(error);
                    }
                    fan_out.lanes.push(Lane::start(store.clone(), upload)?);
                }
            }
        }
        Ok(fan_out)
    }

    /// Completes the object in every store that took all parts.
    pub fn finish(mut self) -> Vec<StoreOutcome> {
        let lanes = std::mem::take(&mut self.lanes);
        std::thread::scope(|scope| {
            let finishing: Vec<_> = lanes
                .into_iter()
                .map(|lane| {
                    let store = lane.store.clone();
                    (store, scope.spawn(move || lane.finish()))
                })
                .collect();
            finishing
                .into_iter()
                .map(|(store, handle)| StoreOutcome {
                    result: handle.join().unwrap_or_else(|_| Err(died(store.as_ref()))),
                    store,
                })
                .collect()
        })
    }
}

impl PartSink for FanOut {
    fn part(&mut self, part: SealedPart) -> io::Result<()> {
        let part = Part {
            number: part.number,
            bytes: part.bytes,
            md5: part.md5,
        };
        let mut taken = false;
        for lane in &mut self.lanes {
            taken |= lane.send(&part);
        }
        if taken {
            return Ok(());
        }
        let first = self
            .lanes
            .iter()
            .find_map(|lane| lock(&lane.failure).take());
        Err(match first {
            Some(error) => io::Error::other(error),
            None => io::Error::other("no store takes the payload"),
        })
    }
}

impl Drop for FanOut {
    fn drop(&mut self) {
        for lane in self.lanes.drain(..) {
            lane.abort();
        }
    }
}

impl Lane {
    fn start(store: Arc<dyn Store>, upload: Box<dyn Upload>) -> io::Result<Self> {
        let upload = Arc::new(upload);
        let failure = Arc::new(Mutex::new(None));
        let (sender, receiver) = sync_channel(1);
        let receiver = Arc::new(Mutex::new(receiver));
        let workers = (0..UPLOADS_PER_STORE)
            .map(|_| {
                let (upload, failure, receiver) =
                    (upload.clone(), failure.clone(), receiver.clone());
                std::thread::Builder::new()
                    .name(format!("upload-{}", store.name()))
                    .spawn(move || put_parts(upload.as_ref().as_ref(), &receiver, &failure))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            store,
            upload: Some(upload),
            failure,
            queue: Some(sender),
            workers,
        })
    }

    fn failed(store: Arc<dyn Store>, error: StoreError) -> Self {
        Self {
            store,
            upload: None,
            failure: Arc::new(Mutex::new(Some(error))),
            queue: None,
            workers: Vec::new(),
        }
    }

    /// Queues a part; false once the store has failed.
    fn send(&mut self, part: &Part) -> bool {
        if lock(&self.failure).is_some() {
            self.queue = None;
        }
        let queue = self.queue.as_ref();
        queue.is_some_and(|queue| queue.send(part.clone()).is_ok())
    }

    /// Waits for the workers; what is left is the upload, held by nobody else.
    fn join(&mut self) -> Option<Box<dyn Upload>> {
        self.queue = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        self.upload.take().and_then(Arc::into_inner)
    }

    fn finish(mut self) -> Result<ObjectMeta, StoreError> {
        let upload = self.join();
        let failure = lock(&self.failure).take();
        match (failure, upload) {
            (None, Some(upload)) => upload.complete(),
            (failure, upload) => {
                give_up(self.store.as_ref(), upload);
                Err(failure.unwrap_or_else(|| died(self.store.as_ref())))
            }
        }
    }

    fn abort(mut self) {
        let upload = self.join();
        give_up(self.store.as_ref(), upload);
    }
}

/// Puts queued parts until the queue closes. After a failure it only drains the queue, so that
/// the sealing never waits for a store that is lost.
fn put_parts(
    upload: &dyn Upload,
    queue: &Mutex<Receiver<Part>>,
    failure: &Mutex<Option<StoreError>>,
) {
    loop {
        let next = lock(queue).recv();
        let Ok(part) = next else { return };
        if lock(failure).is_some() {
            continue;
        }
        if let Err(error) = upload.put_part(&part) {
            lock(failure).get_or_insert(error);
        }
    }
}

fn give_up(store: &dyn Store, upload: Option<Box<dyn Upload>>) {
    let Some(upload) = upload else { return };
    if let Err(error) = upload.abort() {
        // The next run tries again: the upload's ticket is on record.
        tracing::warn!(store = %store.name(), %error, "could not remove an unfinished upload");
    }
}

fn died(store: &dyn Store) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Unexpected,
        store: store.name().clone(),
        action: "upload",
        key: String::new(),
        source: None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
