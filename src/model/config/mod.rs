//! `escrow.toml`: which instance is escrowed, whence, whither, and who may open it. Unknown keys
//! are refused, secrets have no place in it, and a value that exists is valid.

mod error;
mod sections;
mod source;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

pub use self::error::{ConfigError, ConfigProblem};
pub use self::sections::{
    Compression, Custody, Open, Proof, Recipients, Retention, Schedule, Signing, State, Trust,
};
pub use self::source::{Frozen, Reach, Source, SourceMethod};
pub use self::template::Answers;
use super::store_spec::{StoreFields, StoreSpec, variable_prefix};
use crate::base::names::Slug;

/// The configuration of one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Databasus installation it is about.
    pub instance: Slug,
    /// Where snapshots come from; none on a box that only reads.
    pub source: Option<Source>,
    /// What manifests, drills and witness reports are signed with.
    pub signing: Option<Signing>,
    /// Whose signatures count.
    pub trust: Trust,
    /// Who can open what is sealed here.
    pub recipients: Recipients,
    /// How many of them it takes.
    pub custody: Custody,
    /// Where marks and pending manifests are kept.
    pub state: State,
    /// When the next escrow is due.
    pub schedule: Schedule,
    /// How hard payloads are compressed.
    pub compression: Compression,
    /// How far key and backups are proven to belong together.
    pub proof: Proof,
    /// Which escrows `prune` keeps.
    pub retention: Retention,
    /// How escrows are opened; never beside a source.
    pub open: Option<Open>,
    /// Where escrows are kept, at least one, in the order they are written.
    pub stores: Vec<StoreSpec>,
    base: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    instance: Slug,
    source: Option<Spanned<Source>>,
    signing: Option<Signing>,
    #[serde(default)]
    trust: Trust,
    #[serde(default)]
    recipients: Recipients,
    #[serde(default)]
    custody: Custody,
    #[serde(default)]
    state: State,
    #[serde(default)]
    schedule: Schedule,
    #[serde(default)]
    compression: Compression,
    #[serde(default)]
    proof: Proof,
    #[serde(default)]
    retention: Retention,
    open: Option<Spanned<Open>>,
    #[serde(default)]
    store: Vec<Spanned<StoreFields>>,
}

impl Config {
    /// Reads a configuration. `base` is the folder of its file: relative paths start there.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        let document: Document =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(text, &error))?;
        document.check_sections(text)?;
        Ok(Self {
            stores: stores(text, document.store)?,
            instance: document.instance,
            source: document.source.map(Spanned::into_inner),
            signing: document.signing,
            trust: document.trust,
            recipients: document.recipients,
            custody: document.custody,
            state: document.state,
            schedule: document.schedule,
            compression: document.compression,
            proof: document.proof,
            retention: document.retention,
            open: document.open.map(Spanned::into_inner),
            base: base.to_owned(),
        })
    }

    /// A path of the configuration as this process can open it.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }
}

impl Document {
    fn check_sections(&self, text: &str) -> Result<(), ConfigError> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        if let Some(open) = &self.open {
            return Err(ConfigError::at(
                text,
                open.span(),
                ConfigProblem::SourceAndOpen,
            ));
        }
        if self.signing.is_none() {
            return Err(ConfigError::at(
                text,
                source.span(),
                ConfigProblem::NothingToSignWith,
            ));
        }
        Ok(())
    }
}

fn stores(text: &str, tables: Vec<Spanned<StoreFields>>) -> Result<Vec<StoreSpec>, ConfigError> {
    if tables.is_empty() {
        return Err(ConfigError::of(ConfigProblem::NoStore));
    }
    let mut seen = BTreeMap::new();
    let mut stores = Vec::new();
    for table in tables {
        let span = table.span();
        let at = |problem| ConfigError::at(text, span.clone(), problem);
        let spec = table.into_inner().check().map_err(|e| at(e.into()))?;
        let name = spec.name.clone();
        // Names that differ in punctuation alone would read each other's variables.
        if let Some(other) = seen.insert(variable_prefix(&name), name.clone()) {
            return Err(at(ConfigProblem::StoresAlike { name, other }));
        }
        stores.push(spec);
    }
    Ok(stores)
}

#[cfg(test)]
mod tests;
