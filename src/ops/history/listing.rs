//! What one store claims to hold of an instance: its manifests and signatures, by name.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::names::SignerName;
use crate::base::text::printable;
use crate::model::finding::Finding;
use crate::model::layout::{Layout, ManifestKey};
use crate::ops::noncurrent::{self, Noncurrent, Sight};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::is_missing;
use super::signatures::{Claims, Signatures};

/// What one store claims to hold.
pub(super) struct Listing {
    pub(super) store: Arc<dyn Store>,
    pub(super) manifests: Vec<ManifestClaim>,
    signatures: Signatures,
    layout: Layout,
    foreign: Foreign,
    /// What kept noncurrent versions of manifests from being seen.
    unseen: Option<Finding>,
}

/// Names that do not belong: the first, and how many.
#[derive(Default)]
struct Foreign {
    first: Option<String>,
    count: usize,
}

/// An object that is named like a manifest.
pub(super) struct ManifestClaim {
    pub(super) key: String,
    pub(super) named: ManifestKey,
    pub(super) which: Which,
}

/// Which version of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// What a read without an id finds.
    Current,
    /// One that a delete marker hides.
    Hidden(String),
    /// One beneath another that was written over it.
    Overwritten(String),
}

impl Which {
    pub(super) fn of(noncurrent: &Noncurrent) -> impl Iterator<Item = Self> {
        let which = match noncurrent.is_hidden {
            true => Self::Hidden,
            false => Self::Overwritten,
        };
        noncurrent
            .versions()
            .map(move |version| which(version.id.clone()))
    }

    /// Reads that version.
    pub(super) fn get(
        &self,
        store: &dyn Store,
        key: &str,
        max_bytes: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let object = match (self, store.versions()) {
            (Self::Current, _) => store.get(key, max_bytes),
            (Self::Hidden(id) | Self::Overwritten(id), Some(versions)) => {
                versions.get_version(key, id, max_bytes)
            }
            (_, None) => {
                let kind = StoreErrorKind::Unsupported;
                Err(StoreError::new(store.name(), kind, "get version of", key))
            }
        };
        object.map(|object| object.bytes)
    }
}

impl Listing {
    /// Lists manifests from sequence number `first` on, those that are current and what lies
    /// beneath, and prepares for their signatures.
    pub(super) fn read(
        store: Arc<dyn Store>,
        layout: &Layout,
        first: u64,
    ) -> Result<Self, StoreError> {
        let mut manifests = Vec::new();
        let mut foreign = Foreign::default();
        let (prefix, before) = (layout.manifests(), layout.before_manifest(first));
        list(
            &*store,
            &prefix,
            Some(&before),
            &mut |key| match layout.parse_manifest(key) {
                Some(named) => manifests.push(ManifestClaim {
                    key: key.to_owned(),
                    named,
                    which: Which::Current,
                }),
                None => foreign.add(key),
            },
        )?;
        let mut is_manifest = |key: &str| layout.parse_manifest(key).is_some();
        let Sight { keys, finding } =
            noncurrent::look(&*store, &prefix, Some(&before), &mut is_manifest)?;
        for (key, noncurrent) in &keys {
            let named = layout.parse_manifest(key);
            manifests.extend(named.into_iter().flat_map(|named| {
                Which::of(noncurrent).map(move |which| ManifestClaim {
                    key: key.clone(),
                    named,
                    which,
                })
            }));
        }
        Ok(Self {
            signatures: Signatures::read(&*store, layout, manifests.len())?,
            layout: layout.clone(),
            store,
            manifests,
            foreign,
            unseen: finding,
        })
    }

    /// The signatures of a document that this store claims to hold.
    pub(super) fn signatures_of(&self, digest: &Digest) -> Arc<Claims> {
        self.signatures.of(&*self.store, &self.layout, digest)
    }

    /// Whether a plain read finds this signature, as far as is known.
    pub(super) fn names_signature(&self, digest: &Digest, signer: &SignerName) -> bool {
        let claims = self.signatures_of(digest);
        let mut known = claims.known.iter();
        claims.failed.is_some()
            || known.any(|claim| claim.signer == *signer && claim.which == Which::Current)
    }

    /// Whether all that was asked for was told.
    pub(super) fn is_complete(&self) -> bool {
        self.signatures.are_complete()
    }

    /// What is to be told once the signatures that are needed have been asked for.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.foreign_objects().into_iter().collect();
        let unseen = self.unseen.iter().cloned();
        for finding in unseen.chain(self.signatures.findings()) {
            if !findings.iter().any(|known| known.id == finding.id) {
                findings.push(finding);
            }
        }
        findings
    }

    /// One finding for all names that do not belong: there may be thousands.
    fn foreign_objects(&self) -> Option<Finding> {
        let first = self.foreign.first.as_ref()?;
        let others = match self.foreign.count {
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

impl Foreign {
    fn add(&mut self, key: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| key.to_owned());
    }
}

/// Lists a prefix; a prefix under which there is nothing yet is empty, not an error.
fn list(
    store: &dyn Store,
    prefix: &str,
    after: Option<&str>,
    visit: &mut dyn FnMut(&str),
) -> Result<(), StoreError> {
    let listed = store.list(prefix, after, &mut |meta| {
        visit(&meta.key);
        ControlFlow::Continue(())
    });
    match listed {
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}
