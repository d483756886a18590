//! Choosing an escrow: the newest, one by its id, or the one in force at a time.

use crate::base::names::EscrowId;
use crate::base::time::UtcTime;
use crate::model::finding::Severity;
use crate::model::proof::ProofRecord;

use super::history::{Entry, EscrowSummary, History};

/// Which escrow is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The newest whose proof did not fail; where all did, the newest.
    Newest,
    /// This one, whatever else is damaged.
    Id(EscrowId),
    /// The same of those whose snapshot began at this time or before.
    At(UtcTime),
}

/// No escrow was chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// There is none at all.
    #[error("there is no verified escrow of this instance in the stores that answered")]
    None,
    /// Not the one that was asked for.
    #[error("there is no verified escrow {0}")]
    NoSuch(EscrowId),
    /// All are newer.
    #[error("there is no verified escrow from {0} or before")]
    NoneAt(UtcTime),
    /// What is newest cannot be told.
    #[error("which escrow is the newest is in doubt: {why}")]
    Doubtful {
        /// The finding.
        why: String,
        /// The newest that verifies by itself.
        newest: Box<EscrowId>,
    },
}

/// Findings after which the newest verified manifest may not be the newest there was. A fork is
/// not among them: one that the chain has left behind leaves no doubt about what is newest.
const DOUBTFUL: [&str; 5] = [
    "rollback",
    "history-rewritten",
    "future-manifest",
    // Whoever stole a key that was retired since can date manifests back into its time, but not
    // put them before what others have signed.
    "time-runs-back",
    "chain-break",
];

/// Chooses an escrow. `--escrow ID` is obeyed whatever the rest of the chain looks like; the
/// other two refuse while it is in doubt what the newest one is.
pub fn select<'h>(
    history: &'h History,
    selection: &Selection,
) -> Result<(&'h Entry, &'h EscrowSummary), SelectError> {
    // The payload of what retention let go may be gone.
    let newest_first = || {
        let kept = history.followed_escrows().rev();
        kept.filter(|(_, escrow)| !escrow.is_let_go())
    };
    match selection {
        Selection::Id(id) => history
            .escrows()
            .rev()
            .find(|(_, escrow)| escrow.id == *id)
            .ok_or_else(|| SelectError::NoSuch(id.clone())),
        Selection::Newest => {
            let found = best(newest_first()).ok_or(SelectError::None)?;
            check_doubt(history, found)?;
            Ok(found)
        }
        Selection::At(time) => {
            let before = newest_first().filter(|(_, escrow)| escrow.snapshot_at <= *time);
            let found = best(before).ok_or(SelectError::NoneAt(*time))?;
            check_doubt(history, found)?;
            Ok(found)
        }
    }
}

/// The newest, unless its proof speaks against its key and an older one with another key does
/// not: an older escrow with the same key opens no more, and lacks what came since.
fn best<'h>(
    mut newest_first: impl Iterator<Item = (&'h Entry, &'h EscrowSummary)>,
) -> Option<(&'h Entry, &'h EscrowSummary)> {
    let newest = newest_first.next()?;
    if !has_failed(newest.1) {
        return Some(newest);
    }
    let better = |found: &(&Entry, &EscrowSummary)| {
        !has_failed(found.1) && found.1.secret_key_id != newest.1.secret_key_id
    };
    Some(newest_first.find(better).unwrap_or(newest))
}

fn has_failed(escrow: &EscrowSummary) -> bool {
    let proof = escrow.proof.as_ref();
    proof.is_some_and(ProofRecord::speaks_against_the_key)
}

/// What to tell of newer escrows that were not chosen because their key opened nothing.
pub fn passed_over(history: &History, chosen: &Entry) -> Option<String> {
    let newer = history
        .escrows()
        .filter(|(entry, escrow)| entry.link.seq > chosen.link.seq && has_failed(escrow));
    let ids: Vec<String> = newer.map(|(_, escrow)| escrow.id.to_string()).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "newer, and passed over because their key opened nothing that was tried: {}; \
             --escrow ID takes one all the same",
            ids.join(", ")
        )
    })
}

fn check_doubt(
    history: &History,
    (chosen, newest): (&Entry, &EscrowSummary),
) -> Result<(), SelectError> {
    let mut findings = history.findings.iter();
    let doubt = findings
        .find(|finding| finding.severity == Severity::Violation && DOUBTFUL.contains(&finding.id))
        .map(|finding| finding.message.clone());
    match doubt.or_else(|| fork_at(history, chosen)) {
        None => Ok(()),
        Some(why) => Err(SelectError::Doubtful {
            why,
            newest: Box::new(newest.id.clone()),
        }),
    }
}

/// Why the slot of the chosen manifest, or that of the head, does not say which one counts.
fn fork_at(history: &History, chosen: &Entry) -> Option<String> {
    let in_doubt = [Some(chosen), history.head()].into_iter().flatten();
    in_doubt.map(|entry| entry.link.seq).find_map(|seq| {
        let mut open = history.forks.iter().filter(|fork| fork.closed_by.is_none());
        let fork = open.find(|fork| fork.seq == seq);
        fork.map(|_| format!("several valid manifests claim sequence {seq}"))
    })
}
