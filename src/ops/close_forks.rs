//! Closing forks: a signed manifest says that somebody has looked into the manifests which the
//! chain does not go on from. Until then a fork keeps everything from being deleted.

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{EscrowId, SignerName};
use crate::base::time::UtcTime;
use crate::model::amend::Change;
use crate::model::finding::{Finding, Severity};
use crate::model::fork::Fork;
use crate::model::mark::Mark;

use super::certainty::{self, Uncertain};
use super::commit::{Author, CommitError, Committer, Completeness, Ports, Reach};
use super::history::{Entry, History};

/// What was found, and done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The forks that were chosen, in the order of the chain.
    pub forks: Vec<OpenFork>,
    /// The manifest that closes them; none in a dry run, and where there was none.
    pub closed_by: Option<Mark>,
    /// Why stores do not hold that manifest.
    pub lacking: Vec<String>,
    /// What was found in the chain before.
    pub findings: Vec<Finding>,
}

/// A place that several valid manifests claim.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct OpenFork {
    /// The place.
    pub seq: u64,
    /// All that claim it, the one that the chain goes on from first.
    pub claimants: Vec<Claimant>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Claimant {
    /// Its place.
    pub seq: u64,
    /// Whether the chain goes on from it.
    pub followed: bool,
    /// Its digest.
    pub manifest_sha256: Digest,
    /// When it was signed.
    pub created_at: UtcTime,
    /// By whom.
    pub signer: SignerName,
    /// With which key.
    pub fingerprint: Fingerprint,
    /// The escrow it commits, if any.
    pub escrow: Option<EscrowId>,
}

/// No fork was closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The chain could not be read or extended.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Another manifest may lie where nobody could look.
    #[error("not all stores could be read")]
    NotAllStores,
    /// Readers could not verify what would be signed.
    #[error(transparent)]
    Unvouched(#[from] Uncertain),
    /// The chain may go on from a thief's manifest.
    #[error(
        "the chain goes on from manifest {0}, which is signed with this host's key and not known \
         to this host"
    )]
    Stranger(u64),
    /// Nothing to close there.
    #[error("no open fork is at sequence {0}")]
    NoSuch(u64),
    /// What somebody has seen is not all.
    #[error("the forks are not those that were shown a moment ago")]
    Changed,
    /// Which one the chain goes on from cannot be told.
    #[error("manifests between the fork at sequence {0} and the newest are missing")]
    Detached(u64),
}

/// The open forks at these places, or all where none is named. Writes nothing.
pub fn look(author: Author<'_>, ports: Ports<'_>, wanted: &[u64]) -> Result<Report, CloseError> {
    let mut chain = Committer::new(author, ports)?;
    let (_, (_, forks)) = read(&mut chain, wanted)?;
    Ok(Report {
        forks,
        closed_by: None,
        lacking: Vec::new(),
        findings: chain.findings,
    })
}

/// Closes the forks that somebody has seen, under the host's lock.
pub fn close(
    author: Author<'_>,
    ports: Ports<'_>,
    seen: &[OpenFork],
) -> Result<Report, CloseError> {
    let _lock = ports.state.lock(author.slug).map_err(CommitError::from)?;
    let mut chain = Committer::new(author, ports)?;
    chain.finish_pending()?;
    let wanted: Vec<u64> = seen.iter().map(|fork| fork.seq).collect();
    let (history, (changes, forks)) = read(&mut chain, &wanted)?;
    if forks != seen {
        return Err(CloseError::Changed);
    }
    certainty::of_signer(&chain, &history)?;
    refuse_strangers(&chain, &history, &forks)?;
    let committed = match changes.is_empty() {
        true => None,
        false => Some(chain.report(history, changes)?),
    };
    Ok(Report {
        forks,
        closed_by: committed.as_ref().map(|committed| committed.mark),
        lacking: committed.map_or_else(Vec::new, |committed| {
            committed.lacking.into_values().collect()
        }),
        findings: chain.findings,
    })
}

type Forks = (Vec<Change>, Vec<OpenFork>);

fn read(chain: &mut Committer<'_>, wanted: &[u64]) -> Result<(History, Forks), CloseError> {
    let history = chain.read_history(Reach::Whole)?;
    if !history.complete || history.answered.len() != chain.ports().destinations.len() {
        return Err(CloseError::NotAllStores);
    }
    let chosen = choose(&history.forks, wanted)?;
    let changes = chosen.iter().filter_map(|fork| fork.closing()).collect();
    let forks = chosen.iter().map(|fork| told(fork, &history)).collect();
    Ok((history, (changes, forks)))
}

/// A key that somebody else has must be replaced first.
fn refuse_strangers(
    chain: &Committer<'_>,
    history: &History,
    forks: &[OpenFork],
) -> Result<(), CloseError> {
    let known = chain.strangers(history)?;
    let strange = |one: &&Claimant| {
        let mut strangers = known.manifests.iter();
        strangers.any(|mark| mark.manifest_sha256 == one.manifest_sha256)
    };
    let followed = forks.iter().flat_map(|fork| fork.claimants.first());
    let mut followed = followed.filter(|one| one.followed);
    match followed.find(strange) {
        Some(one) if !known.key_was_replaced => Err(CloseError::Stranger(one.seq)),
        _ => Ok(()),
    }
}

fn choose<'f>(forks: &'f [Fork], wanted: &[u64]) -> Result<Vec<&'f Fork>, CloseError> {
    let open = || forks.iter().filter(|fork| fork.closed_by.is_none());
    if let Some(seq) = wanted.iter().find(|seq| !open().any(|f| f.seq == **seq)) {
        return Err(CloseError::NoSuch(*seq));
    }
    let chosen = open().filter(|fork| wanted.is_empty() || wanted.contains(&fork.seq));
    let chosen: Vec<&Fork> = chosen.collect();
    match chosen.iter().find(|fork| fork.followed.is_none()) {
        Some(fork) => Err(CloseError::Detached(fork.seq)),
        None => Ok(chosen),
    }
}

fn told(fork: &Fork, history: &History) -> OpenFork {
    let digests = fork.followed.iter().chain(&fork.others);
    let entry = |digest: &Digest| {
        let mut entries = history.entries.iter();
        entries.find(|entry| entry.link.digest == *digest)
    };
    let claimants = digests.filter_map(entry);
    OpenFork {
        seq: fork.seq,
        claimants: claimants
            .map(|entry| Claimant::of(entry, fork.followed == Some(entry.link.digest)))
            .collect(),
    }
}

impl Report {
    /// How this run is to be taken. The forks themselves are told by it.
    pub fn completeness(&self) -> Completeness {
        let is_alarm =
            |one: &Finding| one.severity == Severity::Violation && one.id != "chain-fork";
        match self.findings.iter().any(is_alarm) {
            true => Completeness::Alarm,
            false => Completeness::of(&[], !self.lacking.is_empty()),
        }
    }
}

impl Claimant {
    fn of(entry: &Entry, followed: bool) -> Self {
        Self {
            seq: entry.link.seq,
            followed,
            manifest_sha256: entry.link.digest,
            created_at: entry.link.created_at,
            signer: entry.signer.clone(),
            fingerprint: entry.fingerprint,
            escrow: entry.escrow.as_ref().map(|escrow| escrow.id.clone()),
        }
    }
}
