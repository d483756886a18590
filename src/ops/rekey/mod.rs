//! Sealing retained escrows to the custodians now in force: decrypted with an identity, encrypted
//! under a new file key on the way, and never unpacked or written down in between.
//!
//! # Order
//! Read the whole chain from all stores, and refuse while any doubt is left → for each escrow: open
//! its header → seal into all stores at once, beside what is there → read the copies back → policy,
//! unlock files, canaries → one signed manifest, from which on readers take the new payload → delete
//! what it replaced, and what earlier runs left. Whatever fails before that manifest leaves the old
//! payload in force, and whatever fails after it the new one.
//!
//! Nothing begins unless enough of those custodians have shown that they hold their identities, by
//! a check-in or here. What was replaced is deleted on this host's own word alone, as the chain has
//! it: it was here that every byte went from one payload into the other. Somebody else's manifest
//! that claims as much deletes nothing.

mod reseal;
mod retire;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::base::error_chain::error_chain;
use crate::base::names::{CustodianName, EscrowId};
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::manifest::{Custody, Manifest};
use crate::model::mark::Mark;
use crate::model::quorum::Quorum;
use crate::model::recipients::Recipients;
use crate::sealing::custody::CustodySealError;
use crate::sealing::identities::Identities;
use crate::sealing::unpack::UnpackError;

use super::certainty::{self, Uncertain};
use super::commit::{Author, CommitError, Committer, Completeness, Ports, Reach};
use super::custodial;
use super::custody::exposure::{self, ExposedCopy};
use super::custody::status::{self, Status};
use super::destination;
use super::history::{Entry, EscrowSummary, History, HistoryError};
use super::inventory;
use super::prune::{Deleted, State as Fate};

use reseal::Refusal;

/// To whom escrows are sealed again, and with what they are opened.
pub struct Settings<'a> {
    /// To whom.
    pub recipients: &'a Recipients,
    /// How many of them it takes; none if each of them can alone.
    pub quorum: Option<&'a Quorum>,
    /// The recipients file's text, for the policy object.
    pub recipients_text: &'a str,
    /// What opens the escrows as they are; none in a dry run.
    pub identities: Option<&'a Identities>,
    /// These escrows; all that are retained where none is named.
    pub escrows: &'a [EscrowId],
}

/// Told the size in bytes of each part that arrived.
pub type Told = Arc<dyn Fn(u64) + Send + Sync>;

/// What was done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Every escrow that was looked at, oldest first.
    pub escrows: Vec<Row>,
    /// What became of replaced payloads, now or of earlier runs, in each store.
    pub deleted: Vec<Deleted>,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// One escrow.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its place in the chain.
    pub seq: u64,
    /// Which.
    pub id: EscrowId,
    /// When its copy began.
    pub snapshot_at: UtcTime,
    /// Of its payload, in bytes.
    pub size: u64,
    /// Who could open it before this run.
    pub before: Openers,
    /// Who can open it from now on.
    pub after: Openers,
    /// Copies as they were sealed before this run: until when a lock keeps them.
    pub copies_before: Vec<ExposedCopy>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Who can open an escrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Openers {
    /// How many of them it takes.
    pub takes: u32,
    /// All of them.
    pub custodians: Vec<CustodianName>,
}

/// What became of an escrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is sealed to the custodians in force already.
    InForce,
    /// It is to be sealed again.
    Due,
    /// It was sealed again.
    Rekeyed {
        /// The manifest that says so.
        by: Mark,
    },
    /// The identities do not open it; nothing was changed.
    Closed {
        /// Why not.
        why: String,
    },
    /// It could not be sealed again, and is what it was.
    Failed {
        /// Why not.
        why: String,
    },
}

/// Nothing was sealed again.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// The chain could not be read or extended, or the run was stopped.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What was signed, and what is where, is not certain.
    #[error(transparent)]
    Uncertain(#[from] Uncertain),
    /// There is no such escrow.
    #[error("there is no verified escrow {0}")]
    NoSuch(EscrowId),
    /// Its payload may be gone.
    #[error("escrow {0} was let go by retention")]
    LetGo(EscrowId),
    /// A recipient cannot be encrypted to.
    #[error("cannot seal to the recipients")]
    Recipient(#[from] CustodySealError),
    /// The old payload would go, and nobody may be able to open the new one.
    #[error("{}", unproven(*.takes, .proven))]
    Unproven {
        /// How many custodians it takes.
        takes: u32,
        /// Those who have shown that they hold their identities.
        proven: Vec<CustodianName>,
    },
    /// None of the escrows could be opened.
    #[error("cannot open escrow {id}")]
    Closed {
        /// The first of them.
        id: EscrowId,
        /// Why not.
        #[source]
        source: UnpackError,
    },
}

fn unproven(takes: u32, proven: &[CustodianName]) -> String {
    let names: Vec<&str> = proven.iter().map(CustodianName::as_str).collect();
    let shown = match names.as_slice() {
        [] => "nobody".to_owned(),
        names => format!("only {}", names.join(", ")),
    };
    format!(
        "{takes} of the custodians in force open what is sealed again, and {shown} can be seen to \
         hold an identity"
    )
}

impl From<HistoryError> for RekeyError {
    fn from(error: HistoryError) -> Self {
        Self::Commit(error.into())
    }
}

impl Openers {
    fn of(custody: &Custody, custodians: impl Iterator<Item = CustodianName>) -> Self {
        Self {
            takes: custody.k.unwrap_or(1),
            custodians: custodians.collect(),
        }
    }

    /// By a manifest.
    fn signed(manifest: &Manifest) -> Self {
        let people = manifest.recipients.iter();
        Self::of(&manifest.custody, people.map(|one| one.custodian.clone()))
    }
}

impl Settings<'_> {
    fn openers(&self) -> Openers {
        let people = self.recipients.iter();
        Openers {
            takes: self.quorum.map_or(1, Quorum::k),
            custodians: people.map(|one| one.custodian.clone()).collect(),
        }
    }

    /// Whether an escrow is sealed to these custodians, and takes as many of them.
    fn are_those_of(&self, manifest: &Manifest) -> bool {
        let wanted = custodial::recipient_records(self.recipients);
        let is_signed = wanted.iter().all(|one| manifest.recipients.contains(one));
        is_signed
            && wanted.len() == manifest.recipients.len()
            && manifest.custody.k == self.quorum.map(Quorum::k)
    }
}

impl Report {
    /// How this run is to be taken.
    pub fn completeness(&self) -> Completeness {
        let is_left = |row: &Row| {
            let outcome = &row.outcome;
            matches!(outcome, Outcome::Closed { .. } | Outcome::Failed { .. })
        };
        let is_undeleted = |one: &Deleted| matches!(one.state, Fate::Failed { .. });
        let lacks_something =
            self.escrows.iter().any(is_left) || self.deleted.iter().any(is_undeleted);
        Completeness::of(&self.findings, lacks_something)
    }
}

/// Tells what would be sealed again, and changes nothing.
pub fn plan(
    author: Author<'_>,
    ports: Ports<'_>,
    settings: &Settings<'_>,
) -> Result<Report, RekeyError> {
    let _lock = ports.state.lock(author.slug).map_err(CommitError::from)?;
    let mut chain = Committer::new(author, ports)?;
    let planned = read(&mut chain, settings)?;
    Ok(Report {
        escrows: planned.escrows.into_iter().map(|(row, _)| row).collect(),
        deleted: Vec::new(),
        findings: std::mem::take(&mut chain.findings),
    })
}

/// Seals again what is due, and deletes what that replaces, under the host's lock.
pub fn run(
    author: Author<'_>,
    ports: Ports<'_>,
    settings: &Settings<'_>,
    on_bytes: &Told,
) -> Result<Report, RekeyError> {
    let _lock = ports.state.lock(author.slug).map_err(CommitError::from)?;
    let mut chain = Committer::new(author, ports)?;
    let leftovers = chain.uploads().remove_leftovers(ports.destinations);
    leftovers.map_err(CommitError::from)?;
    chain.finish_pending()?;
    // Needs no identity, and must not wait for one.
    let mut deleted = retire::retire(&mut chain)?;
    let Planned { escrows, proven } = read(&mut chain, settings)?;
    let work = Work {
        settings,
        proven,
        on_bytes,
    };
    let mut first = None;
    let mut rows = Vec::new();
    for (mut row, manifest) in escrows {
        if row.outcome == Outcome::Due {
            row.outcome = rekey(&mut chain, &manifest, &work, &mut first)?;
        }
        rows.push(row);
    }
    let is_rekeyed = |row: &Row| matches!(row.outcome, Outcome::Rekeyed { .. });
    if let Some(closed) = first.filter(|_| !rows.iter().any(is_rekeyed)) {
        return Err(closed);
    }
    let was_due = |row: &Row| row.outcome != Outcome::InForce;
    if rows.iter().any(was_due) {
        deleted.extend(retire::retire(&mut chain)?);
    }
    Ok(Report {
        escrows: rows,
        deleted,
        findings: std::mem::take(&mut chain.findings),
    })
}

/// What is there, and what is due of it.
struct Planned {
    escrows: Vec<(Row, Manifest)>,
    /// Who of the custodians in force has checked in.
    proven: BTreeSet<CustodianName>,
}

/// What every escrow is sealed again with.
struct Work<'a> {
    settings: &'a Settings<'a>,
    proven: BTreeSet<CustodianName>,
    on_bytes: &'a Told,
}

fn read(chain: &mut Committer<'_>, settings: &Settings<'_>) -> Result<Planned, RekeyError> {
    let history = chain.read_history(Reach::Whole)?;
    chain.look_for_stolen_key(&history)?;
    let ports = *chain.ports();
    let (holdings, unlisted) = inventory::read(ports.destinations, chain.layout());
    certainty::of_stores(&history, &holdings, ports, unlisted)?;
    certainty::of_chain(chain, &history)?;
    let chosen = chosen(&history, settings.escrows)?;
    let rows = chosen.into_iter().map(|(entry, _)| {
        let manifest = history.load(entry)?;
        Ok((row(settings, &manifest), manifest))
    });
    let escrows = rows.collect::<Result<_, RekeyError>>()?;
    let status = status(&history, settings, ports);
    // Who is unproven is told where that matters; that answers could not be read, always.
    let unread = [
        "checkin-unverified",
        "checkin-unreadable",
        "custody-object-hidden",
    ];
    let findings = status.findings.into_iter();
    let told = findings.filter(|finding| unread.contains(&finding.id));
    told.for_each(|finding| chain.tell(finding));
    let proven = status.custodians.into_iter();
    let proven = proven.filter(|one| one.proven_at.is_some());
    Ok(Planned {
        escrows,
        proven: proven.map(|one| one.name).collect(),
    })
}

fn status(history: &History, settings: &Settings<'_>, ports: Ports<'_>) -> Status {
    Status::gather(&status::Request {
        recipients: settings.recipients,
        quorum: settings.quorum,
        history,
        stores: &destination::stores(ports.destinations),
        now: ports.clock.now(),
    })
}

fn chosen<'h>(
    history: &'h History,
    named: &[EscrowId],
) -> Result<Vec<(&'h Entry, &'h EscrowSummary)>, RekeyError> {
    let named: BTreeSet<&EscrowId> = named.iter().collect();
    for id in &named {
        let mut all = history.escrows();
        match all.find(|(_, one)| one.id == **id) {
            None => return Err(RekeyError::NoSuch((*id).clone())),
            Some((_, one)) if one.is_let_go() => {
                return Err(RekeyError::LetGo((*id).clone()));
            }
            Some(_) => {}
        }
    }
    let kept = history.escrows().filter(|(_, one)| !one.is_let_go());
    let chosen = kept.filter(|(_, one)| named.is_empty() || named.contains(&one.id));
    Ok(chosen.collect())
}

fn row(settings: &Settings<'_>, manifest: &Manifest) -> Row {
    Row {
        seq: manifest.seq,
        id: manifest.escrow_id.clone(),
        snapshot_at: manifest.snapshot_at,
        size: manifest.payload.size,
        before: Openers::signed(manifest),
        after: settings.openers(),
        copies_before: exposure::copies(manifest),
        outcome: match settings.are_those_of(manifest) {
            true => Outcome::InForce,
            false => Outcome::Due,
        },
    }
}

/// Seals one escrow again. The first error that says that it cannot be opened goes to `first`.
fn rekey(
    chain: &mut Committer<'_>,
    manifest: &Manifest,
    work: &Work<'_>,
    first: &mut Option<RekeyError>,
) -> Result<Outcome, RekeyError> {
    let cancel = chain.ports().cancel;
    let rekeyed = reseal::rekey(chain, manifest, work);
    // What failed because of a signal is told as that.
    cancel.check().map_err(CommitError::from)?;
    match rekeyed {
        Ok(by) => Ok(Outcome::Rekeyed { by }),
        Err(Refusal::Whole(error)) => Err(error),
        Err(Refusal::Failed(why)) => Ok(Outcome::Failed { why }),
        Err(Refusal::Closed(source)) => {
            let why = error_chain(&source);
            let id = manifest.escrow_id.clone();
            first.get_or_insert(RekeyError::Closed { id, source });
            Ok(Outcome::Closed { why })
        }
    }
}
