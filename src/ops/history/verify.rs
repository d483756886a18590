//! Verifying candidates: signature first, then content, then the signer's window.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::Slug;
use crate::model::allowed_signers::AllowedSigners;
use crate::model::chain::Link;
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::model::manifest::Document;
use crate::model::namespace::Namespace;
use crate::model::policy::{self, Policy};
use crate::model::trust::{Authentic, Trust, TrustError};
use crate::sealing::sshsig::{SignatureError, verify_sshsig};

use super::candidates::{Candidate, Listings};
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
    refused: BTreeMap<(u64, Digest), String>,
    findings: BTreeSet<(u64, &'static str, String)>,
}

/// Why a candidate does not count.
enum Refusal {
    /// No signature verifies, or none by a key that is trusted. More trust may change that.
    Unverified(String),
    /// Its signature is good, its content is not acceptable.
    Unacceptable(&'static str, String),
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
            refused: BTreeMap::new(),
            findings: BTreeSet::new(),
        }
    }

    /// Goes over all candidates, again while policies teach new signers.
    pub(super) fn run(&mut self, listings: &Listings) -> Result<(), Interrupted> {
        loop {
            let known = self.policies.len();
            self.refused.clear();
            self.findings.clear();
            for batch in listings.batches() {
                self.cancel.check()?;
                for candidate in listings.fetch(&batch) {
                    self.take(listings, candidate);
                }
            }
            if self.refused.is_empty() || self.policies.len() == known {
                return Ok(());
            }
        }
    }

    /// Verified manifests by digest, and the trust gathered; findings are added to `findings`.
    pub(super) fn finish(self, findings: &mut Vec<Finding>) -> (BTreeMap<Digest, Entry>, Trust) {
        let policies = self.policies.into_values().flatten();
        findings.extend(policies.map(|why| Finding::warning("policy-missing", why)));
        let refused = self
            .refused
            .into_values()
            .map(|why| Finding::violation("unverified-manifest", why));
        findings.extend(refused);
        findings.extend(
            self.findings
                .into_iter()
                .map(|(_, id, message)| Finding::violation(id, message)),
        );
        (self.verified, self.trust)
    }

    fn take(&mut self, listings: &Listings, candidate: Candidate) {
        let seq = candidate.claim.seq;
        let store = listings.answered[candidate.store].store.name().clone();
        let bytes = match candidate.bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("manifest {seq}: {}", error_chain(&error));
                self.findings.insert((seq, "manifest-unreadable", message));
                return;
            }
        };
        let digest = Digest::of(&bytes);
        if let Some(entry) = self.verified.get_mut(&digest)
            && entry.link.seq == seq
        {
            if !entry.held_by.contains(&store) {
                entry.held_by.push(store);
            }
            return;
        }
        match self.verify(listings, &candidate.key, seq, digest, &bytes) {
            Ok(mut entry) => {
                entry.held_by.push(store);
                self.verified.insert(digest, entry);
            }
            Err(Refusal::Unverified(why)) => {
                let why = format!("manifest {seq} in store {store}: {why}");
                self.refused.insert((seq, digest), why);
            }
            Err(Refusal::Unacceptable(id, why)) => {
                let why = format!("manifest {seq} in store {store}: {why}");
                self.findings.insert((seq, id, why));
            }
        }
    }

    fn verify(
        &mut self,
        listings: &Listings,
        key: &str,
        seq: u64,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<Entry, Refusal> {
        let signed_by = self.authenticate(listings, &digest, bytes)?;
        let document = Document::parse(bytes)
            .map_err(|error| Refusal::Unacceptable("manifest-unreadable", error_chain(&error)))?;
        let head = &document.head;
        if head.instance.slug != *self.slug || head.seq != seq {
            return Err(Refusal::Unacceptable(
                "misplaced-manifest",
                format!(
                    "it is manifest {} of instance {}",
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
        })
    }

    /// Finds a signature over these bytes by a key that is trusted.
    fn authenticate(
        &self,
        listings: &Listings,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<Authentic, Refusal> {
        let mut why = "it has no signature".to_owned();
        for (claimed, signature) in listings.signatures(self.layout, digest) {
            let verdict = signature
                .map_err(|error| error_chain(&error))
                .and_then(|armored| {
                    let embedded = verify_sshsig(&armored, Namespace::Manifest, bytes)
                        .map_err(|error: SignatureError| error_chain(&error))?;
                    self.trust
                        .authenticate(&embedded.key, Namespace::Manifest, &claimed)
                        .map_err(|error: TrustError| error_chain(&error))
                });
            match verdict {
                Ok(authentic) => return Ok(authentic),
                Err(reason) => why = reason,
            }
        }
        Err(Refusal::Unverified(why))
    }

    /// Learns the signers that a trusted manifest's policy names.
    fn learn(&mut self, listings: &Listings, policy: &Digest, seq: u64) {
        if self.policies.contains_key(policy) {
            return;
        }
        let problem = match self.read_policy(listings, policy) {
            Ok(signers) => {
                self.trust.learn(&signers, seq);
                None
            }
            Err(why) => Some(format!("the policy that manifest {seq} names: {why}")),
        };
        self.policies.insert(*policy, problem);
    }

    fn read_policy(&self, listings: &Listings, policy: &Digest) -> Result<AllowedSigners, String> {
        let bytes = listings
            .by_digest(&self.layout.policy(policy), policy, policy::MAX_BYTES)
            .ok_or("no store has it whole")?;
        let policy = Policy::parse(&bytes, policy).map_err(|error| error_chain(&error))?;
        AllowedSigners::parse(&policy.allowed_signers).map_err(|error| error_chain(&error))
    }
}
