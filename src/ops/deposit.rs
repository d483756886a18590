//! Documents beside the chain: put into every store, the signature before what it signs.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::{SignerName, StoreName};
use crate::base::time::UtcTime;
use crate::model::layout::Layout;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::destination::Destination;
use super::noncurrent::get_document;

/// A document that somebody signed.
pub(super) struct Deposit<'a> {
    pub(super) signer: &'a SignerName,
    /// Where it belongs.
    pub(super) key: &'a str,
    pub(super) document: &'a [u8],
    pub(super) signature: &'a [u8],
    /// Its date, from which on it is locked as long as manifests are.
    pub(super) at: UtcTime,
}

impl Deposit<'_> {
    /// Returns what each store did not take.
    pub(super) fn put<'d>(
        &self,
        layout: &Layout,
        destinations: impl IntoIterator<Item = &'d Destination>,
    ) -> BTreeMap<StoreName, String> {
        let signature = layout.signature(&Digest::of(self.document), self.signer);
        let mut lacking = BTreeMap::new();
        for destination in destinations {
            let store = destination.for_documents(self.at);
            let done = put(store.as_ref(), &signature, self.signature)
                .and_then(|()| put(store.as_ref(), self.key, self.document));
            if let Err(error) = done {
                lacking.insert(store.name().clone(), error_chain(&error));
            }
        }
        lacking
    }
}

/// What lies beneath an overwrite is there: readers look for it.
fn put(store: &dyn Store, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
    match store.put_if_absent(key, bytes) {
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
            match get_document(store, key, &Digest::of(bytes), bytes.len() as u64)? {
                Some(_) => Ok(()),
                None => Err(error),
            }
        }
        put => put.map(drop),
    }
}
