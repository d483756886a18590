//! What the stores claim to hold: listings of manifests and signatures, and their bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::{SignerName, StoreName};
use crate::model::finding::Finding;
use crate::model::layout::{Layout, ManifestKey};
use crate::model::manifest;
use crate::ops::noncurrent;
use crate::sealing::sshsig::MAX_SIGNATURE_BYTES;
use crate::store::{Store, StoreError};

use super::HistoryError;
use super::listing::{Listing, ManifestClaim, Which};
use super::signatures::SignatureClaim;

/// Requests that are under way at once.
const CONCURRENCY: usize = 16;

/// What all stores claim to hold.
pub(super) struct Listings {
    pub(super) answered: Vec<Listing>,
    failed: Vec<StoreError>,
}

/// A claim, and the index of its store in [`Listings::answered`].
pub(super) type Placed<'a> = (usize, &'a ManifestClaim);

/// A manifest object as one store served it, unverified.
pub(super) struct Candidate {
    /// Index of the store in [`Listings::answered`].
    pub(super) store: usize,
    pub(super) key: String,
    pub(super) claim: ManifestKey,
    pub(super) which: Which,
    pub(super) bytes: Result<Vec<u8>, StoreError>,
    /// The signature that most likely counts, where the store lists any.
    pub(super) likely: Option<Signature>,
}

/// A signature that a store claims to hold.
pub(super) struct StoredSignature {
    store: Arc<dyn Store>,
    pub(super) claim: SignatureClaim,
}

/// What all stores claim to hold of one document's signatures.
pub(super) struct StoredSignatures {
    pub(super) known: Vec<StoredSignature>,
    /// Whether a store did not say which it has.
    pub(super) is_partial: bool,
}

/// A signature as a store served it.
pub(super) struct Signature {
    /// Who claims to have signed.
    pub(super) signer: SignerName,
    pub(super) store: StoreName,
    pub(super) which: Which,
    /// Armoured.
    pub(super) bytes: Result<Vec<u8>, StoreError>,
}

/// A document that some store had under its digest.
pub(super) struct ByDigest {
    pub(super) bytes: Vec<u8>,
    /// The store, where the document lay behind a delete or beneath an overwrite.
    pub(super) beneath: Option<StoreName>,
}

impl StoredSignature {
    fn fetch(&self, layout: &Layout, digest: &Digest) -> Signature {
        let SignatureClaim { signer, which } = &self.claim;
        let key = layout.signature(digest, signer);
        Signature {
            signer: signer.clone(),
            store: self.store.name().clone(),
            which: which.clone(),
            bytes: which.get(self.store.as_ref(), &key, MAX_SIGNATURE_BYTES as u64),
        }
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

    /// Stores that did not answer.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let failed = self.failed.iter();
        failed
            .map(|error| {
                Finding::warning("store-unreachable", error_chain(error)).about(&error.store)
            })
            .collect()
    }

    /// Names that do not belong, and what could not be seen, once everything was looked at.
    pub(super) fn late_findings(&self) -> impl Iterator<Item = Finding> {
        self.answered.iter().flat_map(Listing::findings)
    }

    /// Whether every store answered, whatever it was asked for.
    pub(super) fn are_complete(&self) -> bool {
        self.failed.is_empty() && self.answered.iter().all(Listing::is_complete)
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
    pub(super) fn batches(&self) -> Vec<Vec<Placed<'_>>> {
        let stores = self.answered.iter().enumerate();
        let mut all: Vec<Placed<'_>> = stores
            .flat_map(|(store, listing)| listing.manifests.iter().map(move |one| (store, one)))
            .collect();
        // Stable: the versions of one key stay in their order, the current one first.
        all.sort_by(|(a_store, a), (b_store, b)| {
            (b.named.seq, a_store, &a.key).cmp(&(a.named.seq, b_store, &b.key))
        });
        all.chunks(4 * CONCURRENCY).map(<[_]>::to_vec).collect()
    }

    /// Fetches the manifests of one batch, each with the signature that most likely counts: one
    /// of `known` signers, else the first. A chain is read in two round trips per batch that way.
    pub(super) fn fetch(
        &self,
        batch: &[Placed<'_>],
        layout: &Layout,
        known: &BTreeSet<SignerName>,
    ) -> Vec<Candidate> {
        concurrently(batch, |(store, claim)| {
            let listing = &self.answered[*store];
            let bytes = claim
                .which
                .get(listing.store.as_ref(), &claim.key, manifest::MAX_BYTES);
            let likely = bytes.as_ref().ok().and_then(|bytes| {
                let digest = Digest::of(bytes);
                Some(likely(listing, &digest, known)?.fetch(layout, &digest))
            });
            Candidate {
                store: *store,
                key: claim.key.clone(),
                claim: claim.named,
                which: claim.which.clone(),
                bytes,
                likely,
            }
        })
    }

    /// Every signature of the document `digest` that any store claims to hold. The same
    /// signature in two stores comes twice: one of them may have been spoilt.
    pub(super) fn signatures(&self, digest: &Digest) -> StoredSignatures {
        let mut stored = StoredSignatures {
            known: Vec::new(),
            is_partial: false,
        };
        let claims = concurrently(&self.answered, |listing| listing.signatures_of(digest));
        for (listing, claims) in self.answered.iter().zip(claims) {
            if let Some(error) = &claims.failed {
                tracing::debug!(error = %error_chain(error), "signatures were not listed");
                stored.is_partial = true;
            }
            let known = claims.known.iter();
            stored.known.extend(known.map(|claim| StoredSignature {
                store: listing.store.clone(),
                claim: claim.clone(),
            }));
        }
        stored
    }

    /// Fetches claimed signatures, a few at a time and only as long as somebody asks for more:
    /// anybody who can write to a store can make thousands of claims.
    pub(super) fn fetch_signatures<'s>(
        &'s self,
        claims: &'s [StoredSignature],
        layout: &'s Layout,
        digest: &'s Digest,
    ) -> impl Iterator<Item = Signature> + 's {
        claims
            .chunks(CONCURRENCY)
            .flat_map(move |chunk| concurrently(chunk, |claim| claim.fetch(layout, digest)))
    }

    /// Reads a small content-addressed object from any store; none if no store has those bytes.
    pub(super) fn by_digest(&self, key: &str, digest: &Digest, max_bytes: u64) -> Option<ByDigest> {
        self.answered.iter().find_map(|listing| {
            let store = listing.store.as_ref();
            let found = noncurrent::get_document(store, key, digest, max_bytes).ok()??;
            Some(ByDigest {
                bytes: found.bytes,
                beneath: found.is_beneath.then(|| store.name().clone()),
            })
        })
    }
}

fn likely(
    listing: &Listing,
    digest: &Digest,
    known: &BTreeSet<SignerName>,
) -> Option<StoredSignature> {
    let claims = listing.signatures_of(digest);
    let claims = claims.known.iter();
    let mut current = claims.filter(|claim| claim.which == Which::Current);
    let named = current.clone().find(|claim| known.contains(&claim.signer));
    Some(StoredSignature {
        store: listing.store.clone(),
        claim: named.or(current.next())?.clone(),
    })
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
