//! Who can open the escrows, by the configuration: the recipients file, and how many it takes.

use std::path::PathBuf;

use crate::cli::exit::CliError;
use crate::cli::{hints, wire};
use crate::model::config::Config;
use crate::model::quorum::Quorum;
use crate::model::recipients::Recipients;

/// The custodians in force.
pub(super) struct Custodians {
    /// The recipients file.
    pub(super) file: PathBuf,
    /// Its text.
    pub(super) text: String,
    /// What it says.
    pub(super) recipients: Recipients,
    /// How many of them it takes; none if each of them can alone.
    pub(super) quorum: Option<Quorum>,
}

impl Custodians {
    pub(super) fn read(config: &Config) -> Result<Self, CliError> {
        let file = config.resolve(&config.recipients.file);
        let text = wire::read_text(&file)?;
        let recipients =
            Recipients::parse(&text).map_err(|error| hints::recipients(Some(&file), error))?;
        Ok(Self {
            quorum: quorum(config, &recipients)?,
            file,
            text,
            recipients,
        })
    }
}

/// The quorum that the configuration asks for, of these recipients.
pub(super) fn quorum(config: &Config, recipients: &Recipients) -> Result<Option<Quorum>, CliError> {
    let quorum = config.custody.k.map(|k| Quorum::new(k, recipients));
    quorum.transpose().map_err(hints::quorum)
}
