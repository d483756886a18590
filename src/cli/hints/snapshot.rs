//! What keeps a snapshot from being committed.

use crate::cli::exit::{CliError, Exit};
use crate::ops::certainty::Uncertain;
use crate::ops::commit::CommitError;
use crate::ops::history::HistoryError;
use crate::ops::prune::PruneError;
use crate::ops::snapshot::{SecretKeyProblem, SnapshotError};
use crate::ops::state::StateError;
use crate::postgres::wire::PgError;
use crate::source::SourceError;

use super::{SIGNERS_HINT, store_hint};

/// No snapshot was committed.
pub(in crate::cli) fn snapshot(error: SnapshotError) -> CliError {
    let (exit, hint) = match &error {
        SnapshotError::Commit(error) => commit(error),
        SnapshotError::SecretKey(problem) => (Exit::Refused, Some(secret_key_hint(problem))),
        SnapshotError::ProofTooLow { .. } => (
            Exit::Refused,
            Some(
                "nothing was committed; without --require-proof it is, with the failure on record",
            ),
        ),
        SnapshotError::Source(error) => source(error),
        SnapshotError::Recipient(_) => (
            Exit::Usage,
            Some("the plugin of a recipient must be installed on this host"),
        ),
        _ => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// Stores were not brought up to what they should hold.
pub(in crate::cli) fn replicate(error: CommitError) -> CliError {
    let (exit, hint) = commit(&error);
    CliError::new(exit, error).maybe_hint(hint)
}

/// Nothing was pruned.
pub(in crate::cli) fn prune(error: PruneError) -> CliError {
    let (exit, hint) = match &error {
        PruneError::Commit(error) => commit(error),
        PruneError::Uncertain(error) => uncertain(error),
        PruneError::Unannounced(_) => (
            Exit::Partial,
            Some("nothing was deleted; the next run deletes what is announced by then"),
        ),
        PruneError::NotProven(_) => (
            Exit::Refused,
            Some("find out why first: an escrow whose key opens nothing must not push others out"),
        ),
        PruneError::KeyChanged(_) => (
            Exit::Refused,
            Some("find out who changed it; the next snapshot under the same key lifts this"),
        ),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

pub(super) fn uncertain(error: &Uncertain) -> (Exit, Option<&'static str>) {
    match error {
        Uncertain::NotAllStores(_) => (
            Exit::Failed,
            Some("what a silent store holds is not known; run it again when all answer"),
        ),
        Uncertain::Doubtful(_) => (
            Exit::Integrity,
            Some(
                "`databasus-escrow list` shows what is wrong; runbooks/findings.md says what to do",
            ),
        ),
        Uncertain::Nothing => (Exit::NotFound, None),
        Uncertain::Unvouched(_) => (
            Exit::Refused,
            Some(
                "add this box's line to policies/allowed_signers on the host that takes \
                 snapshots, take one, and run this again",
            ),
        ),
    }
}

/// A manifest was not committed.
pub(super) fn commit(error: &CommitError) -> (Exit, Option<&'static str>) {
    match error {
        CommitError::State(StateError::Busy(_)) => (
            Exit::Busy,
            Some("wait for the other run, or look for one that hangs"),
        ),
        CommitError::LostRace(_) => (
            Exit::Busy,
            Some("two hosts write this chain; run it again, or stop one of them"),
        ),
        CommitError::SignerNotAllowed { .. } => (
            Exit::Usage,
            Some(
                "signing.key and policies/allowed_signers do not belong together; if the key was lost, `databasus-escrow init --join` continues the chain",
            ),
        ),
        CommitError::AllowedSigners(_) => (Exit::Usage, Some(SIGNERS_HINT)),
        CommitError::NoStore { first, .. } => (Exit::Failed, first.as_ref().and_then(store_hint)),
        CommitError::History(HistoryError::NoStore(error)) => (Exit::Failed, store_hint(error)),
        _ => (Exit::Failed, None),
    }
}

fn secret_key_hint(problem: &SecretKeyProblem) -> &'static str {
    match problem {
        SecretKeyProblem::Absent(_) => {
            "a fresh Databasus has no key until somebody signs in for the first time; else check \
             source.data_dir: it must be the folder that the container sees as /databasus-data"
        }
        SecretKeyProblem::Empty(_) => {
            "an empty key encrypts nothing: stop Databasus and put the real one back before it \
             makes backups"
        }
        SecretKeyProblem::Changed(_) => "find out who writes to it, then run this again",
        SecretKeyProblem::Unreadable { .. } => {
            "run as root, or as a user in a group that may read it"
        }
    }
}

fn source(error: &SourceError) -> (Exit, Option<&'static str>) {
    match error {
        SourceError::Clone | SourceError::MarkedClone(_) => (
            Exit::Refused,
            Some("this is a rehydrated, fenced copy; take snapshots of production only"),
        ),
        SourceError::Postgres(error) => (Exit::Failed, postgres_hint(error)),
        SourceError::NeitherWay(neither) => source(&neither.online),
        SourceError::TooOld(_) | SourceError::InRecovery => (
            Exit::Failed,
            Some("check that source.host and source.port are those of Databasus' own server"),
        ),
        SourceError::NotStopped(_) => (
            Exit::Failed,
            Some("stop Databasus for a cold copy, or set source.method to \"online\""),
        ),
        SourceError::Tree(_) | SourceError::Pgdata(_) => (
            Exit::Failed,
            Some(
                "source.data_dir must be the folder that the container sees as /databasus-data, \
                 with pgdata in it",
            ),
        ),
        SourceError::Frozen(_) => (
            Exit::Failed,
            Some("the commands stand in [source.frozen]; they run without a shell"),
        ),
        _ => (Exit::Failed, None),
    }
}

fn postgres_hint(error: &PgError) -> Option<&'static str> {
    match error {
        PgError::Unreachable { .. } | PgError::Namespace { .. } => Some(
            "Databasus' PostgreSQL listens inside its container only: run this in the container's \
             network namespace (docker run --network container:NAME …), or as root with \
             source.container set; check source.port too",
        ),
        PgError::AuthenticationDemanded { .. } => Some(
            "Databasus' own server trusts loopback: check that host and port are its own, and \
             that nobody edited pg_hba.conf",
        ),
        PgError::Protocol(_) => Some("something else listens there: check source.port"),
        PgError::Server { sqlstate, .. } if NOT_LET_IN.contains(&sqlstate.as_str()) => {
            Some("check source.user and source.database; Databasus' own are the defaults")
        }
        _ => None,
    }
}

/// Invalid authorization, insufficient privilege, no such database (PostgreSQL, appendix A).
const NOT_LET_IN: [&str; 3] = ["28000", "42501", "3D000"];
