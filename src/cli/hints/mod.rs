//! Which exit code an error has, and what a person should do next.

mod close_fork;
mod custody;
mod drill;
mod import;
mod pitr;
mod recover;
mod rehydrate;
mod rekey;
mod snapshot;
mod unfence;

use std::path::Path;

use crate::model::allowed_signers::AllowedSignersError;
use crate::model::quorum::QuorumError;
use crate::model::recipients::RecipientsError;
use crate::model::store_spec::CredentialsError;
use crate::ops::history::HistoryError;
use crate::ops::init::InitError;
use crate::ops::join::JoinError;
use crate::ops::select::SelectError;
use crate::ops::state::StateError;
use crate::sealing::sshsig::SigningKeyError;
use crate::store::{StoreError, StoreErrorKind};

use super::exit::{CliError, Exit};

pub(super) use close_fork::close_fork;
pub(super) use custody::{challenge, checkin, step};
pub(super) use drill::drill;
pub(super) use import::{from_key, import, stopped_instance};
pub(super) use pitr::{no_postgres, restore, unreachable, which};
pub(super) use recover::{backup, escrowed_key, find, listing, output};
pub(super) use rehydrate::{rehydrate, unpack};
pub(super) use rekey::rekey;
pub(super) use snapshot::{prune, replicate, snapshot};
pub(super) use unfence::unfence;

/// A store could not be used.
#[cfg(feature = "s3")]
pub(super) fn store(error: StoreError) -> CliError {
    let hint = store_hint(&error);
    CliError::failed(error).maybe_hint(hint)
}

fn store_hint(error: &StoreError) -> Option<&'static str> {
    store_kind(error.kind)
}

/// What to do about a store that failed so.
pub(super) fn store_kind(kind: StoreErrorKind) -> Option<&'static str> {
    match kind {
        StoreErrorKind::Denied => Some(
            "check the store's credentials and what they may do: `databasus-escrow doctor stores` \
             tries it",
        ),
        StoreErrorKind::UnknownCredentials => Some(
            "check the store's credentials: key id, secret, session token and when it ends; a \
             token of R2 made a moment ago may need half a minute",
        ),
        StoreErrorKind::Misdirected => Some(
            "mend the store's `region` and `endpoint`; what the store said may name the right ones",
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

/// So many custodians cannot be asked for.
pub(super) fn quorum(error: QuorumError) -> CliError {
    CliError::new(Exit::Usage, error).hint(
        "custody.k in the configuration says how many of the custodians in the recipients file \
         open an escrow together; without it each of them can alone",
    )
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

/// What this host remembers cannot be used.
pub(super) fn state(error: StateError) -> CliError {
    match error {
        StateError::Busy(_) => CliError::new(Exit::Busy, error),
        _ => CliError::failed(error),
    }
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
