//! Reading a payload back: parts are fetched ahead and verified, from whichever store still has
//! them whole.

mod copy;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::cancel::Cancel;
use crate::model::finding::Finding;
use crate::model::manifest::Payload;
use crate::sealing::parts::{PartError, VerifiedPart};
use crate::store::{StoreError, StoreErrorKind};

use crate::base::error_chain::error_chain;

use copy::Copy;
pub use copy::{CopySource, hidden, overwritten};

/// Parts that are fetched at once; with the one being opened, four are in memory.
const AHEAD: usize = 3;

/// Fetches the parts of one payload.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

struct Shared {
    copies: Vec<Copy>,
    key: String,
    payload: Payload,
    cancel: Cancel,
    /// The first of each kind for each copy, by its place in `copies`.
    findings: Mutex<BTreeMap<(usize, &'static str), Finding>>,
    on_bytes: Box<dyn Fn(u64) + Send + Sync>,
}

/// No store could give a part.
#[derive(Debug, thiserror::Error)]
#[error("no store has part {part} of {parts} whole; {last}")]
pub struct NoCopy {
    part: usize,
    parts: usize,
    last: String,
    is_damage: bool,
}

impl NoCopy {
    /// Whether a store holds something else than what was signed; else none could be read.
    pub fn is_damage(&self) -> bool {
        self.is_damage
    }
}

/// Whether a payload's stream failed because no store has the bytes that were signed; a store
/// that is merely away says nothing of what it holds.
pub fn is_damage(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        let no_copy = error.downcast_ref::<NoCopy>();
        if error.is::<PartError>() || no_copy.is_some_and(NoCopy::is_damage) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Fetcher {
    /// Reads the object `key` from `copies`, tried in order; one that has failed comes last from
    /// then on, so that copies damaged in different places still make a whole one. `on_bytes`
    /// is told the size of every part that arrived.
    pub fn new(
        copies: Vec<CopySource>,
        key: String,
        payload: Payload,
        cancel: Cancel,
        on_bytes: Box<dyn Fn(u64) + Send + Sync>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                copies: copies.into_iter().map(Copy::new).collect(),
                key,
                payload,
                cancel,
                findings: Mutex::default(),
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
        let findings = self.shared.findings.lock();
        let findings = findings.unwrap_or_else(PoisonError::into_inner);
        findings.values().cloned().collect()
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
        let part = part.unwrap_or_else(|_| Err(io::Error::other("fetching stopped")));
        if part.is_err() {
            // Whoever reads on must not get a stream with a hole.
            self.next = self.count;
        }
        Some(part)
    }
}

impl Shared {
    fn fetch(&self, index: usize) -> io::Result<VerifiedPart> {
        let mut last = "no store was named".to_owned();
        let mut is_damage = false;
        for copy in self.best_first() {
            self.cancel.check_io()?;
            match self.fetch_from(copy, index) {
                Ok(part) => return Ok(part),
                Err(FetchError::Store(error)) if error.kind == StoreErrorKind::Interrupted => {
                    return Err(io::Error::other(error));
                }
                Err(error) => {
                    last = error_chain(&error);
                    is_damage |= error.is_damage();
                    self.put_last(copy, &error);
                }
            }
        }
        Err(io::Error::other(NoCopy {
            part: index + 1,
            parts: self.payload.parts.len(),
            last,
            is_damage,
        }))
    }

    /// Places in `copies`, those that have not failed first.
    fn best_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.copies.len()).collect();
        order.sort_by_key(|copy| self.copies[*copy].has_failed());
        order
    }

    fn fetch_from(&self, copy: usize, index: usize) -> Result<VerifiedPart, FetchError> {
        let (key, payload) = (&self.key, &self.payload);
        let report = |finding| self.report(copy, finding);
        let part = self.copies[copy].fetch(key, payload, index, &report)?;
        let range = payload.part_range(index);
        (self.on_bytes)(range.end - range.start);
        Ok(part)
    }

    /// Remembers that a copy failed; each kind of failure is reported once.
    fn put_last(&self, copy: usize, error: &FetchError) {
        let failed = &self.copies[copy];
        failed.fail();
        let message = match error {
            // It names its store itself.
            FetchError::Store(_) => error_chain(error),
            _ => format!("store {}: {}", failed.store().name(), error_chain(error)),
        };
        self.report(
            copy,
            match error.is_damage() {
                true => Finding::violation("copy-damaged", message),
                false => Finding::warning("copy-unreadable", message),
            },
        );
    }

    fn report(&self, copy: usize, finding: Finding) {
        let findings = self.findings.lock();
        let mut findings = findings.unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(slot) = findings.entry((copy, finding.id)) {
            tracing::warn!("{}", finding.message);
            slot.insert(finding);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the copy is not what was signed: {0}")]
    Part(#[from] PartError),
    #[error("the copy is not what was signed: it has {actual} bytes instead of {signed}")]
    Size { actual: u64, signed: u64 },
}

impl FetchError {
    fn is_damage(&self) -> bool {
        !matches!(self, Self::Store(_))
    }

    /// Whether what was meant may be there all the same, in another version. Whatever is final may
    /// have been brought about by an overwrite.
    fn may_lie_beneath(&self) -> bool {
        match self {
            Self::Store(error) => !error.kind.is_passing(),
            Self::Part(_) | Self::Size { .. } => true,
        }
    }
}
