//! Begins an instance: its configuration, signing key, signers and recipients, planned as values
//! first, then written all or not at all.

mod files;
mod stores;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::base::file_error::FileError;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{Slug, StoreName};
use crate::base::time::UtcTime;
use crate::model::allowed_signers::{AllowedSigners, AllowedSignersError, EmptyWindow, Window};
use crate::model::config::{Answers, Config, ConfigError, Signing};
use crate::model::namespace::Namespace;
use crate::model::recipients::{RecipientSpec, Recipients, RecipientsError};
use crate::sealing::sshsig::{SigningKey, SigningKeyError};

use files::PlannedFile;

pub(super) use files::WrittenFiles;
pub use stores::{ChainPresence, StoreProbe, probe_all, refuse_chains, refuse_unusable};

/// The configuration's name in its folder.
pub const CONFIG_FILE: &str = "escrow.toml";

/// What a new instance begins with.
pub struct InitRequest {
    /// The folder of the configuration; its relative paths start there.
    pub dir: PathBuf,
    /// What goes into the configuration. It must say what the host signs with.
    pub answers: Answers,
    /// Who can open what is sealed.
    pub recipients: Recipients,
    /// The present: from now on the key is valid, and the recipients are in force.
    pub now: UtcTime,
}

/// The files of an instance, checked but not written. Holds a new private key.
pub struct InitPlan {
    files: Vec<PlannedFile>,
    config: Config,
    recipients_text: String,
    allowed_signers_text: String,
    fingerprint: Fingerprint,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Every file.
    pub paths: Vec<PathBuf>,
    /// The new signing key's, for the trust card.
    pub fingerprint: Fingerprint,
}

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Nothing is ever overwritten.
    #[error("refused to overwrite {}", listed(.0))]
    Exists(Vec<PathBuf>),
    /// The answers name no key.
    #[error("the configuration names nothing to sign with")]
    NothingToSignWith,
    /// The configuration would not read back.
    #[error("the configuration would not be valid")]
    Config(#[from] ConfigError),
    /// The recipients would not read back.
    #[error("the recipients file would not be valid")]
    Recipients(#[from] RecipientsError),
    /// The recipients cannot be written as TOML.
    #[error("cannot write down the recipients")]
    RecipientsText(#[from] toml::ser::Error),
    /// The signers would not read back.
    #[error("the allowed_signers file would not be valid")]
    AllowedSigners(#[from] AllowedSignersError),
    /// The clock stands at the epoch.
    #[error("the key's validity cannot begin now")]
    Clock(#[from] EmptyWindow),
    /// No key could be made.
    #[error("cannot make a signing key")]
    Key(#[from] SigningKeyError),
    /// The filesystem said no.
    #[error(transparent)]
    Io(#[from] FileError),
    /// Stores that hold this instance already.
    #[error("instance {slug} exists already in {}", joined(stores))]
    ChainExists {
        /// The instance.
        slug: Slug,
        /// Where its manifests are.
        stores: Vec<StoreName>,
    },
    /// Stores on which no snapshot could rely.
    #[error("cannot rely on {}", .0.join("; "))]
    Unusable(Vec<String>),
}

/// Plans the files of a new instance, with a new signing key. Writes nothing; fails if any of
/// the files exists already.
pub fn plan(request: InitRequest) -> Result<InitPlan, InitError> {
    let key = SigningKey::generate()?;
    let signer = signing(&request.answers)?.signer.clone();
    let allowed = AllowedSigners::new().with_signer(
        signer,
        key.public().clone(),
        &[Namespace::Manifest],
        valid_from(request.now)?,
    );
    let recipients = dated(&request.recipients, request.now)?.to_toml()?;
    InitPlan::new(
        &request.dir,
        &request.answers,
        &key,
        allowed.to_text(),
        recipients,
    )
}

/// Writes what was planned, durably: all files, or none.
pub fn apply(plan: &InitPlan) -> Result<Written, InitError> {
    Ok(plan.write()?.keep())
}

impl InitPlan {
    /// Plans the files around a key and the two texts of a policy.
    pub(super) fn new(
        dir: &Path,
        answers: &Answers,
        key: &SigningKey,
        allowed_signers_text: String,
        recipients_text: String,
    ) -> Result<Self, InitError> {
        let key_file = &signing(answers)?.key_file;
        let config_text = Config::template(answers);
        let config = Config::parse(&config_text, dir)?;
        AllowedSigners::parse(&allowed_signers_text)?;
        Recipients::parse(&recipients_text)?;
        let pem = key.to_openssh_pem()?;
        SigningKey::from_openssh_pem(&pem)?;
        let public = |path: PathBuf, text: &str| PlannedFile::new(path, 0o644, text);
        let signers = config.resolve(&config.trust.allowed_signers);
        let recipients = config.resolve(&config.recipients.file);
        // The configuration comes last: a folder that has one has everything it names.
        let files = vec![
            PlannedFile::new(config.resolve(key_file), 0o600, &pem),
            public(signers, &allowed_signers_text),
            public(recipients, &recipients_text),
            public(dir.join(CONFIG_FILE), &config_text),
        ];
        files::refuse_existing(&files)?;
        Ok(Self {
            files,
            config,
            recipients_text,
            allowed_signers_text,
            fingerprint: key.fingerprint(),
        })
    }

    /// Writes all files, which go again unless the caller keeps them.
    pub(super) fn write(&self) -> Result<WrittenFiles, InitError> {
        files::write_all(&self.files, self.fingerprint)
    }

    /// The files that would be written.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PlannedFile::path)
    }

    /// The new signing key's.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The configuration, for the trust card.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The recipients file's text, for the trust card.
    pub fn recipients_text(&self) -> &str {
        &self.recipients_text
    }

    /// The `allowed_signers` file's text, for the trust card.
    pub fn allowed_signers_text(&self) -> &str {
        &self.allowed_signers_text
    }
}

impl fmt::Debug for InitPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitPlan")
            .field("paths", &self.paths().collect::<Vec<_>>())
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// What the answers say the host signs with.
pub(super) fn signing(answers: &Answers) -> Result<&Signing, InitError> {
    answers.signing.as_ref().ok_or(InitError::NothingToSignWith)
}

/// A window that begins at `now` and does not end.
pub(super) fn valid_from(now: UtcTime) -> Result<Window, InitError> {
    Ok(Window::new(Some(now), None)?)
}

/// The recipients, each in force since `now` where nothing else is said.
pub(super) fn dated(recipients: &Recipients, now: UtcTime) -> Result<Recipients, InitError> {
    let specs = recipients.iter().map(|spec| RecipientSpec {
        since: spec.since.or(Some(now)),
        ..spec.clone()
    });
    Ok(Recipients::new(specs.collect())?)
}

fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

fn joined(stores: &[StoreName]) -> String {
    let names: Vec<String> = stores.iter().map(|name| format!("store {name}")).collect();
    names.join(", ")
}
