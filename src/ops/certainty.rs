//! What has to be certain before anything is deleted: that every store answers, that the chain is
//! whole, and that others will follow what is signed here.

use crate::base::error_chain::error_chain;
use crate::base::names::{SignerName, StoreName};
use crate::model::allowed_signers::AllowedSigners;
use crate::model::finding::Severity;
use crate::model::trust::Trust;

use super::commit::{Committer, Ports};
use super::history::History;
use super::inventory::{Holding, Unlisted};

/// Too little is known to delete anything.
#[derive(Debug, thiserror::Error)]
pub enum Uncertain {
    /// What a store that does not answer holds is not known.
    #[error("not all stores could be read: {}", .0.join("; "))]
    NotAllStores(Vec<String>),
    /// The chain is not whole.
    #[error("the chain is in doubt: {0}")]
    Doubtful(String),
    /// The chain commits nothing.
    #[error("there is no verified escrow of this instance")]
    Nothing,
    /// Who has nothing but the trust card would not follow, and the next snapshot would write over
    /// what is announced.
    #[error("the newest snapshot does not name {0} among those who may sign")]
    Unvouched(SignerName),
}

/// Findings that leave it open what was signed and when.
const DOUBTFUL: [&str; 8] = [
    "rollback",
    "history-rewritten",
    "future-manifest",
    "time-runs-back",
    "chain-break",
    "chain-gap",
    "chain-fork",
    "unknown-manifest-of-ours",
];

/// The absence of something proves nothing while a store does not answer.
pub(super) fn of_stores(
    history: &History,
    holdings: &[Holding<'_>],
    ports: Ports<'_>,
    unlisted: Vec<Unlisted<'_>>,
) -> Result<(), Uncertain> {
    let all = ports.destinations.len();
    if history.complete && history.answered.len() == all && holdings.len() == all {
        return Ok(());
    }
    let answered = |name: &StoreName| history.answered.contains(name);
    let names = ports.destinations.iter().map(|to| to.store.name());
    let silent = names.filter(|name| !answered(name));
    let mut told: Vec<String> = silent.map(|name| format!("store {name}")).collect();
    told.extend(unlisted.into_iter().map(|(_, why)| why));
    if told.is_empty() {
        told.push("a manifest could not be read".to_owned());
    }
    Err(Uncertain::NotAllStores(told))
}

/// A manifest that is missing or does not fit may have said otherwise.
pub(super) fn of_chain(chain: &Committer<'_>, history: &History) -> Result<(), Uncertain> {
    if history.escrows().next().is_none() {
        return Err(Uncertain::Nothing);
    }
    let mut findings = chain.findings.iter();
    let doubt = findings
        .find(|finding| finding.severity == Severity::Violation && DOUBTFUL.contains(&finding.id));
    if let Some(doubt) = doubt {
        return Err(Uncertain::Doubtful(doubt.message.clone()));
    }
    of_signer(chain, history)
}

/// This host's own file of signers is not everybody's. Others learn of signers from snapshots.
pub(super) fn of_signer(chain: &Committer<'_>, history: &History) -> Result<(), Uncertain> {
    let newest = history.followed_escrows().next_back();
    let (newest, _) = newest.ok_or(Uncertain::Nothing)?;
    let doubtful = |error: &dyn std::error::Error| Uncertain::Doubtful(error_chain(error));
    let policy = history
        .signed_policy(newest)
        .map_err(|error| doubtful(&error))?;
    let signers = AllowedSigners::parse(&policy.allowed_signers);
    let signers = signers.map_err(|error| doubtful(&error))?;
    chain
        .is_signer_of(&Trust::new(signers, Vec::new()))
        .map_err(|_| Uncertain::Unvouched(chain.signer().clone()))
}
