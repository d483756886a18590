//! Verifying candidates: signature first, then content, then the signer's window.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::{SignerName, Slug, StoreName};
use crate::model::allowed_signers::AllowedSigners;
use crate::model::document::Document;
use crate::model::finding::Finding;
use crate::model::layout::{Layout, ManifestKey};
use crate::model::link::Link;
use crate::model::namespace::Namespace;
use crate::model::policy::{self, Policy};
use crate::model::trust::{Authentic, Trust};
use crate::sealing::sshsig::verify_sshsig;
use crate::store::{StoreError, StoreErrorKind};

use super::beneath::Beneath;
use super::candidates::{Candidate, Listings, Signature};
use super::listing::Which;
use super::{Entry, EscrowSummary};

/// Verifies manifests newest first, learning signers from the policies of trusted ones, until
/// nothing new is learnt.
pub(super) struct Verifier<'a> {
    slug: &'a Slug,
    layout: &'a Layout,
    cancel: &'a Cancel,
    trust: Trust,
    /// Policies seen, with what was wrong with them.
    policies: HashMap<Digest, Option<String>>,
    verified: BTreeMap<Digest, Entry>,
    refused: Vec<Refused>,
    /// What was found beneath deletes and overwrites.
    beneath: Beneath,
    /// Signers whose signatures were good: theirs are tried first.
    known_signers: BTreeSet<SignerName>,
}

/// What the verifier made of the candidates.
pub(super) struct Verdict {
    /// Verified manifests by digest.
    pub(super) verified: BTreeMap<Digest, Entry>,
    /// The trust that was gathered.
    pub(super) trust: Trust,
    /// What was wrong.
    pub(super) findings: Vec<Finding>,
    /// Whether a store gave every object that it listed.
    pub(super) complete: bool,
}

/// A candidate that does not count.
struct Refused {
    seq: u64,
    store: StoreName,
    refusal: Refusal,
}

/// Why a candidate does not count. Refusals that compare equal are one finding, however many
/// objects somebody planted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    /// The store failed for the moment: it cannot be told what the candidate is.
    Unread(&'static str),
    /// No signature verifies, or none by a key that is trusted. More trust may change that.
    Unverified(String),
    /// Its signature is good, its content is not acceptable; or nobody can read it.
    Unacceptable(&'static str, String),
}

impl Refusal {
    fn of_object(error: &StoreError) -> Self {
        tracing::debug!(error = %error_chain(error), "a manifest was not read");
        match error.kind {
            kind if kind.is_passing() => Self::Unread("the store failed at this"),
            StoreErrorKind::TooLarge => Self::Unverified("too large for a manifest".into()),
            _ => Self::Unacceptable("manifest-unreadable", "not readable".into()),
        }
    }

    fn of_signature(error: &StoreError) -> Self {
        tracing::debug!(error = %error_chain(error), "a signature was not read");
        match error.kind.is_passing() {
            true => Self::Unread("the store failed at the signature"),
            false => Self::Unverified("no readable signature".into()),
        }
    }

    fn is_unread(&self) -> bool {
        matches!(self, Self::Unread(_))
    }

    fn finding(&self, which: &str) -> Finding {
        match self {
            Self::Unread(why) => Finding::warning("manifest-unreadable", format!("{which}: {why}")),
            Self::Unverified(why) => {
                Finding::violation("unverified-manifest", format!("{which}: {why}"))
            }
            Self::Unacceptable(id, why) => Finding::violation(id, format!("{which}: {why}")),
        }
    }
}

impl<'a> Verifier<'a> {
    pub(super) fn new(
        slug: &'a Slug,
        layout: &'a Layout,
        trust: Trust,
        cancel: &'a Cancel,
    ) -> Self {
        Self {
            slug,
            layout,
            cancel,
            trust,
            policies: HashMap::new(),
            verified: BTreeMap::new(),
            refused: Vec::new(),
            beneath: Beneath::default(),
            known_signers: BTreeSet::new(),
        }
    }

    /// Goes over all candidates, again while policies teach new signers.
    pub(super) fn run(mut self, listings: &Listings) -> Result<Verdict, Interrupted> {
        loop {
            let known = self.policies.len();
            self.refused.clear();
            self.beneath.forget_manifests();
            for batch in listings.batches() {
                for candidate in listings.fetch(&batch, self.layout, &self.known_signers) {
                    // What an interruption cut short must not look like a finding.
                    self.cancel.check()?;
                    self.take(listings, candidate);
                }
            }
            self.cancel.check()?;
            let hopeless = !self.refused.iter().any(Refused::may_change);
            if hopeless || self.policies.len() == known {
                self.refuse_ended();
                let mut verdict = self.verdict();
                verdict.findings.extend(listings.late_findings());
                return Ok(verdict);
            }
        }
    }

    /// A policy that ends a key may have been learnt after manifests of that key were accepted.
    fn refuse_ended(&mut self) {
        let trust = &self.trust;
        let is_ended = |entry: &Entry| {
            let end = trust.end_of(&entry.fingerprint);
            end.is_some_and(|end| entry.link.created_at > end)
        };
        let ended = self.verified.extract_if(.., |_, entry| is_ended(entry));
        for (_, entry) in ended {
            let why = format!("signed by {} after the end of that key", entry.signer);
            self.refused
                .extend(entry.held_by.into_iter().map(|store| Refused {
                    seq: entry.link.seq,
                    store,
                    refusal: Refusal::Unacceptable("signer-window", why.clone()),
                }));
        }
    }

    fn verdict(self) -> Verdict {
        let policies = self.policies.into_values().flatten();
        let mut findings: Vec<Finding> = policies
            .map(|why| Finding::warning("policy-missing", why))
            .collect();
        findings.extend(refusals(&self.refused));
        findings.extend(self.beneath.findings());
        Verdict {
            verified: self.verified,
            trust: self.trust,
            findings,
            complete: !self.refused.iter().any(Refused::is_unread),
        }
    }

    fn take(&mut self, listings: &Listings, candidate: Candidate) {
        let seq = candidate.claim.seq;
        let store = listings.answered[candidate.store].store.name().clone();
        let judged = match candidate.bytes {
            Err(error) => Err(Refusal::of_object(&error)),
            Ok(bytes) => {
                let place = (candidate.key.as_str(), candidate.claim);
                self.judge(listings, place, &bytes, candidate.likely)
            }
        };
        let object = (store.clone(), candidate.key);
        match judged {
            Ok(digest) => {
                self.beneath.accepted(object, seq, &candidate.which);
                let entry = self.verified.get_mut(&digest);
                let held_by = entry.map(|entry| &mut entry.held_by);
                if let Some(held_by) = held_by.filter(|held_by| !held_by.contains(&store)) {
                    held_by.push(store);
                }
            }
            // What was once written over, or deleted, may well have been a squatter's.
            Err(refusal) if candidate.which != Which::Current && !refusal.is_unread() => {}
            Err(refusal) => {
                if !refusal.is_unread() {
                    self.beneath.refused(object);
                }
                self.refused.push(Refused {
                    seq,
                    store,
                    refusal,
                });
            }
        }
    }

    /// The digest of a manifest that is now among the verified ones.
    fn judge(
        &mut self,
        listings: &Listings,
        (key, claim): (&str, ManifestKey),
        bytes: &[u8],
        likely: Option<Signature>,
    ) -> Result<Digest, Refusal> {
        let digest = Digest::of(bytes);
        let known = self.verified.get(&digest);
        let fresh = match known.is_some_and(|entry| entry.link.seq == claim.seq) {
            true => None,
            false => {
                let (signed_by, signature) = self.authenticate(listings, &digest, bytes, likely)?;
                self.beneath.signed(claim.seq, signature);
                Some(self.examine(listings, (key, claim.seq), digest, bytes, signed_by)?)
            }
        };
        if claim.digest.is_some_and(|named| named != digest) {
            let why = "named after another one's digest";
            return Err(Refusal::Unacceptable("misplaced-manifest", why.to_owned()));
        }
        if let Some(entry) = fresh {
            self.known_signers.insert(entry.signer.clone());
            self.verified.insert(digest, entry);
        }
        Ok(digest)
    }

    /// Reads a manifest whose signature is good, and learns from it.
    fn examine(
        &mut self,
        listings: &Listings,
        (key, seq): (&str, u64),
        digest: Digest,
        bytes: &[u8],
        signed_by: Authentic,
    ) -> Result<Entry, Refusal> {
        let document = Document::parse(bytes)
            .map_err(|error| Refusal::Unacceptable("manifest-unreadable", error_chain(&error)))?;
        let head = &document.head;
        if head.instance.slug != *self.slug || head.seq != seq {
            return Err(Refusal::Unacceptable(
                "misplaced-manifest",
                format!(
                    "in truth manifest {} of instance {}",
                    head.seq, head.instance.slug
                ),
            ));
        }
        signed_by
            .check_window(head.created_at)
            .map_err(|error| Refusal::Unacceptable("signer-window", error_chain(&error)))?;
        if let Some(manifest) = &document.escrow {
            self.learn(listings, &manifest.policy_sha256, seq);
        }
        Ok(Entry {
            link: Link {
                seq,
                digest,
                prev: head.prev_sha256,
                created_at: head.created_at,
            },
            next_due: head.next_due,
            signer: signed_by.signer,
            fingerprint: signed_by.fingerprint,
            held_by: Vec::new(),
            key: key.to_owned(),
            escrow: document.escrow.as_deref().map(EscrowSummary::of),
            changes: document.changes,
        })
    }

    /// Finds a signature over these bytes by a key that is trusted.
    fn authenticate(
        &self,
        listings: &Listings,
        digest: &Digest,
        bytes: &[u8],
        likely: Option<Signature>,
    ) -> Result<(Authentic, Signature), Refusal> {
        if let Some(signature) = likely
            && let Ok(authentic) = self.authenticate_one(&signature, bytes)
        {
            return Ok((authentic, signature));
        }
        let mut claims = listings.signatures(digest);
        claims.known.sort_by_key(|stored| {
            let claim = &stored.claim;
            let is_known = self.known_signers.contains(&claim.signer);
            (!is_known, claim.which != Which::Current)
        });
        let mut refusal = match claims.is_partial {
            true => Refusal::Unread("the store failed at the signatures"),
            false => Refusal::Unverified("no signature".to_owned()),
        };
        for signature in listings.fetch_signatures(&claims.known, self.layout, digest) {
            match self.authenticate_one(&signature, bytes) {
                Ok(authentic) => return Ok((authentic, signature)),
                // What could not be read may have been the good one.
                Err(_) if matches!(refusal, Refusal::Unread(_)) => {}
                Err(reason) => refusal = reason,
            }
        }
        Err(refusal)
    }

    fn authenticate_one(&self, signature: &Signature, bytes: &[u8]) -> Result<Authentic, Refusal> {
        let armored = signature.bytes.as_ref().map_err(Refusal::of_signature)?;
        let embedded = verify_sshsig(armored, Namespace::Manifest, bytes)
            .map_err(|error| Refusal::Unverified(error_chain(&error)))?;
        self.trust
            .authenticate(&embedded.key, Namespace::Manifest, &signature.signer)
            .map_err(|error| Refusal::Unverified(error_chain(&error)))
    }

    /// Learns the signers that a trusted manifest's policy names.
    fn learn(&mut self, listings: &Listings, policy: &Digest, seq: u64) {
        if self.policies.contains_key(policy) {
            return;
        }
        let problem = match self.read_policy(listings, policy, seq) {
            Ok(signers) => {
                self.trust.learn(&signers, seq);
                None
            }
            Err(why) => Some(format!("the policy that manifest {seq} names: {why}")),
        };
        self.policies.insert(*policy, problem);
    }

    fn read_policy(
        &mut self,
        listings: &Listings,
        policy: &Digest,
        seq: u64,
    ) -> Result<AllowedSigners, String> {
        let found = listings
            .by_digest(&self.layout.policy(policy), policy, policy::MAX_BYTES)
            .ok_or("no store has it whole")?;
        self.beneath.policy(seq, found.beneath);
        let policy = Policy::parse(&found.bytes, policy).map_err(|error| error_chain(&error))?;
        AllowedSigners::parse(&policy.allowed_signers).map_err(|error| error_chain(&error))
    }
}

impl Refused {
    fn may_change(&self) -> bool {
        matches!(self.refusal, Refusal::Unverified(_))
    }

    fn is_unread(&self) -> bool {
        self.refusal.is_unread()
    }
}

/// One finding for all candidates that were refused for the same reason.
fn refusals(refused: &[Refused]) -> Vec<Finding> {
    let mut reasons: BTreeMap<&Refusal, (BTreeSet<u64>, BTreeSet<&str>)> = BTreeMap::new();
    for one in refused {
        let (seqs, stores) = reasons.entry(&one.refusal).or_default();
        seqs.insert(one.seq);
        stores.insert(one.store.as_str());
    }
    let mut told: Vec<_> = reasons.into_iter().collect();
    told.sort_by_key(|(_, (seqs, _))| seqs.first().copied());
    told.into_iter()
        .map(|(refusal, (seqs, stores))| {
            let many = if stores.len() > 1 { "s" } else { "" };
            let stores: Vec<&str> = stores.into_iter().collect();
            let names = stores.join(" and ");
            let which = format!("{} in store{many} {names}", super::manifests(&seqs));
            refusal.finding(&which)
        })
        .collect()
}
