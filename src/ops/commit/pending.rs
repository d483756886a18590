//! A manifest of an earlier run that not every store got.

use crate::model::amend::Change;
use crate::model::document::Document;
use crate::model::layout::Layout;
use crate::model::manifest::Unlock;
use crate::ops::state::Pending;
use crate::store::{Store, StoreErrorKind};

use super::place::{Placed, Placing};
use super::{CommitError, Committer};

impl Committer<'_> {
    /// Puts the manifest of an earlier run where it is still missing: what it commits was complete,
    /// and some store may have committed it, so the others must get the same bytes.
    pub fn finish_pending(&mut self) -> Result<(), CommitError> {
        let slug = self.author.slug;
        let Some(pending) = self.ports.state.pending(slug)? else {
            return Ok(());
        };
        if !self.is_still_there(&pending)? {
            return Ok(self.ports.state.abandon_pending(slug)?);
        }
        let seq = pending.seq;
        tracing::info!(seq, "finishing the manifest of an earlier run");
        let placing = self.place(pending);
        self.ports.cancel.check()?;
        match placing {
            // Another host took its place in the chain: the escrow is an orphan now.
            Placing::Lost => Ok(self.ports.state.abandon_pending(slug)?),
            Placing::Placed(placed) => {
                self.remember(&placed)?;
                self.check_whereabouts(seq, placed)
            }
        }
    }

    /// Whether some store has what a manifest commits that no store is known to have taken: after
    /// two days nobody knows what it belongs to, and `prune` sweeps it.
    fn is_still_there(&self, pending: &Pending) -> Result<bool, CommitError> {
        let mark = self.ports.state.mark(self.author.slug)?;
        if mark.is_some_and(|mark| mark.seq >= pending.seq) {
            return Ok(true);
        }
        // It was written by this host, under the state's own name.
        let Ok(document) = Document::parse(pending.manifest.as_bytes()) else {
            return Ok(true);
        };
        let committed = commits(&document, &self.layout);
        let whole = |objects: &Vec<(String, u64)>| {
            let mut stores = self.ports.destinations.iter().map(|to| to.store.as_ref());
            stores.any(|store| {
                objects
                    .iter()
                    .all(|(key, size)| may_hold(store, key, *size))
            })
        };
        Ok(committed.iter().all(whole))
    }

    /// A manifest that no store is known to hold may all the same lie in one that fails today.
    /// Another one in its place would be a fork, so the run stops here; stores that refuse this
    /// manifest would refuse the next one too.
    fn check_whereabouts(&self, seq: u64, placed: Placed) -> Result<(), CommitError> {
        let mark = self.ports.state.mark(self.author.slug)?;
        let is_known = mark.is_some_and(|mark| mark.seq >= seq);
        if is_known || placed.missing.is_empty() {
            return Ok(());
        }
        Err(CommitError::NoStore {
            told: placed.missing.into_values().collect(),
            first: None,
        })
    }
}

/// Keys and sizes of the payload and the unlock files of each sealing that a manifest commits.
fn commits(document: &Document, layout: &Layout) -> Vec<Vec<(String, u64)>> {
    let sealing = |payload: (String, u64), unlock: &[Unlock]| {
        let unlock = unlock.iter().map(|one| (one.key.clone(), one.size));
        std::iter::once(payload).chain(unlock).collect()
    };
    let first = document.escrow.iter().map(|manifest| {
        let payload = (layout.payload(manifest.sealed()), manifest.payload.size);
        sealing(payload, &manifest.unlock)
    });
    let later = document.changes.iter().filter_map(|change| match change {
        Change::Rekeyed(rekeyed) => {
            let payload = (layout.payload(rekeyed.sealed()), rekeyed.payload.size);
            Some(sealing(payload, &rekeyed.unlock))
        }
        _ => None,
    });
    first.chain(later).collect()
}

/// A store that does not answer may hold it.
fn may_hold(store: &dyn Store, key: &str, size: u64) -> bool {
    match store.head(key) {
        Ok(meta) => meta.size == size,
        Err(error) => error.kind != StoreErrorKind::NotFound,
    }
}
