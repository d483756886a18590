//! Choosing an escrow: the newest, one by its id, or the one in force at a time.

use crate::base::names::EscrowId;
use crate::base::time::UtcTime;
use crate::model::finding::{Finding, Severity};

use super::history::{Entry, EscrowSummary, History};

/// Which escrow is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The newest there is.
    Newest,
    /// This one, whatever else is damaged.
    Id(EscrowId),
    /// The newest whose snapshot began at this time or before.
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

/// Findings after which the newest verified manifest may not be the newest there was.
const DOUBTFUL: [&str; 4] = [
    "rollback",
    "history-rewritten",
    "chain-fork",
    "future-manifest",
];

/// Chooses an escrow. `--escrow ID` is obeyed whatever the rest of the chain looks like; the
/// other two refuse while it is in doubt what the newest one is.
pub fn select<'h>(
    history: &'h History,
    selection: &Selection,
) -> Result<(&'h Entry, &'h EscrowSummary), SelectError> {
    let mut newest_first = history.escrows().rev();
    match selection {
        Selection::Id(id) => newest_first
            .find(|(_, escrow)| escrow.id == *id)
            .ok_or_else(|| SelectError::NoSuch(id.clone())),
        Selection::Newest => {
            let found = newest_first.next().ok_or(SelectError::None)?;
            check_doubt(&history.findings, found.1)?;
            Ok(found)
        }
        Selection::At(time) => {
            let found = newest_first
                .find(|(_, escrow)| escrow.snapshot_at <= *time)
                .ok_or(SelectError::NoneAt(*time))?;
            check_doubt(&history.findings, found.1)?;
            Ok(found)
        }
    }
}

fn check_doubt(findings: &[Finding], newest: &EscrowSummary) -> Result<(), SelectError> {
    let doubt = findings
        .iter()
        .find(|finding| finding.severity == Severity::Violation && DOUBTFUL.contains(&finding.id));
    match doubt {
        None => Ok(()),
        Some(finding) => Err(SelectError::Doubtful {
            why: finding.message.clone(),
            newest: Box::new(newest.id.clone()),
        }),
    }
}
