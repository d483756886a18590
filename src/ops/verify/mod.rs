//! Verifying escrows: every copy in every store, part by part, and with an identity the content.

use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::names::{EscrowId, StoreName};
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::lock::LockRecord;
use crate::model::manifest::Manifest;
use crate::model::proof::{Level, ProofRecord};
use crate::postgres::restore_tool::RestoreTool;
use crate::sealing::identities::Identities;
use crate::sealing::unpack::UnpackError;
use crate::store::Store;

use super::open::{self, OnBytes};
use super::storages::OpenStorage;

mod content;
mod copy;
mod custody;

use content::Content;
pub(super) use copy::lock_of;
pub use custody::CustodyObject;
pub(super) use custody::wrong as wrong_custody_objects;

/// What was found of one escrow.
#[derive(Debug, Serialize)]
pub struct EscrowReport {
    /// Which.
    pub id: EscrowId,
    /// Its place in the chain.
    pub seq: u64,
    /// Each store's copy.
    pub copies: Vec<CopyReport>,
    /// What stores do not hold for custodians as it was signed.
    pub custody: Vec<CustodyObject>,
    /// What the payload held; none where no identity was given.
    pub content: Option<ContentReport>,
}

/// What was found of one copy.
#[derive(Debug, Serialize)]
pub struct CopyReport {
    /// Where.
    pub store: StoreName,
    /// Whether it is what was signed.
    pub state: CopyState,
    /// What is wrong with it.
    pub why: Option<String>,
    /// Its lock as the store tells it now; none where the manifest records none.
    pub lock: Option<LockRecord>,
    /// What was done to it, or to its lock, though it could be read.
    #[serde(skip)]
    pub told: Vec<Finding>,
}

/// See [`CopyReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyState {
    /// Every part has the signed hash.
    Verified,
    /// The manifest does not say that it was ever there, and there is nothing to be read.
    NeverStored,
    /// The manifest says it was there, and the store has nothing under its name.
    Missing,
    /// It could not be read: nothing is known.
    Unknown,
    /// It is not what was signed.
    Damaged,
}

/// What the payload held.
#[derive(Debug, Serialize)]
pub struct ContentReport {
    /// Entries that are as the index says.
    pub entries: usize,
    /// Bytes in them.
    pub bytes: u64,
    /// How far its key is proven to open metadata and backups.
    pub proof: ProofRecord,
    /// What the proof found, with names.
    #[serde(skip)]
    pub proof_findings: Vec<Finding>,
}

/// What verification stands on.
pub struct Ports<'a> {
    /// Every store that might hold a copy.
    pub stores: &'a [Arc<dyn Store>],
    /// What opens the content, if that is wanted.
    pub identities: Option<&'a Identities>,
    /// What is to be proven of the content.
    pub proof: ProofPorts<'a>,
    /// The present.
    pub now: UtcTime,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

/// How far the key inside is proven to open metadata and backups.
pub struct ProofPorts<'a> {
    /// The highest level that is tried. From 1 on the logical copy is read, from 2 on the
    /// storages that it names are.
    pub wanted: Level,
    /// The way to the backups.
    pub storages: &'a dyn OpenStorage,
    /// What reads the logical copy.
    pub restore_tool: Option<&'a RestoreTool>,
}

/// The content could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The payload does not open, or is not what its index says.
    #[error("cannot verify the content of escrow {id}")]
    Content {
        /// Which.
        id: EscrowId,
        /// Why.
        #[source]
        source: UnpackError,
    },
}

/// Verifies every copy of one escrow, and its content where identities are given.
pub fn verify(
    manifest: &Manifest,
    ports: &Ports<'_>,
    on_bytes: &dyn Fn() -> OnBytes,
) -> Result<EscrowReport, VerifyError> {
    let copies = ports
        .stores
        .iter()
        .map(|store| copy::verify(manifest, store, ports, on_bytes()))
        .collect();
    ports.cancel.check()?;
    let content = match ports.identities {
        None => None,
        Some(identities) => Some(verify_content(manifest, ports, identities, on_bytes())?),
    };
    Ok(EscrowReport {
        id: manifest.escrow_id.clone(),
        seq: manifest.seq,
        copies,
        custody: custody::wrong(manifest, ports.stores),
        content,
    })
}

fn verify_content(
    manifest: &Manifest,
    ports: &Ports<'_>,
    identities: &Identities,
    on_bytes: OnBytes,
) -> Result<ContentReport, VerifyError> {
    let mut content = Content::new(ports);
    let opened = open::open(
        manifest,
        ports.stores,
        identities,
        &mut content,
        ports.cancel,
        on_bytes,
    );
    ports.cancel.check()?;
    let opened = opened.map_err(|source| VerifyError::Content {
        id: manifest.escrow_id.clone(),
        source,
    })?;
    let proof = content.prove(manifest)?;
    let entries = &opened.index.entries;
    Ok(ContentReport {
        entries: entries.len(),
        bytes: entries.iter().map(|entry| entry.size).sum(),
        proof: proof.record(),
        proof_findings: proof.findings(),
    })
}

impl EscrowReport {
    /// What the copies mean for the escrow.
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |copy: &CopyReport| {
            let why = copy.why.as_deref().unwrap_or("no reason given");
            let about = |why: &str| format!("escrow {}: {why}", self.id);
            match copy.state {
                CopyState::Verified => None,
                CopyState::NeverStored => Some(Finding::warning(
                    "copy-missing",
                    about(&format!("it was never stored in {}", copy.store)),
                )),
                CopyState::Missing => Some(Finding::warning(
                    "copy-missing",
                    about(&format!("it was stored in {}, and is gone", copy.store)),
                )),
                CopyState::Unknown => Some(Finding::warning("copy-unreadable", about(why))),
                CopyState::Damaged => Some(Finding::violation("copy-damaged", about(why))),
            }
        };
        let lost = self.is_lost().then(|| {
            let message = format!("escrow {}: not one store has it", self.id);
            Finding::violation("escrow-lost", message)
        });
        let told = self.copies.iter().flat_map(|copy| copy.told.clone());
        let copies = self.copies.iter().filter_map(finding);
        let copies = copies.chain(told).chain(lost);
        let content = self.content.iter();
        let proof = content.flat_map(|content| content.proof_findings.iter().cloned());
        let custody = self.custody.iter().map(CustodyObject::finding);
        copies.chain(custody).chain(proof).collect()
    }

    /// Whether at least one copy is what was signed.
    pub fn has_a_copy(&self) -> bool {
        let mut copies = self.copies.iter();
        copies.any(|copy| copy.state == CopyState::Verified)
    }

    fn is_lost(&self) -> bool {
        let gone =
            |copy: &CopyReport| matches!(copy.state, CopyState::Missing | CopyState::NeverStored);
        self.copies.iter().all(gone)
    }
}
