//! Whose signature counts: from a reader's own `allowed_signers`, from the fingerprint on a
//! trust card, and from policies that trusted manifests named.

use std::collections::BTreeMap;

use super::allowed_signers::{AllowedSigners, Entry, Window, WindowError};
use super::namespace::Namespace;
use super::signer_key::SignerKey;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::SignerName;
use crate::base::time::UtcTime;

/// The keys a reader trusts. It begins with what the reader brought along and grows only by
/// policies that stand in manifests it already trusts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    allowed: AllowedSigners,
    pinned: Vec<Fingerprint>,
    learnt: Vec<Learnt>,
    /// When learnt keys ended, by the policy that ended them earliest.
    ended: BTreeMap<Fingerprint, UtcTime>,
}

/// A line of a policy, and the sequence number of the manifest that named it.
#[derive(Clone, Debug)]
struct Learnt {
    seq: u64,
    entry: Entry,
}

/// A signer that is trusted for one kind of document. When is judged separately, once the
/// document's own date can be read: see [`Authentic::check_window`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentic {
    /// Who signed.
    pub signer: SignerName,
    /// With which key.
    pub fingerprint: Fingerprint,
    windows: Vec<Window>,
    ended: Option<UtcTime>,
}

/// Why a signature does not count, although it is one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Nobody knows the key.
    #[error("signed by the unknown key {fingerprint}")]
    UnknownSigner {
        /// The key's.
        fingerprint: Fingerprint,
    },
    /// The key is known, but under other names than the one it signed as.
    #[error("signed as {claimed}, but with the key {fingerprint} of {known}")]
    OtherSigner {
        /// Whose signature it was said to be.
        claimed: SignerName,
        /// Whose key it is.
        known: SignerName,
        /// The key's.
        fingerprint: Fingerprint,
    },
    /// The key is known, but not for documents of this kind.
    #[error("key {fingerprint} of {signer} may not sign for {namespace}")]
    NotPermitted {
        /// Whose key it is.
        signer: SignerName,
        /// The key's.
        fingerprint: Fingerprint,
        /// What it signed for.
        namespace: Namespace,
    },
    /// The key was not valid when the document was signed.
    #[error("key {fingerprint} of {signer} was not valid")]
    OutsideWindow {
        /// Whose key it is.
        signer: SignerName,
        /// The key's.
        fingerprint: Fingerprint,
        /// Both times.
        #[source]
        source: WindowError,
    },
}

impl Trust {
    /// Trusts what the reader brought along: a file of its own, and fingerprints from a trust
    /// card. Either may be empty.
    pub fn new(allowed: AllowedSigners, pinned: Vec<Fingerprint>) -> Self {
        Self {
            allowed,
            pinned,
            learnt: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    /// Takes in the signers of a policy that the *verified* manifest `seq` names. Order does not
    /// matter: what a later policy says of a key replaces what an earlier one said, so that a
    /// retired key stays retired; and the reader's own file has the last word on its keys. A key
    /// that a later policy leaves out keeps what it had: only retiring ends it.
    pub fn learn(&mut self, policy: &AllowedSigners, seq: u64) {
        self.learn_ends(policy);
        let told_later: Vec<SignerKey> = policy
            .entries()
            .map(Entry::key)
            .filter(|key| self.is_own(key) || self.learnt_at(key).is_some_and(|at| at >= seq))
            .cloned()
            .collect();
        let fresh = policy
            .entries()
            .filter(|entry| !told_later.contains(entry.key()));
        let fresh: Vec<Entry> = fresh.cloned().collect();
        self.learnt
            .retain(|old| !fresh.iter().any(|entry| entry.key() == old.entry.key()));
        self.learnt
            .extend(fresh.into_iter().map(|entry| Learnt { seq, entry }));
    }

    /// Whether what this key signs now as `signer` is going to count: said before the work that
    /// ends in a signature, not after it.
    pub fn may_sign(
        &self,
        key: &SignerKey,
        namespace: Namespace,
        signer: &SignerName,
        now: UtcTime,
    ) -> Result<(), TrustError> {
        self.authenticate(key, namespace, signer)?.check_window(now)
    }

    /// Decides whether this key, which made a valid signature as `claimed`, may sign documents
    /// of this kind. Call it with nothing but a key that a verified signature embeds.
    ///
    /// A pinned fingerprint stands for manifests alone, under whatever name it signs: all other
    /// signers follow from the policy that its manifest names.
    pub fn authenticate(
        &self,
        key: &SignerKey,
        namespace: Namespace,
        claimed: &SignerName,
    ) -> Result<Authentic, TrustError> {
        let fingerprint = key.fingerprint();
        let known: Vec<&Entry> = self.entries_of(key).collect();
        let windows = if !known.is_empty() {
            listed_windows(&known, namespace, claimed)?
        } else if self.pinned.contains(&fingerprint) {
            pinned_windows(namespace)
        } else {
            return Err(TrustError::UnknownSigner { fingerprint });
        };
        if windows.is_empty() {
            return Err(TrustError::NotPermitted {
                signer: claimed.clone(),
                fingerprint,
                namespace,
            });
        }
        Ok(Authentic {
            signer: claimed.clone(),
            fingerprint,
            windows,
            ended: self.end_of(&fingerprint),
        })
    }

    /// The names under which a key is known.
    pub fn principals_of(&self, key: &SignerKey) -> Vec<SignerName> {
        let names = self.entries_of(key).map(|entry| entry.principal().clone());
        names.collect()
    }

    /// The names under which documents of this kind may be signed, the reader's own first. A
    /// pinned fingerprint signs under any name, and is none of these.
    pub fn signers_for(&self, namespace: Namespace) -> Vec<SignerName> {
        let learnt = self.learnt.iter().map(|learnt| &learnt.entry);
        let entries = self.allowed.entries().chain(learnt);
        let mut names: Vec<SignerName> = Vec::new();
        for entry in entries.filter(|entry| entry.permits(namespace)) {
            if !names.contains(entry.principal()) {
                names.push(entry.principal().clone());
            }
        }
        names
    }

    fn entries_of<'a>(&'a self, key: &'a SignerKey) -> impl Iterator<Item = &'a Entry> {
        let learnt = self.learnt.iter().map(|learnt| &learnt.entry);
        let all = self.allowed.entries().chain(learnt);
        all.filter(move |entry| entry.key() == key)
    }

    /// When a key's time ended, by the policies learnt so far. The reader's own file is the
    /// reader's own word: what it lists has no other end.
    pub fn end_of(&self, fingerprint: &Fingerprint) -> Option<UtcTime> {
        let mut own = self
            .allowed
            .entries()
            .map(|entry| entry.key().fingerprint());
        match own.any(|own| own == *fingerprint) {
            true => None,
            false => self.ended.get(fingerprint).copied(),
        }
    }

    /// Remembers which keys a policy ends. A key that one of them ended stays so, whatever a
    /// later one says: whoever stole it could otherwise date a manifest back into its time and
    /// have that one's policy take the end away.
    fn learn_ends(&mut self, policy: &AllowedSigners) {
        for key in policy.entries().map(Entry::key) {
            let lines = policy.entries().filter(|entry| entry.key() == key);
            let ends = lines.map(|entry| entry.window().valid_before());
            let Some(end) = ends
                .collect::<Option<Vec<_>>>()
                .and_then(|ends| ends.into_iter().max())
            else {
                continue;
            };
            let known = self.ended.entry(key.fingerprint()).or_insert(end);
            *known = end.min(*known);
        }
    }

    fn is_own(&self, key: &SignerKey) -> bool {
        self.allowed.entries().any(|entry| entry.key() == key)
    }

    fn learnt_at(&self, key: &SignerKey) -> Option<u64> {
        let same = self.learnt.iter().filter(|old| old.entry.key() == key);
        same.map(|old| old.seq).max()
    }
}

fn pinned_windows(namespace: Namespace) -> Vec<Window> {
    match namespace {
        Namespace::Manifest => vec![Window::default()],
        Namespace::Drill | Namespace::Checkin | Namespace::Witness | Namespace::Audit => Vec::new(),
    }
}

/// The windows of the lines that name the claimed signer and permit the namespace.
fn listed_windows(
    known: &[&Entry],
    namespace: Namespace,
    claimed: &SignerName,
) -> Result<Vec<Window>, TrustError> {
    let mut own = known
        .iter()
        .filter(|entry| entry.principal() == claimed)
        .peekable();
    if let (None, Some(other)) = (own.peek(), known.first()) {
        return Err(TrustError::OtherSigner {
            claimed: claimed.clone(),
            known: other.principal().clone(),
            fingerprint: other.key().fingerprint(),
        });
    }
    let permitted = own.filter(|entry| entry.permits(namespace));
    Ok(permitted.map(|entry| entry.window()).collect())
}

impl Authentic {
    /// Fails if the key was not valid at `created_at`, the document's own date. That a stolen
    /// key lies about it is for the chain to notice, whose dates never decrease.
    pub fn check_window(&self, created_at: UtcTime) -> Result<(), TrustError> {
        let inside = self
            .windows
            .iter()
            .any(|window| window.contains(created_at))
            && self.ended.is_none_or(|ended| created_at <= ended);
        match self.windows.last() {
            Some(window) if !inside => Err(TrustError::OutsideWindow {
                signer: self.signer.clone(),
                fingerprint: self.fingerprint,
                source: WindowError {
                    at: created_at,
                    window: *window,
                },
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
