//! What the stores claim to hold: listings of manifests and signatures, and their bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::SignerName;
use crate::base::text::printable;
use crate::model::finding::Finding;
use crate::model::layout::{Layout, ManifestKey};
use crate::model::manifest;
use crate::sealing::sshsig::MAX_SIGNATURE_BYTES;
use crate::store::{Store, StoreError};

use super::{HistoryError, is_missing};

/// Requests that are under way at once.
const CONCURRENCY: usize = 16;

/// What one store claims to hold.
pub(super) struct Listing {
    pub(super) store: Arc<dyn Store>,
    manifests: Vec<(String, ManifestKey)>,
    signatures: HashMap<Digest, Vec<SignerName>>,
    foreign: Vec<String>,
}

/// What all stores claim to hold.
pub(super) struct Listings {
    pub(super) answered: Vec<Listing>,
    failed: Vec<StoreError>,
}

/// A manifest object as one store served it, unverified.
pub(super) struct Candidate {
    /// Index of the store in [`Listings::answered`].
    pub(super) store: usize,
    pub(super) key: String,
    pub(super) claim: ManifestKey,
    pub(super) bytes: Result<Vec<u8>, StoreError>,
    /// The signature that most likely counts, where the store lists any.
    pub(super) likely: Option<Signature>,
}

/// A signature that a store claims to hold.
pub(super) struct SignatureClaim<'a> {
    store: &'a Arc<dyn Store>,
    pub(super) signer: &'a SignerName,
}

/// Who claims to have signed, and the armoured signature as a store served it.
pub(super) type Signature = (SignerName, Result<Vec<u8>, StoreError>);

impl SignatureClaim<'_> {
    fn fetch(&self, layout: &Layout, digest: &Digest) -> Signature {
        let key = layout.signature(digest, self.signer);
        let bytes = self.store.get(&key, MAX_SIGNATURE_BYTES as u64);
        (self.signer.clone(), bytes.map(|object| object.bytes))
    }
}

impl Listings {
    /// Lists every store at once, from sequence number `first` on.
    pub(super) fn read(stores: &[Arc<dyn Store>], layout: &Layout, first: u64) -> Self {
        let results: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = stores
                .iter()
                .map(|store| scope.spawn(|| Listing::read(store.clone(), layout, first)))
                .collect();
            running.into_iter().map(joined).collect()
        });
        let mut listings = Self {
            answered: Vec::new(),
            failed: Vec::new(),
        };
        for result in results {
            match result {
                Ok(listing) => listings.answered.push(listing),
                Err(error) => listings.failed.push(error),
            }
        }
        listings
    }

    /// Stores that did not answer, and names that do not belong.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let failed = self
            .failed
            .iter()
            .map(|error| Finding::warning("store-unreachable", error_chain(error)));
        let foreign = self.answered.iter().filter_map(Listing::foreign_objects);
        failed.chain(foreign).collect()
    }

    /// Whether every store answered.
    pub(super) fn are_complete(&self) -> bool {
        self.failed.is_empty()
    }

    /// The error for the case that no store answered.
    pub(super) fn no_store(self) -> HistoryError {
        let first = self.failed.into_iter().next();
        first.map_or_else(
            || HistoryError::Reread {
                seq: 0,
                source: None,
            },
            HistoryError::NoStore,
        )
    }

    /// Sequence numbers that any store claims, newest first, in batches that are fetched at once.
    pub(super) fn batches(&self) -> Vec<Vec<(usize, &str, ManifestKey)>> {
        let mut all: Vec<_> = self
            .answered
            .iter()
            .enumerate()
            .flat_map(|(store, listing)| {
                let keys = listing.manifests.iter();
                keys.map(move |(key, claim)| (store, key.as_str(), *claim))
            })
            .collect();
        all.sort_by(|a, b| (b.2.seq, a.0, a.1).cmp(&(a.2.seq, b.0, b.1)));
        all.chunks(4 * CONCURRENCY).map(<[_]>::to_vec).collect()
    }

    /// Fetches the manifests of one batch, each with the signature that most likely counts: one
    /// of `known` signers, else the first. A chain is read in two round trips per batch that way.
    pub(super) fn fetch(
        &self,
        batch: &[(usize, &str, ManifestKey)],
        layout: &Layout,
        known: &BTreeSet<SignerName>,
    ) -> Vec<Candidate> {
        concurrently(batch, |(store, key, claim)| {
            let listing = &self.answered[*store];
            let object = listing.store.get(key, manifest::MAX_BYTES);
            let bytes = object.map(|object| object.bytes);
            let likely = bytes.as_ref().ok().and_then(|bytes| {
                let digest = Digest::of(bytes);
                let claims = listing.signatures.get(&digest)?;
                let named = claims.iter().find(|signer| known.contains(signer));
                let claim = SignatureClaim {
                    store: &listing.store,
                    signer: named.or(claims.first())?,
                };
                Some(claim.fetch(layout, &digest))
            });
            Candidate {
                store: *store,
                key: (*key).to_owned(),
                claim: *claim,
                bytes,
                likely,
            }
        })
    }

    /// Every signature of the document `digest` that any store claims to hold. The same
    /// signature in two stores comes twice: one of them may have been spoilt.
    pub(super) fn signatures(&self, digest: &Digest) -> Vec<SignatureClaim<'_>> {
        let mut claims = Vec::new();
        for listing in &self.answered {
            let store = &listing.store;
            let signers = listing.signatures.get(digest).into_iter().flatten();
            claims.extend(signers.map(|signer| SignatureClaim { store, signer }));
        }
        claims
    }

    /// Fetches claimed signatures, a few at a time and only as long as somebody asks for more:
    /// anybody who can write to a store can make thousands of claims.
    pub(super) fn fetch_signatures<'s>(
        &'s self,
        claims: &'s [SignatureClaim<'s>],
        layout: &'s Layout,
        digest: &'s Digest,
    ) -> impl Iterator<Item = Signature> + 's {
        claims
            .chunks(CONCURRENCY)
            .flat_map(move |chunk| concurrently(chunk, |claim| claim.fetch(layout, digest)))
    }

    /// Reads a small content-addressed object from any store; none if no store has those bytes.
    pub(super) fn by_digest(&self, key: &str, digest: &Digest, max_bytes: u64) -> Option<Vec<u8>> {
        self.answered.iter().find_map(|listing| {
            let object = listing.store.get(key, max_bytes).ok()?;
            (Digest::of(&object.bytes) == *digest).then_some(object.bytes)
        })
    }
}

impl Listing {
    fn read(store: Arc<dyn Store>, layout: &Layout, first: u64) -> Result<Self, StoreError> {
        let mut listing = Self {
            store: store.clone(),
            manifests: Vec::new(),
            signatures: HashMap::new(),
            foreign: Vec::new(),
        };
        let before = layout.before_manifest(first);
        list(
            &*store,
            &layout.manifests(),
            Some(&before),
            &mut |key| match layout.parse_manifest(&key) {
                Some(claim) => listing.manifests.push((key, claim)),
                None => listing.foreign.push(key),
            },
        )?;
        list(&*store, &layout.signatures(), None, &mut |key| {
            if let Some((digest, signer)) = layout.parse_signature(&key) {
                listing.signatures.entry(digest).or_default().push(signer);
            }
        })?;
        Ok(listing)
    }

    /// Whether the store lists this signature.
    pub(super) fn names_signature(&self, digest: &Digest, signer: &SignerName) -> bool {
        let signers = self.signatures.get(digest);
        signers.is_some_and(|signers| signers.contains(signer))
    }

    /// One finding for all names that do not belong: there may be thousands.
    fn foreign_objects(&self) -> Option<Finding> {
        let first = self.foreign.first()?;
        let others = match self.foreign.len() {
            1 => " is".to_owned(),
            count => format!(" and {} more objects are", count - 1),
        };
        Some(Finding::note(
            "foreign-object",
            format!(
                "store {}: {}{others} not ours",
                self.store.name(),
                printable(first)
            ),
        ))
    }
}

/// Lists a prefix; a prefix under which there is nothing yet is empty, not an error.
fn list(
    store: &dyn Store,
    prefix: &str,
    after: Option<&str>,
    visit: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    let listed = store.list(prefix, after, &mut |meta| {
        visit(meta.key);
        ControlFlow::Continue(())
    });
    match listed {
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}

/// Runs `act` on every item with bounded concurrency; results keep the items' order.
fn concurrently<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return done;
            };
            done.push((index, act(item)));
        }
    };
    let results: BTreeMap<usize, R> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONCURRENCY.min(items.len()))
            .map(|_| scope.spawn(work))
            .collect();
        workers.into_iter().flat_map(joined).collect()
    });
    results.into_values().collect()
}

/// What a thread gave. Its panic goes on here: what it was to look at must not count as looked
/// at.
fn joined<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> T {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(
            concurrently(&items, |i| i * 2),
            items.iter().map(|i| i * 2).collect::<Vec<_>>()
        );
    }
}
