//! Uploads on record: begun by this host, and not known to have ended.

use crate::base::error_chain::error_chain;
use crate::base::names::Slug;

use super::destination::Destination;
use super::state::{OpenUpload, State, StateError};

/// The record of one instance's uploads. The caller holds the state's lock.
#[derive(Clone, Copy)]
pub struct OpenUploads<'a> {
    /// Where it is kept.
    pub state: &'a State,
    /// Whose.
    pub slug: &'a Slug,
}

impl OpenUploads<'_> {
    /// Aborts what earlier runs began and never ended. What cannot be reached stays on record for
    /// the next run.
    pub fn remove_leftovers(&self, destinations: &[Destination]) -> Result<(), StateError> {
        let open = self.state.open_uploads(self.slug)?;
        let kept = open.into_iter().filter(|left| !abort(left, destinations));
        let kept: Vec<OpenUpload> = kept.collect();
        self.state.set_open_uploads(self.slug, &kept)
    }

    /// Puts an upload on record, before its first part is put.
    pub fn record(&self, upload: OpenUpload) -> Result<(), StateError> {
        // What an earlier run left and could not be reached stays on record.
        let mut open = self.state.open_uploads(self.slug)?;
        open.push(upload);
        self.state.set_open_uploads(self.slug, &open)
    }

    /// Takes uploads that are known to have ended off the record.
    pub fn forget(&self, ended: &[OpenUpload]) -> Result<(), StateError> {
        let mut open = self.state.open_uploads(self.slug)?;
        open.retain(|left| !ended.contains(left));
        self.state.set_open_uploads(self.slug, &open)
    }
}

/// True once nothing is left of the upload, or its store is no longer configured.
fn abort(left: &OpenUpload, destinations: &[Destination]) -> bool {
    let mut stores = destinations.iter().map(|to| &to.store);
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
