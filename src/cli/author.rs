//! Who signs here, and what the chain is extended with, as the configuration says.

use zeroize::Zeroizing;

use crate::base::cancel::Cancel;
use crate::base::names::SignerName;
use crate::base::time::SystemClock;
use crate::cli::args::Global;
use crate::cli::exit::CliError;
use crate::cli::{hints, wire};
use crate::model::config::Config;
use crate::ops::commit::{Author, Ports};
use crate::ops::destination::Destination;
use crate::ops::state::State;
use crate::sealing::sshsig::SigningKey;
use crate::store::Rights;

/// What a manifest is signed with.
pub(super) struct Signing {
    pub(super) signer: SignerName,
    pub(super) key: SigningKey,
    pub(super) allowed_signers: String,
}

impl Signing {
    /// Reads the key and the signers. `job` says why a box without a key cannot do this.
    pub(super) fn read(config: &Config, job: &str) -> Result<Self, CliError> {
        let signing = config.signing.as_ref().ok_or_else(|| {
            CliError::usage("the configuration has no [signing]")
                .hint(format!("{job}; this box only reads"))
        })?;
        let key_file = config.resolve(&signing.key_file);
        wire::warn_if_shared(&key_file);
        let pem = Zeroizing::new(wire::read_text(&key_file)?);
        let key = SigningKey::from_openssh_pem(&pem)
            .map_err(|error| hints::signing_key(&key_file, error))?;
        Ok(Self {
            signer: signing.signer.clone(),
            key,
            allowed_signers: wire::read_text(&config.resolve(&config.trust.allowed_signers))?,
        })
    }
}

/// What jobs have in common that extend the chain and touch no source.
pub(super) struct Writer {
    pub(super) config: Config,
    signing: Signing,
    destinations: Vec<Destination>,
    state: State,
}

impl Writer {
    /// Reads the configuration and opens its stores. `job` as in [`Signing::read`].
    pub(super) fn open(
        global: &Global,
        job: &str,
        rights: Rights,
        cancel: &Cancel,
    ) -> Result<Self, CliError> {
        let config = wire::need_config(global)?;
        Ok(Self {
            signing: Signing::read(&config, job)?,
            destinations: wire::destinations(&config, rights, cancel)?,
            state: State::new(config.resolve(&config.state.dir)),
            config,
        })
    }

    /// For manifests of the configuration's instance.
    pub(super) fn author(&self) -> Author<'_> {
        Author {
            slug: &self.config.instance,
            signer: &self.signing.signer,
            signing_key: &self.signing.key,
            allowed_signers: &self.signing.allowed_signers,
        }
    }

    /// Where they go.
    pub(super) fn ports<'a>(&'a self, cancel: &'a Cancel) -> Ports<'a> {
        Ports {
            destinations: &self.destinations,
            state: &self.state,
            clock: &SystemClock,
            cancel,
        }
    }
}
