//! Reading a payload back: parts are fetched ahead and verified, from whichever store still has
//! them whole.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::cancel::Cancel;
use crate::model::finding::Finding;
use crate::model::manifest::Payload;
use crate::sealing::parts::{PartError, VerifiedPart};
use crate::store::{Store, StoreError, StoreErrorKind};

use crate::base::error_chain::error_chain;

/// Parts that are fetched at once; with the one being opened, five are in memory.
const AHEAD: usize = 4;

/// Fetches the parts of one payload.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

struct Shared {
    stores: Vec<Arc<dyn Store>>,
    key: String,
    payload: Payload,
    cancel: Cancel,
    /// The first store that has not failed yet.
    current: AtomicUsize,
    findings: Mutex<Vec<Finding>>,
    on_bytes: Box<dyn Fn(u64) + Send + Sync>,
}

/// No store could give a part.
#[derive(Debug, thiserror::Error)]
#[error("no store has part {part} of {parts} whole; {last}")]
pub struct NoCopy {
    part: usize,
    parts: usize,
    last: String,
}

impl Fetcher {
    /// Reads the object `key` from `stores`, tried in order. `on_bytes` is told the size of
    /// every part that arrived.
    pub fn new(
        stores: Vec<Arc<dyn Store>>,
        key: String,
        payload: Payload,
        cancel: Cancel,
        on_bytes: Box<dyn Fn(u64) + Send + Sync>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                stores,
                key,
                payload,
                cancel,
                current: AtomicUsize::new(0),
                findings: Mutex::new(Vec::new()),
                on_bytes,
            }),
        }
    }

    /// All parts in order, fetched ahead by a few threads. The threads end when the iterator is
    /// dropped.
    pub fn parts(&self) -> io::Result<Parts> {
        let count = self.shared.payload.parts.len();
        let lanes = (0..AHEAD.min(count))
            .map(|lane| {
                // A rendezvous: each thread holds one part until it is wanted.
                let (sender, receiver) = sync_channel(0);
                let shared = self.shared.clone();
                std::thread::Builder::new()
                    .name(format!("fetch-{lane}"))
                    .spawn(move || {
                        for index in (lane..count).step_by(AHEAD) {
                            let part = shared.fetch(index);
                            let failed = part.is_err();
                            if sender.send(part).is_err() || failed {
                                return;
                            }
                        }
                    })?;
                Ok(receiver)
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Parts {
            lanes,
            next: 0,
            count,
        })
    }

    /// What was found wrong with stores so far.
    pub fn findings(&self) -> Vec<Finding> {
        self.shared
            .findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Verified parts in order. See [`Fetcher::parts`].
pub struct Parts {
    lanes: Vec<Receiver<io::Result<VerifiedPart>>>,
    next: usize,
    count: usize,
}

impl Iterator for Parts {
    type Item = io::Result<VerifiedPart>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        let lane = &self.lanes[self.next % self.lanes.len()];
        self.next += 1;
        let part = lane.recv();
        Some(part.unwrap_or_else(|_| Err(io::Error::other("fetching stopped"))))
    }
}

impl Shared {
    fn fetch(&self, index: usize) -> io::Result<VerifiedPart> {
        let mut last = "no store was named".to_owned();
        loop {
            self.cancel.check_io()?;
            let current = self.current.load(Ordering::SeqCst);
            let Some(store) = self.stores.get(current) else {
                return Err(io::Error::other(NoCopy {
                    part: index + 1,
                    parts: self.payload.parts.len(),
                    last,
                }));
            };
            match self.fetch_from(store.as_ref(), index) {
                Ok(part) => return Ok(part),
                Err(FetchError::Store(error)) if error.kind == StoreErrorKind::Interrupted => {
                    return Err(io::Error::other(error));
                }
                Err(error) => {
                    last = error_chain(&error);
                    self.give_up_on(current, store.as_ref(), &error);
                }
            }
        }
    }

    fn fetch_from(&self, store: &dyn Store, index: usize) -> Result<VerifiedPart, FetchError> {
        let bytes = store.get_range(&self.key, self.payload.part_range(index))?;
        let size = bytes.len() as u64;
        let part = VerifiedPart::check(&self.payload, index, bytes)?;
        (self.on_bytes)(size);
        Ok(part)
    }

    /// Moves on to the next store; only the first thread that notices reports it.
    fn give_up_on(&self, current: usize, store: &dyn Store, error: &FetchError) {
        let moved =
            self.current
                .compare_exchange(current, current + 1, Ordering::SeqCst, Ordering::SeqCst);
        if moved.is_err() {
            return;
        }
        let message = format!("store {}: {}", store.name(), error_chain(error));
        tracing::warn!("{message}");
        let finding = match error {
            FetchError::Part(_) => Finding::violation("copy-damaged", message),
            FetchError::Store(_) => Finding::warning("copy-unreadable", message),
        };
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(finding);
    }
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the copy is not what was signed: {0}")]
    Part(#[from] PartError),
}
