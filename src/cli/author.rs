//! Who signs here, as the configuration says.

use zeroize::Zeroizing;

use crate::base::names::SignerName;
use crate::cli::exit::CliError;
use crate::cli::{hints, wire};
use crate::model::config::Config;
use crate::ops::commit::Author;
use crate::sealing::sshsig::SigningKey;

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

    /// For manifests of this configuration's instance.
    pub(super) fn author<'a>(&'a self, config: &'a Config) -> Author<'a> {
        Author {
            slug: &config.instance,
            signer: &self.signer,
            signing_key: &self.key,
            allowed_signers: &self.allowed_signers,
        }
    }
}
