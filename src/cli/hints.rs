//! Which exit code an error has, and what a person should do next.

use std::path::Path;

use crate::model::allowed_signers::AllowedSignersError;
use crate::model::recipients::RecipientsError;
#[cfg(feature = "s3")]
use crate::model::store_spec::CredentialsError;
use crate::ops::fetch::NoCopy;
use crate::ops::history::HistoryError;
use crate::ops::init::InitError;
use crate::ops::join::JoinError;
use crate::ops::rehydrate::{RecoverError, RehydrateError, Unable};
use crate::ops::select::SelectError;
use crate::ops::snapshot::{SecretKeyProblem, SnapshotError};
use crate::ops::state::StateError;
use crate::postgres::wire::PgError;
use crate::sealing::parts::PartError;
use crate::sealing::sshsig::SigningKeyError;
use crate::sealing::unpack::UnpackError;
use crate::source::SourceError;
use crate::store::{StoreError, StoreErrorKind};
use crate::target::TargetError;

use super::exit::{CliError, Exit};

/// A store could not be used.
#[cfg(feature = "s3")]
pub(super) fn store(error: StoreError) -> CliError {
    let hint = store_hint(&error);
    CliError::failed(error).maybe_hint(hint)
}

fn store_hint(error: &StoreError) -> Option<&'static str> {
    match error.kind {
        StoreErrorKind::Denied => Some(
            "check the store's credentials and what they may do; a token made a moment ago may \
             need half a minute",
        ),
        StoreErrorKind::NoSuchStore => {
            Some("create the bucket or directory, or mend its name in the configuration")
        }
        StoreErrorKind::OutOfSpace => Some("make room in the store; nothing was committed to it"),
        StoreErrorKind::ClockSkew => Some("set this host's clock (timedatectl, chrony)"),
        StoreErrorKind::Transient => Some("check the endpoint and the network, then run it again"),
        _ => None,
    }
}

/// A store's credentials are not where they should be.
#[cfg(feature = "s3")]
pub(super) fn credentials(error: CredentialsError) -> CliError {
    CliError::new(Exit::Usage, error).hint(
        "secrets come from the environment, or from the files that keys ending in _file name; \
         never from the command line",
    )
}

/// The recipients cannot be used.
pub(super) fn recipients(place: Option<&Path>, error: RecipientsError) -> CliError {
    let hint = match error {
        RecipientsError::PrivateKey { .. } => {
            "what opens escrows stays with its custodian: make a new pair with age-keygen, and \
             give what `age-keygen -y FILE` prints"
        }
        _ => {
            "a recipient looks like age1…, or like the line of an ssh-ed25519 public key; \
             `age-keygen -y FILE` prints the one of an identity"
        }
    };
    match place {
        Some(path) => CliError::in_file(path, error),
        None => CliError::new(Exit::Usage, error),
    }
    .hint(hint)
}

/// A file of signers cannot be used.
pub(super) fn allowed_signers(path: &Path, error: AllowedSignersError) -> CliError {
    CliError::in_file(path, error).hint(SIGNERS_HINT)
}

const SIGNERS_HINT: &str = "its lines are those of ssh-keygen -Y verify; the trust card has the \
     fingerprints of the keys that belong into it";

/// The key to sign with cannot be used.
pub(super) fn signing_key(path: &Path, error: SigningKeyError) -> CliError {
    CliError::in_file(path, error).hint(
        "signing.key_file names what `databasus-escrow init` wrote; if it was lost, \
         `databasus-escrow init --join` continues the chain",
    )
}

/// The chain could not be read.
pub(super) fn history(error: HistoryError) -> CliError {
    let hint = match &error {
        HistoryError::NoStore(error) => store_hint(error),
        HistoryError::Unusable { .. } => Some("a newer databasus-escrow may know this format"),
        _ => None,
    };
    let exit = match &error {
        HistoryError::Unusable { .. } | HistoryError::Reread { .. } => Exit::Integrity,
        HistoryError::NoEscrow(_) => Exit::NotFound,
        _ => Exit::Failed,
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// No escrow could be chosen.
pub(super) fn select(error: SelectError) -> CliError {
    let (exit, hint) = match &error {
        SelectError::Doubtful { newest, .. } => (
            Exit::Integrity,
            format!("to use the newest that verifies by itself: --escrow {newest}"),
        ),
        _ => (
            Exit::NotFound,
            "`databasus-escrow list` shows what there is; check --instance, --store and --trust"
                .to_owned(),
        ),
    };
    CliError::new(exit, error).hint(hint)
}

/// Nothing was initialised.
pub(super) fn init(error: InitError) -> CliError {
    let (exit, hint) = match &error {
        InitError::Exists(_) => (
            Exit::Refused,
            Some("name another --dir; an instance that exists is changed by editing its files"),
        ),
        InitError::ChainExists { .. } => (
            Exit::Refused,
            Some(
                "to continue it on a host that lost its signing key: `databasus-escrow init \
                 --join --trust SHA256:…`; for another instance choose another --instance",
            ),
        ),
        InitError::Unusable(_) => (
            Exit::Failed,
            Some("mend the store, or write the files all the same with --skip-probe"),
        ),
        _ => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// No chain was joined.
pub(super) fn join(error: JoinError) -> CliError {
    let (exit, hint) = match error {
        JoinError::Init(error) => return init(error),
        JoinError::History(error) => return history(error),
        JoinError::State(StateError::Busy(_)) => (Exit::Busy, None),
        JoinError::NoTrust => (
            Exit::Usage,
            Some("give --trust SHA256:… from the trust card, or --allowed-signers FILE"),
        ),
        JoinError::NoChain(_) => (
            Exit::NotFound,
            Some("without --join a new chain is begun; check --instance and --store"),
        ),
        JoinError::Untrusted(_) | JoinError::NotTheSame(_) => (Exit::Integrity, None),
        JoinError::NewerManifests { .. } => (
            Exit::Integrity,
            Some("look for a newer trust card; --ignore-newer goes on if they were planted"),
        ),
        _ => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

/// No snapshot was committed.
pub(super) fn snapshot(error: SnapshotError) -> CliError {
    let (exit, hint) = match &error {
        SnapshotError::State(StateError::Busy(_)) => (
            Exit::Busy,
            Some("wait for the other run, or look for one that hangs"),
        ),
        SnapshotError::LostRace(_) => (
            Exit::Busy,
            Some("two hosts write this chain; run it again, or stop one of them"),
        ),
        SnapshotError::SecretKey(problem) => (Exit::Refused, Some(secret_key_hint(problem))),
        SnapshotError::Source(error) => source(error),
        SnapshotError::SignerNotAllowed { .. } => (
            Exit::Usage,
            Some(
                "signing.key and policies/allowed_signers do not belong together; if the key was lost, `databasus-escrow init --join` continues the chain",
            ),
        ),
        SnapshotError::AllowedSigners(_) => (Exit::Usage, Some(SIGNERS_HINT)),
        SnapshotError::Recipient(_) => (
            Exit::Usage,
            Some("the plugin of a recipient must be installed on this host"),
        ),
        SnapshotError::NoStore { first, .. } => (Exit::Failed, first.as_ref().and_then(store_hint)),
        SnapshotError::History(HistoryError::NoStore(error)) => (Exit::Failed, store_hint(error)),
        _ => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
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
        SourceError::Clone => (
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

/// Nothing was rehydrated.
pub(super) fn rehydrate(error: RehydrateError) -> CliError {
    let (exit, hint) = match &error {
        RehydrateError::Target(TargetError::Busy(_)) => (Exit::Busy, None),
        RehydrateError::Target(TargetError::Io { .. }) => (Exit::Failed, None),
        RehydrateError::Target(_) => (
            Exit::Refused,
            Some("name a directory that does not exist yet; nothing was changed"),
        ),
        RehydrateError::Unable(unable) => (Exit::Failed, Some(unable_hint(unable))),
        RehydrateError::Unpack(error) => unpack_exit(error),
        RehydrateError::WrongKey { .. } | RehydrateError::NoKey => (Exit::Integrity, None),
        RehydrateError::NoLogicalCopy => (
            Exit::Refused,
            Some("rehydrate without --from-logical, with the recorded PostgreSQL major"),
        ),
        RehydrateError::Recover(RecoverError::Server(_)) => (
            Exit::Failed,
            Some(
                "--files-only restores the files without starting PostgreSQL; --from-logical builds a new cluster from the logical copy",
            ),
        ),
        _ => (Exit::Failed, None),
    };
    CliError::new(exit, error).maybe_hint(hint)
}

fn unable_hint(unable: &Unable) -> &'static str {
    match unable {
        Unable::Major { .. } | Unable::Older { .. } | Unable::Image => {
            "name the programs of a fitting PostgreSQL with --pg-bin; --files-only goes without"
        }
        Unable::Program { .. } | Unable::Directory { .. } => {
            "give that user the way in, or name another place; nothing was fetched"
        }
        Unable::Room { .. } => "name a target on a larger disk; nothing was fetched",
    }
}

/// An escrow could not be opened.
pub(super) fn unpack(error: UnpackError) -> CliError {
    let (exit, hint) = unpack_exit(&error);
    CliError::new(exit, error).maybe_hint(hint)
}

fn unpack_exit(error: &UnpackError) -> (Exit, Option<&'static str>) {
    match error {
        UnpackError::NoIdentity => (
            Exit::NoIdentity,
            Some("`databasus-escrow show` names the custodians whose identities open it"),
        ),
        UnpackError::Entry { .. } => (
            Exit::Failed,
            Some("check room and permissions where the target is made"),
        ),
        UnpackError::UnsafePath(_)
        | UnpackError::ForbiddenKind { .. }
        | UnpackError::Duplicate(_)
        | UnpackError::Foreign(_) => (
            Exit::Refused,
            Some("the payload is signed, but not of this tool's making: distrust its signer"),
        ),
        UnpackError::Read(error) => (read_exit(error), None),
        _ => (Exit::Integrity, None),
    }
}

/// A stream that failed because no store has the bytes that were signed is an integrity error;
/// a store that is merely away is not.
fn read_exit(error: &std::io::Error) -> Exit {
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        let no_copy = error.downcast_ref::<NoCopy>();
        if error.is::<PartError>() || no_copy.is_some_and(NoCopy::is_damage) {
            return Exit::Integrity;
        }
        cause = error.source();
    }
    Exit::Failed
}
