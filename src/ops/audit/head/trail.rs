//! The way from the newest manifest back to the one that was known before.

use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::Slug;
use crate::model::document::Document;
use crate::model::finding::{Finding, Severity};
use crate::model::layout::Layout;
use crate::model::manifest;
use crate::model::mark::Mark;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::{FOLLOWED, Head};

/// See the module.
pub(super) struct Trail<'a> {
    stores: Vec<&'a Arc<dyn Store>>,
    layout: Layout,
    /// Whether all stores gave what they were asked for.
    is_complete: bool,
    /// Stores that failed on the way.
    pub(super) findings: Vec<Finding>,
}

impl<'a> Trail<'a> {
    /// `is_complete` says whether these are all the stores.
    pub(super) fn new(slug: &Slug, stores: Vec<&'a Arc<dyn Store>>, is_complete: bool) -> Self {
        Self {
            stores,
            layout: Layout::new(slug),
            is_complete,
            findings: Vec::new(),
        }
    }

    /// Follows the chain back from the head to the mark: each manifest names the digest of the one
    /// before. Where that does not lead there, what is in the way.
    pub(super) fn follow(&mut self, head: &Head, mark: &Mark) -> Result<(), Finding> {
        let newest = head.mark();
        if newest.seq.saturating_sub(mark.seq) > FOLLOWED {
            return Err(too_far(mark));
        }
        let (mut named, mut prev) = (Some(newest.manifest_sha256), head.prev);
        for seq in (mark.seq..newest.seq).rev() {
            named = prev;
            if seq > mark.seq {
                let before = named.and_then(|digest| self.prev_of(seq, &digest));
                prev = before.ok_or_else(|| gap(seq))?;
            }
        }
        match named == Some(mark.manifest_sha256) {
            true => Ok(()),
            false => Err(rewritten(mark)),
        }
    }

    /// The finding, as far as it goes when a store that did not answer may hold what is missing.
    pub(super) fn doubted(&self, finding: Finding) -> Finding {
        let is_absence = matches!(finding.id, "chain-gap" | "rollback");
        match is_absence && !self.is_complete {
            true => Finding {
                severity: Severity::Warning,
                message: format!("{}; a store that failed may have it", finding.message),
                ..finding
            },
            false => finding,
        }
    }

    /// What the manifest of this digest says of its predecessor; none where no store has it. Its
    /// bytes are what a signed manifest names.
    fn prev_of(&mut self, seq: u64, digest: &Digest) -> Option<Option<Digest>> {
        let keys = [
            self.layout.manifest(seq),
            self.layout.manifest_beside(seq, digest),
        ];
        for store in &self.stores {
            match read_prev(store.as_ref(), &keys, digest) {
                Ok(None) => {}
                Ok(there) => return there,
                Err(error) => {
                    self.is_complete = false;
                    let failed = Finding::warning("store-unreachable", error_chain(&error));
                    self.findings.push(failed.about(store.name()));
                }
            }
        }
        None
    }
}

fn read_prev(
    store: &dyn Store,
    keys: &[String],
    digest: &Digest,
) -> Result<Option<Option<Digest>>, StoreError> {
    for key in keys {
        let bytes = match store.get(key, manifest::MAX_BYTES) {
            Ok(there) => there.bytes,
            Err(error) if is_another(error.kind) => continue,
            Err(error) => return Err(error),
        };
        if Digest::of(&bytes) == *digest
            && let Ok(document) = Document::parse(&bytes)
        {
            return Ok(Some(document.head.prev_sha256));
        }
    }
    Ok(None)
}

/// What is not there, or cannot be the manifest that was named.
fn is_another(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::NotFound | StoreErrorKind::TooLarge)
}

fn too_far(mark: &Mark) -> Finding {
    let after = mark.seq;
    let message = format!("more than {FOLLOWED} manifests came after manifest {after}");
    Finding::warning("head-too-far", message)
}

fn gap(seq: u64) -> Finding {
    let message = format!("manifest {seq} is missing, or another one");
    Finding::violation("chain-gap", message)
}

fn rewritten(mark: &Mark) -> Finding {
    let message = format!("manifest {} is not the one that was seen before", mark.seq);
    Finding::violation("history-rewritten", message)
}
