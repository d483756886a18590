//! What earlier runs left behind: unfinished uploads, and a manifest that not every store got.

use crate::base::error_chain::error_chain;
use crate::ops::state::OpenUpload;

use super::commit::{Placed, Placing};
use super::{Run, SnapshotError};

impl Run<'_> {
    /// Aborts uploads that this host began and never ended. What cannot be reached stays on
    /// record for the next run.
    pub(super) fn remove_leftovers(&self) -> Result<(), SnapshotError> {
        let slug = &self.settings.slug;
        let open = self.ports.state.open_uploads(slug)?;
        let kept: Vec<OpenUpload> = open.into_iter().filter(|left| !self.abort(left)).collect();
        self.ports.state.set_open_uploads(slug, &kept)?;
        Ok(())
    }

    /// True once nothing is left of the upload, or its store is no longer configured.
    fn abort(&self, left: &OpenUpload) -> bool {
        let mut stores = self.ports.destinations.iter().map(|to| &to.store);
        let Some(store) = stores.find(|store| *store.name() == left.store) else {
            return true;
        };
        let key = &left.ticket.key;
        match store.abort_upload(&left.ticket) {
            Ok(()) => {
                tracing::info!(store = %left.store, key, "removed an unfinished upload of an earlier run");
                true
            }
            Err(error) => {
                tracing::warn!(store = %left.store, key, error = %error_chain(&error), "cannot remove an unfinished upload");
                false
            }
        }
    }

    /// Puts the manifest of an earlier run where it is still missing: its escrow was complete,
    /// and some store may have committed it, so the others must get the same bytes.
    pub(super) fn finish_pending(&mut self) -> Result<(), SnapshotError> {
        let slug = &self.settings.slug;
        let Some(pending) = self.ports.state.pending(slug)? else {
            return Ok(());
        };
        tracing::info!(
            seq = pending.seq,
            "finishing the manifest of an earlier run"
        );
        let seq = pending.seq;
        let placing = self.place(pending);
        self.ports.cancel.check()?;
        match placing {
            // Another host took its place in the chain: the escrow is an orphan now.
            Placing::Lost => Ok(self.ports.state.clear_pending(slug)?),
            Placing::Placed(placed) => {
                self.remember(&placed)?;
                self.check_whereabouts(seq, placed)
            }
        }
    }

    /// A manifest that no store is known to hold may all the same lie in one that fails today.
    /// Another one in its place would be a fork, so the run stops here; stores that refuse this
    /// manifest would refuse the next one too.
    fn check_whereabouts(&self, seq: u64, placed: Placed) -> Result<(), SnapshotError> {
        let mark = self.ports.state.mark(&self.settings.slug)?;
        let is_known = mark.is_some_and(|mark| mark.seq >= seq);
        if is_known || placed.missing.is_empty() {
            return Ok(());
        }
        Err(SnapshotError::NoStore {
            told: placed.missing.into_values().collect(),
            first: None,
        })
    }
}
