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
use crate::ops::audit::signed::{self, names_of};
use crate::sealing::sshsig::MAX_SIGNATURE_BYTES;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::{FOLLOWED, Head, HeadRequest};

/// How many of the newest names are looked at until one verifies: anybody who can write to a store
/// can plant others.
const LOOKED_AT: usize = 8;

/// See the module.
pub(super) struct Look<'a> {
    request: &'a HeadRequest<'a>,
    store: &'a dyn Store,
    layout: Layout,
    findings: Vec<Finding>,
}

/// What a look at one store came to.
pub(super) struct Looked {
    /// The newest manifests that count, from the mark on: one, unless the store holds a fork. None
    /// where the store failed.
    pub(super) heads: Option<Vec<Head>>,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
}

/// Why a manifest does not count.
enum NotCounted {
    /// The store failed: it may be a good one.
    Unread(StoreError),
    /// It is none that counts.
    Wrong(Finding),
}

impl From<StoreError> for NotCounted {
    fn from(error: StoreError) -> Self {
        Self::Unread(error)
    }
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

    /// The newest manifests that count, and what is wrong.
    pub(super) fn newest(mut self) -> Looked {
        let heads = self.try_newest();
        let heads = heads.map_err(|error| self.tell_failed(&error)).ok();
        Looked {
            heads,
            findings: self.findings,
        }
    }

    /// What was found wrong.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    fn tell_failed(&mut self, error: &StoreError) {
        let finding = Finding::warning("store-unreachable", error_chain(error));
        self.findings.push(finding);
    }

    fn try_newest(&mut self) -> Result<Vec<Head>, StoreError> {
        let mut heads: Vec<Head> = Vec::new();
        for (key, named) in self.newest_names()? {
            let newest = heads.first().map(|head| head.mark().seq);
            if newest.is_some_and(|newest| named.seq < newest) {
                break;
            }
            heads.extend(self.verify(&key, named)?);
        }
        Ok(heads)
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
        match self.read(key, named) {
            Ok(head) => Ok(Some(head)),
            Err(NotCounted::Unread(error)) => Err(error),
            Err(NotCounted::Wrong(finding)) => {
                self.findings.push(finding);
                Ok(None)
            }
        }
    }

    fn read(&self, key: &str, named: ManifestKey) -> Result<Head, NotCounted> {
        let bytes = match self.store.get(key, manifest::MAX_BYTES) {
            Ok(there) => there.bytes,
            Err(error) if error.kind == StoreErrorKind::TooLarge => {
                return Err(self.unverified(named, "too large for a manifest"));
            }
            Err(error) => return Err(NotCounted::Unread(error)),
        };
        let digest = Digest::of(&bytes);
        let by = self.authenticate(&bytes, &digest, named)?;
        let head = self.examine(&bytes, digest, named, by);
        head.map_err(NotCounted::Wrong)
    }

    fn unverified(&self, named: ManifestKey, why: &str) -> NotCounted {
        let message = format!("{}: {why}", self.which(named));
        NotCounted::Wrong(Finding::violation("unverified-manifest", message))
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
            escrow: escrow.map(|manifest| escrow_of(manifest, &seen)),
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
        named: ManifestKey,
    ) -> Result<Authentic, NotCounted> {
        let known = self.request.trust.signers_for(Namespace::Manifest);
        let refused = match self.first_good(bytes, digest, named, &known) {
            Err(NotCounted::Wrong(finding)) => finding,
            other => return other,
        };
        let mut others = names_of(self.store, &self.layout, digest)?;
        others.retain(|name| !known.contains(name));
        match others.is_empty() {
            true => Err(NotCounted::Wrong(refused)),
            false => self.first_good(bytes, digest, named, &others),
        }
    }

    fn first_good(
        &self,
        bytes: &[u8],
        digest: &Digest,
        named: ManifestKey,
        names: &[SignerName],
    ) -> Result<Authentic, NotCounted> {
        let mut why = "no signature".to_owned();
        for name in names {
            let key = self.layout.signature(digest, name);
            let signature = match self.store.get(&key, MAX_SIGNATURE_BYTES as u64) {
                Ok(there) => there.bytes,
                Err(error) if signed::is_refusal(error.kind) => {
                    why = error_chain(&error);
                    continue;
                }
                Err(error) => return Err(NotCounted::Unread(error)),
            };
            let trust = self.request.trust;
            match signed::verify(&signature, bytes, name, trust, Namespace::Manifest) {
                Ok(by) => return Ok(by),
                Err(reason) => why = reason,
            }
        }
        Err(self.unverified(named, &why))
    }

    /// Where the head only reports of earlier manifests: goes back, link by link, to the newest
    /// that commits an escrow.
    pub(super) fn escrow_before(&mut self, head: &Head) -> Seen<Option<EscrowSeen>> {
        let escrow = self.try_escrow_before(head);
        escrow.unwrap_or_else(|error| {
            self.tell_failed(&error);
            Seen::Unknown(error_chain(&error))
        })
    }

    fn try_escrow_before(&mut self, head: &Head) -> Result<Seen<Option<EscrowSeen>>, StoreError> {
        let (mut seq, mut prev) = (head.mark().seq, head.prev);
        for _ in 0..FOLLOWED {
            let Some((before, digest)) = seq.checked_sub(1).zip(prev) else {
                return Ok(Seen::Known(None));
            };
            let Some(manifest) = self.verify_at(before, &digest)? else {
                break;
            };
            if manifest.escrow.is_some() {
                return Ok(Seen::Known(manifest.escrow));
            }
            (seq, prev) = (before, manifest.prev);
        }
        let why = "the newest manifests report of earlier ones";
        Ok(Seen::unknown(why))
    }

    /// The manifest of this place, if it is this one.
    fn verify_at(&mut self, seq: u64, digest: &Digest) -> Result<Option<Head>, StoreError> {
        let named = ManifestKey { seq, digest: None };
        match self.verify(&self.layout.manifest(seq), named) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            read => Ok(read?.filter(|one| one.mark().manifest_sha256 == *digest)),
        }
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
