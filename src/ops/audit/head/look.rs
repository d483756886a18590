//! The look at one store.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::SignerName;
use crate::model::audit::facts::{EscrowSeen, HeadSeen, Seen};
use crate::model::document::Document;
use crate::model::finding::Finding;
use crate::model::layout::{Layout, ManifestKey};
use crate::model::manifest::{self, Manifest};
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::model::trust::Authentic;
use crate::ops::audit::signed::{Refused, authenticate, names_of};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::{Head, HeadRequest};

/// How many of the newest names are looked at until one verifies: anybody who can write to a store
/// can plant others.
const LOOKED_AT: usize = 8;

/// How many manifests between the mark and the head are followed.
const FOLLOWED: u64 = 32;

/// See the module.
pub(super) struct Look<'a> {
    request: &'a HeadRequest<'a>,
    store: &'a dyn Store,
    layout: Layout,
    findings: Vec<Finding>,
}

impl<'a> Look<'a> {
    pub(super) fn new(request: &'a HeadRequest<'a>, store: &'a Arc<dyn Store>) -> Self {
        Self {
            request,
            store: store.as_ref(),
            layout: Layout::new(request.slug),
            findings: Vec::new(),
        }
    }

    /// The newest manifest that counts, and what is wrong.
    pub(super) fn head(mut self) -> (Option<Head>, Vec<Finding>) {
        let head = self.try_head().unwrap_or_else(|error| {
            let finding = Finding::warning("store-unreachable", error_chain(&error));
            self.findings.push(finding);
            None
        });
        (head, self.findings)
    }

    fn try_head(&mut self) -> Result<Option<Head>, StoreError> {
        for (key, named) in self.newest_names()? {
            if let Some(mut head) = self.verify(&key, named)? {
                self.hold_against_mark(&head)?;
                self.find_escrow(&mut head)?;
                return Ok(Some(head));
            }
        }
        if let Some(mark) = self.request.mark {
            let seq = mark.seq;
            let message = format!("manifest {seq}, seen before, is not there");
            self.findings.push(Finding::violation("rollback", message));
        }
        Ok(None)
    }

    /// The newest names, the newest first. From the mark on, as older ones change nothing.
    fn newest_names(&self) -> Result<VecDeque<(String, ManifestKey)>, StoreError> {
        let mark = self.request.mark;
        let after = mark.map(|mark| self.layout.before_manifest(mark.seq));
        let mut newest = VecDeque::new();
        let prefix = self.layout.manifests();
        let listed = self.store.list(&prefix, after.as_deref(), &mut |meta| {
            if let Some(named) = self.layout.parse_manifest(&meta.key) {
                newest.push_front((meta.key, named));
                newest.truncate(LOOKED_AT);
            }
            ControlFlow::Continue(())
        });
        match listed {
            Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
            _ => Ok(newest),
        }
    }

    /// The manifest, if it is one that counts; else what is wrong with it is told.
    fn verify(&mut self, key: &str, named: ManifestKey) -> Result<Option<Head>, StoreError> {
        let read = match self.store.get(key, manifest::MAX_BYTES) {
            Ok(there) => self.judge(&there.bytes, named)?,
            Err(error) if error.kind == StoreErrorKind::TooLarge => {
                let which = self.which(named);
                let message = format!("{which}: too large for a manifest");
                Err(Finding::violation("unverified-manifest", message))
            }
            Err(error) => return Err(error),
        };
        Ok(read.map_err(|finding| self.findings.push(finding)).ok())
    }

    fn judge(&self, bytes: &[u8], named: ManifestKey) -> Result<Result<Head, Finding>, StoreError> {
        let digest = Digest::of(bytes);
        let by = self.authenticate(bytes, &digest)?;
        let which = self.which(named);
        Ok(by
            .map_err(|why| Finding::violation("unverified-manifest", format!("{which}: {why}")))
            .and_then(|by| self.examine(bytes, digest, named, by)))
    }

    /// Reads a manifest whose signature is good.
    fn examine(
        &self,
        bytes: &[u8],
        digest: Digest,
        named: ManifestKey,
        by: Authentic,
    ) -> Result<Head, Finding> {
        let which = self.which(named);
        let document = Document::parse(bytes).map_err(|error| {
            let message = format!("{which}: {}", error_chain(&error));
            Finding::violation("manifest-unreadable", message)
        })?;
        let head = &document.head;
        if head.instance.slug != *self.request.slug || head.seq != named.seq {
            let (seq, slug) = (head.seq, &head.instance.slug);
            let message = format!("{which}: in truth manifest {seq} of instance {slug}");
            return Err(Finding::violation("misplaced-manifest", message));
        }
        by.check_window(head.created_at).map_err(|error| {
            let message = format!("{which}: {}", error_chain(&error));
            Finding::violation("signer-window", message)
        })?;
        let seen = HeadSeen {
            mark: Mark {
                seq: named.seq,
                manifest_sha256: digest,
            },
            created_at: head.created_at,
            next_due: head.next_due,
            signer: by.signer,
            key: by.fingerprint,
        };
        let escrow = document.escrow.as_deref();
        Ok(Head {
            prev: head.prev_sha256,
            escrow: Seen::Known(escrow.map(|manifest| escrow_of(manifest, &seen))),
            seen,
        })
    }

    fn which(&self, named: ManifestKey) -> String {
        format!("manifest {} in store {}", named.seq, self.store.name())
    }

    /// By the names that the reader knows; where none of them is good, by those that lie there.
    fn authenticate(
        &self,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<Result<Authentic, String>, StoreError> {
        let known = self.request.trust.signers_for(Namespace::Manifest);
        let refused = match self.first_good(bytes, digest, &known)? {
            Ok(by) => return Ok(Ok(by)),
            Err(why) => why,
        };
        let mut others = names_of(self.store, &self.layout, digest)?;
        others.retain(|name| !known.contains(name));
        match others.is_empty() {
            true => Ok(Err(refused)),
            false => self.first_good(bytes, digest, &others),
        }
    }

    fn first_good(
        &self,
        bytes: &[u8],
        digest: &Digest,
        names: &[SignerName],
    ) -> Result<Result<Authentic, String>, StoreError> {
        let mut why = "no signature".to_owned();
        for name in names {
            let key = self.layout.signature(digest, name);
            let trust = self.request.trust;
            match authenticate(self.store, &key, bytes, name, trust, Namespace::Manifest) {
                Ok(by) => return Ok(Ok(by)),
                Err(Refused::Unsigned(reason)) => why = reason,
                Err(Refused::Unread(reason)) => {
                    let kind = StoreErrorKind::Transient;
                    let error = StoreError::new(self.store.name(), kind, "get", &key);
                    return Err(error.caused_by(reason));
                }
            }
        }
        Ok(Err(why))
    }

    /// Where the head only reports of earlier manifests: goes back, link by link, to the newest
    /// that commits an escrow.
    fn find_escrow(&mut self, head: &mut Head) -> Result<(), StoreError> {
        let (mut seq, mut prev) = (head.seen.mark.seq, head.prev);
        for _ in 0..FOLLOWED {
            let (Seen::Known(None), Some(digest)) = (&head.escrow, prev) else {
                return Ok(());
            };
            seq -= 1;
            let Some(before) = self.verify_at(seq, &digest)? else {
                break;
            };
            prev = before.prev;
            head.escrow = before.escrow;
        }
        if head.escrow == Seen::Known(None) {
            head.escrow = Seen::unknown("the newest manifests report of earlier ones");
        }
        Ok(())
    }

    /// The manifest of this place, if it is this one.
    fn verify_at(&mut self, seq: u64, digest: &Digest) -> Result<Option<Head>, StoreError> {
        let named = ManifestKey { seq, digest: None };
        match self.verify(&self.layout.manifest(seq), named) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            read => Ok(read?.filter(|one| one.seen.mark.manifest_sha256 == *digest)),
        }
    }

    /// Follows the chain back from the head to what was known: each manifest names the digest of
    /// the one before.
    fn hold_against_mark(&mut self, head: &Head) -> Result<(), StoreError> {
        let Some(mark) = self.request.mark else {
            return Ok(());
        };
        let (mut seq, mut digest) = (head.seen.mark.seq, Some(head.seen.mark.manifest_sha256));
        let mut prev = head.prev;
        if seq > mark.seq + FOLLOWED {
            let after = mark.seq;
            let message = format!("more than {FOLLOWED} manifests came after manifest {after}");
            self.findings
                .push(Finding::warning("head-too-far", message));
            return Ok(());
        }
        while seq > mark.seq {
            (seq, digest) = (seq - 1, prev);
            if seq == mark.seq {
                break;
            }
            let before = digest
                .map(|digest| self.prev_of(seq, &digest))
                .transpose()?;
            match before.flatten() {
                Some(before) => prev = before,
                None => {
                    let message = format!("manifest {seq} is missing, or another one");
                    self.findings.push(Finding::violation("chain-gap", message));
                    return Ok(());
                }
            }
        }
        if digest != Some(mark.manifest_sha256) {
            let message = format!("manifest {} is not the one that was seen before", mark.seq);
            self.findings
                .push(Finding::violation("history-rewritten", message));
        }
        Ok(())
    }

    /// What the manifest of this digest says of its predecessor; none where it is not there. Its
    /// bytes are what a signed manifest names.
    fn prev_of(&self, seq: u64, digest: &Digest) -> Result<Option<Option<Digest>>, StoreError> {
        let keys = [
            self.layout.manifest(seq),
            self.layout.manifest_beside(seq, digest),
        ];
        for key in &keys {
            let bytes = match self.store.get(key, manifest::MAX_BYTES) {
                Ok(there) => there.bytes,
                Err(error) if error.kind == StoreErrorKind::NotFound => continue,
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
}

fn escrow_of(manifest: &Manifest, seen: &HeadSeen) -> EscrowSeen {
    EscrowSeen {
        id: manifest.escrow_id.clone(),
        mark: seen.mark,
        snapshot_at: manifest.snapshot_at,
        key: seen.key,
        proof: manifest.proof.clone(),
    }
}
