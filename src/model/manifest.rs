//! The manifest: the signed JSON document that commits an escrow (FORMAT.md, "Manifest").
//!
//! A value of these types read from a store exists only after its signature was verified:
//! [`super::document::Document::parse`] is called by the reader that has just done so.

use serde::{Deserialize, Serialize};

use super::layout::Sealed;
use super::lock::LockRecord;
use super::method::Method;
use super::proof::ProofRecord;
use super::strict_json::{self, StrictJsonError};
use crate::base::digest::Digest;
use crate::base::names::{CustodianName, EscrowId, RekeyId, Slug, StoreName};
use crate::base::time::UtcTime;

/// The only format this version writes, and the only one it reads.
pub const FORMAT: &str = "databasus-escrow-manifest/1";

/// Largest manifest that is read, in bytes: 10,000 part digests need less than 1 MiB.
pub const MAX_BYTES: u64 = 4 << 20;

/// What a manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It commits an escrow.
    Snapshot,
    /// It reports something about earlier ones: a late copy, a closed fork, a prune.
    Amend,
}

/// The program that wrote a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `databasus-escrow`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Which instance an escrow is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name in the configuration.
    pub slug: Slug,
    /// `instanceID` of `instance.json`; null where telemetry is off and the file absent.
    pub id: Option<String>,
}

/// The fields every kind of manifest has: enough to place it in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// [`FORMAT`].
    pub format: String,
    /// What it says.
    pub kind: Kind,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// Digest of the manifest before it; null for the first.
    pub prev_sha256: Option<Digest>,
    /// Whose it is.
    pub instance: Instance,
    /// When it was signed.
    pub created_at: UtcTime,
    /// When the next one is due: a manifest states its own expiry.
    pub next_due: UtcTime,
}

/// A place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub seq: u64,
    /// Digest of the manifest before it; none for the first.
    pub prev_sha256: Option<Digest>,
    /// When it is signed.
    pub created_at: UtcTime,
}

/// A manifest that commits an escrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`Kind::Snapshot`].
    pub kind: Kind,
    /// Who wrote it.
    pub tool: Tool,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// Digest of the manifest before it; null for the first.
    pub prev_sha256: Option<Digest>,
    /// Whose it is.
    pub instance: Instance,
    /// The escrow it commits.
    pub escrow_id: EscrowId,
    /// When the copy of the source began.
    pub snapshot_at: UtcTime,
    /// When this manifest was signed.
    pub created_at: UtcTime,
    /// When the next one is due.
    pub next_due: UtcTime,
    /// The sealed bytes.
    pub payload: Payload,
    /// What was copied, and how.
    pub source: Source,
    /// HKDF fingerprint of `secret.key`.
    pub secret_key_id: String,
    /// To whom it is sealed.
    pub recipients: Vec<Recipient>,
    /// How many of them it takes.
    pub custody: Custody,
    /// The wrapped ephemeral identities of k-of-n custody.
    pub unlock: Vec<Unlock>,
    /// Digest of the policy object: recipients and signers in force.
    pub policy_sha256: Digest,
    /// Digest of the break-glass instructions of this format.
    pub restore_md_sha256: Digest,
    /// Where the payload was stored when this was signed.
    pub stores: Vec<StoreRecord>,
    /// One challenge per custodian.
    pub canaries: Vec<Canary>,
    /// What was proven before the commit; null where nothing was.
    pub proof: Option<ProofRecord>,
    /// Escrows that this run's retention lets go.
    pub expires: Vec<EscrowId>,
    /// By which re-sealing the escrow is what this says; none as its snapshot sealed it, which is
    /// what every stored manifest says. An amend tells (see [`super::amend::Rekeyed`]).
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub rekeyed: Option<RekeyId>,
}

/// The sealed payload, `age(zstd(tar))`, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// In bytes.
    pub size: u64,
    /// Of the whole object.
    pub sha256: Digest,
    /// Size in bytes of every part but the last.
    pub part_size: u64,
    /// SHA-256 of each part in order: what lets a reader verify before it decrypts.
    pub parts: Vec<Digest>,
    /// The ETag S3 gives a multipart object of these parts: `<hex MD5 of MD5s>-<parts>`.
    pub md5_etag: String,
    /// SHA-256 of the age header, up to and including the line of its MAC.
    pub age_header_sha256: Digest,
}

/// What was copied, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// How the copy was made consistent.
    pub method: Method,
    /// The container image, where the configuration names it.
    pub image: Option<String>,
    /// The Databasus release, where the configuration names it. The schema decides, not this.
    pub databasus_version: Option<String>,
    /// Largest applied goose migration; null where no server was asked.
    pub schema_version: Option<i64>,
    /// PostgreSQL's version, `17.10` or the major alone.
    pub pg_version: String,
    /// PostgreSQL's system identifier, in decimal: it does not fit a JSON number.
    pub system_identifier: String,
    /// Timeline of the copy.
    pub timeline: u32,
    /// Where replay starts, `0/2000028`.
    pub start_lsn: Option<String>,
    /// Where replay is consistent; null for a crash-consistent copy.
    pub stop_lsn: Option<String>,
    /// Whether PostgreSQL's data checksums are on.
    pub data_checksums: bool,
}

/// A recipient, as the policy in force named it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Who holds the identity.
    pub custodian: CustodianName,
    /// `x25519`, `ssh-ed25519`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The public recipient itself.
    pub recipient: String,
    /// A short name for it.
    pub fingerprint: String,
}

/// How many custodians open an escrow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    /// Any recipient alone, or k together.
    pub mode: CustodyMode,
    /// How many together; null in mode `any`.
    pub k: Option<u32>,
}

/// See [`Custody`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CustodyMode {
    /// Any recipient opens it alone.
    Any,
    /// k recipients open it together.
    KOfN,
}

/// One wrapped ephemeral identity (k-of-n custody).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlock {
    /// Outermost layer first.
    pub custodians: Vec<CustodianName>,
    /// Its object key.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Of the object.
    pub sha256: Digest,
    /// Of what each custodian but the last takes out of it and hands on, so that nobody opens
    /// anything that was not signed.
    pub inner_sha256: Vec<Digest>,
}

/// One custodian's challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Whose it is.
    pub custodian: CustodianName,
    /// Its object key.
    pub key: String,
    /// Of the object.
    pub sha256: Digest,
    /// Of the nonce inside.
    pub nonce_sha256: Digest,
}

/// A copy of the payload, or the lack of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreRecord {
    /// The store's name in the configuration.
    pub name: StoreName,
    /// `r2`, `aws`, `latitude`, `dir`, …
    pub provider: String,
    /// The bucket; null for a directory.
    pub bucket: Option<String>,
    /// The payload's key, below the store's prefix.
    pub key: String,
    /// Where the store keeps versions.
    pub version_id: Option<String>,
    /// The store's entity tag, where it has one.
    pub etag: Option<String>,
    /// Whether the copy is there.
    pub state: StoreState,
    /// The lock as read back; null where none was asked for.
    pub lock: Option<LockRecord>,
}

/// See [`StoreRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreState {
    /// Uploaded, and read back.
    Stored,
    /// Not there: the store failed on that night.
    Failed,
}

/// A document whose signature was good is still not a manifest this version can use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not strict JSON, or a field is missing or of the wrong type.
    #[error("the manifest is malformed")]
    Malformed(#[from] StrictJsonError),
    /// A later version's format, or something else altogether.
    #[error("format {0:?} is not one this version reads; a newer databasus-escrow may")]
    UnknownFormat(String),
    /// Two fields contradict each other.
    #[error("the manifest contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl Head {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        if self.seq == 0 || (self.seq == 1) != self.prev_sha256.is_none() {
            return Err(ManifestError::Contradiction(
                "exactly the first manifest has no predecessor",
            ));
        }
        Ok(())
    }
}

impl Manifest {
    /// The exact bytes that are signed and stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StrictJsonError> {
        strict_json::to_vec(self)
    }

    /// Which of the escrow's sealings this describes.
    pub fn sealed(&self) -> Sealed<'_> {
        Sealed {
            escrow: &self.escrow_id,
            rekey: self.rekeyed.as_ref(),
        }
    }
}

impl Custody {
    pub(super) fn check(&self, unlock: &[Unlock]) -> Result<(), ManifestError> {
        let k = self.k.map(|k| usize::try_from(k).unwrap_or(usize::MAX));
        let fits = match (self.mode, k) {
            (CustodyMode::Any, None) => unlock.is_empty(),
            (CustodyMode::KOfN, Some(k)) => k >= 2 && unlock.iter().all(|one| one.takes(k)),
            _ => false,
        };
        fits.then_some(()).ok_or(ManifestError::Contradiction(
            "custody and unlock files do not fit each other",
        ))
    }
}

impl Unlock {
    /// Whether it is opened in as many steps.
    fn takes(&self, k: usize) -> bool {
        self.custodians.len() == k && self.inner_sha256.len() + 1 == k
    }
}

impl Payload {
    /// The byte range of part `index` (from 0) in the payload.
    pub fn part_range(&self, index: usize) -> std::ops::Range<u64> {
        let start = self.part_size.saturating_mul(index as u64).min(self.size);
        start..start.saturating_add(self.part_size).min(self.size)
    }

    pub(super) fn check(&self) -> Result<(), ManifestError> {
        if self.size == 0 || self.part_size == 0 {
            return Err(ManifestError::Contradiction("an empty payload or part"));
        }
        if self.part_size > MAX_PART_SIZE {
            return Err(ManifestError::Contradiction("parts larger than 5 GiB"));
        }
        if self.parts.len() as u64 != self.size.div_ceil(self.part_size) {
            return Err(ManifestError::Contradiction(
                "the number of parts does not fit size and part size",
            ));
        }
        Ok(())
    }
}

/// Largest part that S3 takes, in bytes.
const MAX_PART_SIZE: u64 = 5 << 30;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Manifest {
        let time = |text: &str| text.parse().unwrap();
        Manifest {
            format: FORMAT.to_owned(),
            kind: Kind::Snapshot,
            tool: Tool::this(),
            seq: 1,
            prev_sha256: None,
            instance: Instance {
                slug: "heatwave-prod".parse().unwrap(),
                id: None,
            },
            escrow_id: "20260612T020000Z-0123456789abcdef".parse().unwrap(),
            snapshot_at: time("2026-06-12T02:00:00Z"),
            created_at: time("2026-06-12T02:00:09Z"),
            next_due: time("2026-06-13T04:00:00Z"),
            payload: Payload {
                size: 20,
                sha256: Digest::of(b"whole"),
                part_size: 8,
                parts: vec![Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")],
                md5_etag: "00000000000000000000000000000000-3".to_owned(),
                age_header_sha256: Digest::of(b"header"),
            },
            source: Source {
                method: Method::Online,
                image: None,
                databasus_version: None,
                schema_version: Some(20_260_522_161_848),
                pg_version: "17.10".to_owned(),
                system_identifier: "7560000000000000001".to_owned(),
                timeline: 1,
                start_lsn: Some("0/2000028".to_owned()),
                stop_lsn: Some("0/2000120".to_owned()),
                data_checksums: false,
            },
            secret_key_id: "00112233445566778899aabbccddeeff".to_owned(),
            recipients: vec![],
            custody: Custody {
                mode: CustodyMode::Any,
                k: None,
            },
            unlock: vec![],
            policy_sha256: Digest::of(b"policy"),
            restore_md_sha256: Digest::of(b"restore"),
            stores: vec![],
            canaries: vec![],
            proof: None,
            expires: vec![],
            rekeyed: None,
        }
    }

    #[test]
    fn parts_cover_the_payload_exactly() {
        let payload = example().payload;
        let ranges: Vec<_> = (0..3).map(|i| payload.part_range(i)).collect();
        assert_eq!(ranges, [0..8, 8..16, 16..20]);
    }
}
