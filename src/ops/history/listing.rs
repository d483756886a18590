//! What one store claims to hold of an instance: its manifests and signatures, by name.

use std::collections::HashMap;
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

/// What one store claims to hold.
pub(super) struct Listing {
    pub(super) store: Arc<dyn Store>,
    pub(super) manifests: Vec<ManifestClaim>,
    pub(super) signatures: HashMap<Digest, Vec<SignatureClaim>>,
    foreign: Vec<String>,
    /// What kept noncurrent versions from being seen.
    unseen: Vec<Finding>,
}

/// An object that is named like a manifest.
pub(super) struct ManifestClaim {
    pub(super) key: String,
    pub(super) named: ManifestKey,
    pub(super) which: Which,
}

/// An object that is named like a signature.
pub(super) struct SignatureClaim {
    pub(super) signer: SignerName,
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
    fn of(noncurrent: &Noncurrent) -> impl Iterator<Item = Self> {
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
    /// Lists manifests from sequence number `first` on, and all signatures: those that are
    /// current, and what lies beneath.
    pub(super) fn read(
        store: Arc<dyn Store>,
        layout: &Layout,
        first: u64,
    ) -> Result<Self, StoreError> {
        let mut listing = Self {
            store: store.clone(),
            manifests: Vec::new(),
            signatures: HashMap::new(),
            foreign: Vec::new(),
            unseen: Vec::new(),
        };
        let before = Some(layout.before_manifest(first));
        let each = [
            (layout.manifests(), before, Self::add_manifest as Add),
            (layout.signatures(), None, Self::add_signature as Add),
        ];
        for (prefix, before, add) in each {
            let before = before.as_deref();
            list(&*store, &prefix, before, &mut |key| {
                add(&mut listing, layout, key, Which::Current);
            })?;
            let Sight { keys, finding } = noncurrent::look(&*store, &prefix, before)?;
            for (key, noncurrent) in &keys {
                for which in Which::of(noncurrent) {
                    add(&mut listing, layout, key, which);
                }
            }
            let known = |finding: &Finding| listing.unseen.iter().any(|one| one.id == finding.id);
            let fresh = finding.filter(|finding| !known(finding));
            listing.unseen.extend(fresh);
        }
        Ok(listing)
    }

    fn add_manifest(&mut self, layout: &Layout, key: &str, which: Which) {
        match layout.parse_manifest(key) {
            Some(named) => self.manifests.push(ManifestClaim {
                key: key.to_owned(),
                named,
                which,
            }),
            None if which == Which::Current => self.foreign.push(key.to_owned()),
            None => {}
        }
    }

    fn add_signature(&mut self, layout: &Layout, key: &str, which: Which) {
        if let Some((digest, signer)) = layout.parse_signature(key) {
            let claims = self.signatures.entry(digest).or_default();
            claims.push(SignatureClaim { signer, which });
        }
    }

    /// Whether a plain read finds this signature.
    pub(super) fn names_signature(&self, digest: &Digest, signer: &SignerName) -> bool {
        let mut claims = self.signatures.get(digest).into_iter().flatten();
        claims.any(|claim| claim.signer == *signer && claim.which == Which::Current)
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.foreign_objects()
            .into_iter()
            .chain(self.unseen.iter().cloned())
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

type Add = fn(&mut Listing, &Layout, &str, Which);

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
