//! Committing a manifest of either kind: signature, then the manifest itself, store by store in the
//! order of the configuration. The sequence slot is the lock between hosts.

mod documents;
mod pending;
mod place;
mod slot;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::error_chain::error_chain;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{SignerName, Slug, StoreName};
use crate::base::time::{Clock, UtcTime};
use crate::model::allowed_signers::{AllowedSigners, AllowedSignersError};
use crate::model::amend::{Amend, Change};
use crate::model::finding::{Finding, Severity, worst};
use crate::model::layout::Layout;
use crate::model::manifest::{Instance, Manifest, Place};
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::model::strict_json::StrictJsonError;
use crate::model::trust::Trust;
use crate::sealing::sshsig::{SigningKey, SigningKeyError};
use crate::store::StoreError;

use super::destination::{Destination, stores};
use super::history::{self, History, HistoryError};
use super::open_uploads::OpenUploads;
use super::state::{Pending, State, StateError, Strangers};

pub use documents::Document;
use place::Placing;

/// See [`Committer::races`].
const RACES: u32 = 5;

/// Who signs, for which instance.
#[derive(Clone, Copy)]
pub struct Author<'a> {
    /// Whose chain it is.
    pub slug: &'a Slug,
    /// The principal that signs.
    pub signer: &'a SignerName,
    /// Its key.
    pub signing_key: &'a SigningKey,
    /// The `allowed_signers` file's text.
    pub allowed_signers: &'a str,
}

/// What committing stands on.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    /// Where manifests go, in this order.
    pub destinations: &'a [Destination],
    /// What this host remembers. Its lock is held by the caller.
    pub state: &'a State,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

/// Extends a chain.
pub struct Committer<'a> {
    author: Author<'a>,
    ports: Ports<'a>,
    layout: Layout,
    allowed: AllowedSigners,
    /// How often a place in the chain may be lost to other hosts before the run gives up.
    races: u32,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// A manifest whose place in the chain is not known yet.
pub trait Draft {
    /// Gives it its place.
    fn put_at(&mut self, place: Place);

    /// The exact bytes that are signed and stored.
    fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError>;
}

impl Draft for Amend {
    fn put_at(&mut self, place: Place) {
        Self::put_at(self, place);
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        Self::to_bytes(self)
    }
}

impl Draft for Manifest {
    fn put_at(&mut self, place: Place) {
        self.seq = place.seq;
        self.prev_sha256 = place.prev_sha256;
        self.created_at = place.created_at;
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        Self::to_bytes(self)
    }
}

/// A manifest that at least one store took.
pub struct Committed {
    /// Its place.
    pub mark: Mark,
    /// Why the other stores do not hold it whole.
    pub lacking: BTreeMap<StoreName, String>,
}

/// How a run that wrote to several stores is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Everything is everywhere it is required, and somewhere at least.
    Whole,
    /// Done, but something required is missing, or a warning may need somebody.
    Partial,
    /// Done, and something in the stores is not what a signer said it was.
    Alarm,
}

impl Completeness {
    /// By what was found, and whether something required is missing.
    pub fn of(findings: &[Finding], lacks_something: bool) -> Self {
        match worst(findings) {
            Some(Severity::Violation) => Self::Alarm,
            Some(Severity::Warning) => Self::Partial,
            _ if lacks_something => Self::Partial,
            _ => Self::Whole,
        }
    }
}

/// Nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The host's own memory is not usable, or another run holds it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The chain could not be read.
    #[error("cannot read the chain of manifests")]
    History(#[from] HistoryError),
    /// Signing failed.
    #[error("cannot sign the manifest")]
    Sign(#[from] SigningKeyError),
    /// The signing key is not one that readers of the policy would accept.
    #[error("the signing key {fingerprint} of {signer} may not sign manifests at {at}")]
    SignerNotAllowed {
        /// The principal in the configuration.
        signer: SignerName,
        /// The key's.
        fingerprint: Fingerprint,
        /// The present.
        at: UtcTime,
    },
    /// `allowed_signers` is malformed.
    #[error("cannot use the allowed_signers file")]
    AllowedSigners(#[from] AllowedSignersError),
    /// A document could not be written.
    #[error("cannot write the manifest")]
    Document(#[from] StrictJsonError),
    /// Not one store took what it was given.
    #[error("no store took it: {}", told.join("; "))]
    NoStore {
        /// What each store said.
        told: Vec<String>,
        /// The first one's error.
        #[source]
        first: Option<StoreError>,
    },
    /// Other hosts were faster again and again.
    #[error("lost the race for the next place in the chain {0} times")]
    LostRace(u32),
}

impl<'a> Committer<'a> {
    /// Refuses a key whose manifests its own policy would not accept.
    pub fn new(author: Author<'a>, ports: Ports<'a>) -> Result<Self, CommitError> {
        let committer = Self {
            author,
            ports,
            layout: Layout::new(author.slug),
            allowed: AllowedSigners::parse(author.allowed_signers)?,
            races: RACES,
            findings: Vec::new(),
        };
        committer.check_signer()?;
        Ok(committer)
    }

    fn check_signer(&self) -> Result<(), CommitError> {
        let (signer, key) = (self.author.signer, self.author.signing_key.public());
        self.is_signer_of(&self.trust())
            .map_err(|at| CommitError::SignerNotAllowed {
                signer: signer.clone(),
                fingerprint: key.fingerprint(),
                at,
            })
    }

    /// Whether who trusts these signers takes what is committed here; else the time at which it
    /// was asked.
    pub(super) fn is_signer_of(&self, trust: &Trust) -> Result<(), UtcTime> {
        let now = self.ports.clock.now();
        let (signer, key) = (self.author.signer, self.author.signing_key.public());
        trust
            .authenticate(key, Namespace::Manifest, signer)
            .and_then(|authentic| authentic.check_window(now))
            .map_err(|_| now)
    }

    /// The principal that signs.
    pub fn signer(&self) -> &'a SignerName {
        self.author.signer
    }

    /// Whose chain it is.
    pub fn slug(&self) -> &'a Slug {
        self.author.slug
    }

    /// The `allowed_signers` file's text.
    pub fn allowed_signers(&self) -> &'a str {
        self.author.allowed_signers
    }

    /// What it stands on.
    pub fn ports(&self) -> &Ports<'a> {
        &self.ports
    }

    /// The record of this instance's uploads.
    pub fn uploads(&self) -> OpenUploads<'a> {
        OpenUploads {
            state: self.ports.state,
            slug: self.author.slug,
        }
    }

    /// The layout of this instance's keys.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The signers in force here.
    pub fn trust(&self) -> Trust {
        Trust::new(self.allowed.clone(), Vec::new())
    }

    /// Reads the chain: from this host's mark on, or all of it.
    pub fn read_history(&mut self, reach: Reach) -> Result<History, CommitError> {
        let mark = self.ports.state.mark(self.author.slug)?;
        let mut history = History::read(history::Request {
            slug: self.author.slug,
            stores: &stores(self.ports.destinations),
            trust: self.trust(),
            mark,
            since_mark: reach == Reach::SinceMark,
            up_to: None,
            now: self.ports.clock.now(),
            cancel: self.ports.cancel,
        })?;
        // Read again after a lost race, the chain shows the same once more.
        for finding in std::mem::take(&mut history.findings) {
            self.tell(noted(finding));
        }
        if let Some(mark) = mark {
            self.look_for_own_manifest(&history, &mark);
        }
        Ok(history)
    }

    /// A store that answers and lacks the manifest which this host put there last is not the
    /// store it was: a directory whose disk is no longer mounted looks like that.
    fn look_for_own_manifest(&mut self, history: &History, mark: &Mark) {
        let mut entries = history.entries.iter();
        let last = entries.find(|entry| entry.link.digest == mark.manifest_sha256);
        let held_by = last.map_or(&[][..], |entry| &entry.held_by);
        let answered = history.answered.iter();
        for name in answered.filter(|name| !held_by.contains(name)) {
            let escrow = last.and_then(|entry| entry.escrow.as_ref());
            // One that was not there that night, or is new, has lost nothing.
            let held_it = escrow.is_some_and(|escrow| escrow.stored_in.contains(name));
            let seq = mark.seq;
            self.tell(match held_it {
                true => Finding::warning(
                    "store-changed",
                    format!("store {name} has lost manifest {seq}, or is another store"),
                ),
                false => Finding::warning(
                    "manifest-missing",
                    format!("store {name} does not hold manifest {seq}"),
                ),
            });
        }
    }

    /// Keeps a finding, once.
    pub fn tell(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Puts what a manifest names by its digest, before any manifest does. Returns what each store
    /// did not take.
    pub fn put_documents(&mut self, documents: &[Document<'_>]) -> BTreeMap<StoreName, String> {
        let mut lacking = BTreeMap::new();
        for destination in self.ports.destinations {
            let name = destination.store.name();
            let mut locks = Vec::new();
            for document in documents {
                let now = self.ports.clock.now();
                match documents::put_document(destination, document, now) {
                    Ok(locked) => locks.extend(locked),
                    Err(error) => {
                        let why = error_chain(&error);
                        self.tell(match destination.required {
                            true => Finding::warning("document-missing", &*why),
                            false => Finding::note("document-missing", &*why),
                        });
                        lacking.insert(name.clone(), why);
                    }
                }
            }
            let told = documents::shortfalls(name, &locks).into_iter();
            told.for_each(|finding| self.tell(finding));
        }
        lacking
    }

    /// Signs a manifest into the next place of the chain, again where another host was faster.
    pub fn commit(
        &mut self,
        draft: &mut dyn Draft,
        mut history: History,
    ) -> Result<Committed, CommitError> {
        for _ in 0..self.races {
            // Whoever won the last race may have done so with this host's own key.
            self.look_for_stolen_key(&history)?;
            let place = self.next_place(&history)?;
            draft.put_at(place);
            let pending = self.sign(place.seq, draft)?;
            self.ports.state.set_pending(self.author.slug, &pending)?;
            match self.place(pending) {
                Placing::Lost => {
                    // What could not be judged because of a signal was not lost.
                    self.ports.cancel.check()?;
                    let seq = place.seq;
                    tracing::info!(seq, "another host was faster; chaining again");
                    self.ports.state.abandon_pending(self.author.slug)?;
                    history = self.read_history(Reach::SinceMark)?;
                }
                Placing::Placed(placed) => return self.read_back(placed),
            }
        }
        Err(CommitError::LostRace(self.races))
    }

    /// Signs what became of earlier escrows into the chain. It puts no snapshot off.
    pub fn report(
        &mut self,
        history: History,
        changes: Vec<Change>,
    ) -> Result<Committed, CommitError> {
        let now = self.ports.clock.now();
        let due = history.head().map_or(now, |head| head.next_due);
        let instance = Instance {
            slug: self.author.slug.clone(),
            id: None,
        };
        self.commit(&mut Amend::new(instance, due, changes), history)
    }

    /// The same, if no other host's manifest comes in between.
    pub fn report_at_once(
        &mut self,
        history: History,
        changes: Vec<Change>,
    ) -> Result<Committed, CommitError> {
        let races = std::mem::replace(&mut self.races, 1);
        let committed = self.report(history, changes);
        self.races = races;
        committed
    }

    /// Whether these stores are all that have to hold everything; any one where none has to.
    pub fn are_enough<'s>(&self, holders: impl Iterator<Item = &'s StoreName>) -> bool {
        let holders: BTreeSet<&StoreName> = holders.collect();
        let mut required = self.ports.destinations.iter().filter(|to| to.required);
        !holders.is_empty() && required.all(|to| holders.contains(to.store.name()))
    }

    /// The place after the highest head that is known.
    fn next_place(&self, history: &History) -> Result<Place, CommitError> {
        let own = self.ports.state.mark(self.author.slug)?;
        let marks = [own, history.mark()];
        let head = marks.into_iter().flatten().max_by_key(|mark| mark.seq);
        let now = self.ports.clock.now();
        let after = history.head().map_or(now, |head| head.link.created_at);
        Ok(Place {
            seq: head.map_or(1, |head| head.seq + 1),
            prev_sha256: head.map(|head| head.manifest_sha256),
            created_at: after.max(now),
        })
    }

    fn sign(&self, seq: u64, draft: &dyn Draft) -> Result<Pending, CommitError> {
        let bytes = draft.to_bytes()?;
        let signature = self.author.signing_key.sign(Namespace::Manifest, &bytes)?;
        let stores = self.ports.destinations.iter();
        Ok(Pending {
            seq,
            signer: self.author.signer.clone(),
            manifest: String::from_utf8_lossy(&bytes).into_owned(),
            signature,
            stores: stores.map(|to| to.store.name().clone()).collect(),
        })
    }

    /// A manifest above this host's mark, signed with this host's key, was made by somebody else
    /// who has the key, or this host's state was set back.
    pub fn look_for_stolen_key(&mut self, history: &History) -> Result<(), CommitError> {
        let known = self.strangers(history)?;
        self.ports
            .state
            .add_strangers(self.author.slug, &known.manifests)?;
        self.tell_strangers(&known);
        Ok(())
    }

    /// The manifests of that kind that were found before, and those that are seen now.
    pub fn strangers(&self, history: &History) -> Result<Strangers, CommitError> {
        let (state, slug) = (self.ports.state, self.author.slug);
        let own = state.mark(slug)?;
        let ours = self.fingerprint();
        let mut own_beside = state.abandoned(slug)?;
        own_beside.extend(state.pending(slug)?.map(|pending| pending.mark()));
        let above = |entry: &&history::Entry| {
            entry.fingerprint == ours && own.is_none_or(|mark| entry.link.seq > mark.seq)
        };
        let above = history.entries.iter().filter(above);
        let strange = above
            .map(history::Entry::mark)
            .filter(|mark| !own_beside.contains(mark));
        let mut known = state.strangers(slug)?;
        for mark in strange {
            if !known.manifests.contains(&mark) {
                known.manifests.push(mark);
                known.key_was_replaced = false;
            }
        }
        Ok(known)
    }

    /// Raises the alarm, as long as the key is the same.
    pub fn tell_strangers(&mut self, known: &Strangers) {
        if let Some(first) = known.manifests.first()
            && !known.key_was_replaced
        {
            self.tell(Finding::violation(
                "unknown-manifest-of-ours",
                format!(
                    "manifest {} is signed with this host's key, but this host does not know it: \
                     the key was stolen, or the state directory was lost or set back",
                    first.seq
                ),
            ));
        }
    }

    /// Of the key that signs here.
    pub fn fingerprint(&self) -> Fingerprint {
        self.author.signing_key.fingerprint()
    }
}

/// How much of the chain is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From the newest manifest of this host's on: enough to extend the chain.
    SinceMark,
    /// All of it.
    Whole,
}

/// What stores lack of earlier nights does not make this one partial: those of this run report
/// themselves, and `verify` reports the rest.
fn noted(finding: Finding) -> Finding {
    match finding.severity {
        Severity::Warning => Finding {
            severity: Severity::Note,
            ..finding
        },
        Severity::Note | Severity::Violation => finding,
    }
}
