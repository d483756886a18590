//! A look at the newest manifest alone, in few requests: a listing from the mark on, the manifest,
//! its signature. What monitoring asks every few minutes.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::{SignerName, Slug};
use crate::base::time::UtcTime;
use crate::model::audit::facts::{ChainFacts, EscrowSeen, Facts, HeadSeen, Scope, Seen};
use crate::model::document::Document;
use crate::model::finding::Finding;
use crate::model::layout::{Layout, ManifestKey};
use crate::model::manifest::{self, Manifest};
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::model::trust::{Authentic, Trust};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::in_every_store;
use super::signed::{Refused, authenticate, names_of};

/// How many of the newest names are looked at until one verifies: anybody who can write to a store
/// can plant others.
const LOOKED_AT: usize = 8;

/// How many manifests between the mark and the head are followed.
const FOLLOWED: u64 = 32;

/// How far ahead of the reader's clock a manifest may be dated, in seconds.
const FUTURE_TOLERANCE: i64 = 300;

/// What is looked at.
pub struct HeadRequest<'a> {
    /// Whose chain.
    pub slug: &'a Slug,
    /// The stores.
    pub stores: &'a [Arc<dyn Store>],
    /// Whose signatures count.
    pub trust: &'a Trust,
    /// The newest manifest that was known before.
    pub mark: Option<Mark>,
    /// The present.
    pub now: UtcTime,
}

/// Looks at the newest manifest of each store. What lies behind deletes and overwrites is left to
/// a whole audit.
pub fn look_at_head(request: &HeadRequest<'_>) -> Facts {
    let looked = in_every_store(request.stores, |store| Look::new(request, store).head());
    let mut facts = ChainFacts {
        mark: request.mark,
        is_complete: true,
        verified: 0,
        findings: Vec::new(),
        head: None,
        newest: Seen::Known(None),
        retained: Vec::new(),
        secret_key_ids: Vec::new(),
        system_identifiers: Vec::new(),
    };
    let mut newest: Option<Head> = None;
    for (name, (head, findings)) in looked {
        let failed = |finding: &Finding| finding.id == "store-unreachable";
        facts.is_complete &= !findings.iter().any(failed);
        facts
            .findings
            .extend(findings.into_iter().map(|finding| finding.about(&name)));
        facts.verified += usize::from(head.is_some());
        newest = newest.max_by_seq(head);
    }
    facts
        .findings
        .extend(newest.iter().filter_map(|head| head.ahead(request.now)));
    facts.newest = newest
        .as_ref()
        .map_or(Seen::Known(None), |head| head.escrow.clone());
    facts.head = newest.map(|head| head.seen);
    Facts {
        chain: Seen::Known(facts),
        ..Facts::none(Scope::Head, request.now)
    }
}

/// A verified manifest, and the newest escrow at or before it.
struct Head {
    seen: HeadSeen,
    prev: Option<Digest>,
    escrow: Seen<Option<EscrowSeen>>,
}

trait MaxBySeq {
    fn max_by_seq(self, other: Self) -> Self;
}

impl MaxBySeq for Option<Head> {
    fn max_by_seq(self, other: Self) -> Self {
        let seq = |head: &Self| head.as_ref().map(|head| head.seen.mark.seq);
        match seq(&other) > seq(&self) {
            true => other,
            false => self,
        }
    }
}

impl Head {
    fn ahead(&self, now: UtcTime) -> Option<Finding> {
        let HeadSeen {
            mark, created_at, ..
        } = &self.seen;
        (*created_at > now.plus(FUTURE_TOLERANCE)).then(|| {
            let seq = mark.seq;
            let message = format!("manifest {seq} is dated {created_at}, which has not come yet");
            Finding::violation("future-manifest", message)
        })
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

/// A look at one store.
struct Look<'a> {
    request: &'a HeadRequest<'a>,
    store: &'a dyn Store,
    layout: Layout,
    findings: Vec<Finding>,
}

impl<'a> Look<'a> {
    fn new(request: &'a HeadRequest<'a>, store: &'a Arc<dyn Store>) -> Self {
        Self {
            request,
            store: store.as_ref(),
            layout: Layout::new(request.slug),
            findings: Vec::new(),
        }
    }

    fn head(mut self) -> (Option<Head>, Vec<Finding>) {
        let head = match self.try_head() {
            Ok(head) => head,
            Err(error) => {
                let finding = Finding::warning("store-unreachable", error_chain(&error));
                self.findings.push(finding);
                None
            }
        };
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
        let after = self
            .request
            .mark
            .map(|mark| self.layout.before_manifest(mark.seq));
        let mut newest = VecDeque::new();
        let listed = self
            .store
            .list(&self.layout.manifests(), after.as_deref(), &mut |meta| {
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
        let bytes = match self.store.get(key, manifest::MAX_BYTES) {
            Ok(there) => there.bytes,
            Err(error) if error.kind == StoreErrorKind::TooLarge => {
                self.refuse("unverified-manifest", named, "too large for a manifest");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let digest = Digest::of(&bytes);
        let by = match self.authenticate(&bytes, &digest)? {
            Ok(by) => by,
            Err(why) => {
                self.refuse("unverified-manifest", named, &why);
                return Ok(None);
            }
        };
        let document = match Document::parse(&bytes) {
            Ok(document) => document,
            Err(error) => {
                self.refuse("manifest-unreadable", named, &error_chain(&error));
                return Ok(None);
            }
        };
        let head = &document.head;
        if head.instance.slug != *self.request.slug || head.seq != named.seq {
            self.refuse("misplaced-manifest", named, "in truth another one's place");
            return Ok(None);
        }
        if let Err(error) = by.check_window(head.created_at) {
            self.refuse("signer-window", named, &error_chain(&error));
            return Ok(None);
        }
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
        let escrow = escrow.map(|manifest| escrow_of(manifest, &seen));
        Ok(Some(Head {
            prev: head.prev_sha256,
            escrow: Seen::Known(escrow),
            seen,
        }))
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
            let named = ManifestKey { seq, digest: None };
            let before = self.verify(&self.layout.manifest(seq), named);
            let before = match before {
                Err(error) if error.kind == StoreErrorKind::NotFound => None,
                other => other?,
            };
            let Some(before) = before.filter(|one| one.seen.mark.manifest_sha256 == digest) else {
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

    fn refuse(&mut self, id: &'static str, named: ManifestKey, why: &str) {
        let (seq, store) = (named.seq, self.store.name());
        let message = format!("manifest {seq} in store {store}: {why}");
        self.findings.push(match id {
            "manifest-unreadable" => Finding::violation("manifest-unreadable", message),
            "misplaced-manifest" => Finding::violation("misplaced-manifest", message),
            "signer-window" => Finding::violation("signer-window", message),
            _ => Finding::violation("unverified-manifest", message),
        });
    }

    /// By the names that the reader knows; where it knows none, by those that lie there.
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
        let listed = names_of(self.store, &self.layout, digest)?;
        let others: Vec<SignerName> = listed
            .into_iter()
            .filter(|name| !known.contains(name))
            .collect();
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

    /// Follows the chain back from the head to what was known: each manifest names the digest of
    /// the one before.
    fn hold_against_mark(&mut self, head: &Head) -> Result<(), StoreError> {
        let Some(mark) = self.request.mark else {
            return Ok(());
        };
        let (mut seq, mut prev) = (head.seen.mark.seq, head.prev);
        if seq == mark.seq {
            let is_same = head.seen.mark.manifest_sha256 == mark.manifest_sha256;
            self.findings.extend((!is_same).then(|| rewritten(mark)));
            return Ok(());
        }
        if seq > mark.seq + FOLLOWED {
            let message = format!(
                "more than {FOLLOWED} manifests came after {}; a whole audit follows them",
                mark.seq
            );
            self.findings
                .push(Finding::warning("head-too-far", message));
            return Ok(());
        }
        while seq > mark.seq + 1 {
            seq -= 1;
            match prev
                .map(|digest| self.prev_of(seq, &digest))
                .transpose()?
                .flatten()
            {
                Some(before) => prev = before,
                None => {
                    let message = format!("manifest {seq} is missing, or another one");
                    self.findings.push(Finding::violation("chain-gap", message));
                    return Ok(());
                }
            }
        }
        let is_same = prev == Some(mark.manifest_sha256);
        self.findings.extend((!is_same).then(|| rewritten(mark)));
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

fn rewritten(mark: Mark) -> Finding {
    let message = format!("manifest {} is not the one that was seen before", mark.seq);
    Finding::violation("history-rewritten", message)
}
