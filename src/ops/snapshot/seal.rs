//! From the source to the sealed payload.

use std::io::{self, Read};
use std::path::Path;

use secrecy::ExposeSecret;

use crate::base::cancel::Cancel;
use crate::base::names::EscrowId;
use crate::base::time::UtcTime;
use crate::databasus::instance;
use crate::databasus::restore_md::restore_md;
use crate::databasus::secret_key::{SecretKey, SecretKeyId};
use crate::model::finding::Finding;
use crate::model::index::Catalogue;
use crate::model::manifest::{Payload, Source as SourceRecord};
use crate::model::method::Method;
use crate::model::proof::{Outcome, ProofRecord};
use crate::ops::custodial::{self, Custodial};
use crate::ops::proof;
use crate::ops::upload::FanOut;
use crate::sealing::parts::{self, PartWriter};
use crate::sealing::payload::{DATA_DIR, DUMP_DIR, PayloadWriter, RESTORE_MD_PATH, Sealing};
use crate::source::data_dir::{DataDir, LeftOut, SecretKeyFile, Tally};
use crate::source::{EntryReceipt, EntrySink, PgFacts, SinkError, SourceContent, SourceEntry};

use super::{Run, SealError, SecretKeyProblem, SnapshotError, risks};

/// Databasus writes about 100 bytes.
const MAX_INSTANCE_JSON: u64 = 64 << 10;

/// Everything about a sealed payload that the manifest needs.
pub(super) struct Sealed {
    pub(super) escrow_id: EscrowId,
    pub(super) key: String,
    pub(super) snapshot_at: UtcTime,
    pub(super) instance_id: Option<String>,
    pub(super) key_id: SecretKeyId,
    pub(super) proof: ProofRecord,
    pub(super) source: SourceRecord,
    pub(super) payload: Payload,
    pub(super) custodial: Custodial,
}

/// What is known before the first byte is sealed.
pub(super) struct Draft {
    escrow_id: EscrowId,
    snapshot_at: UtcTime,
    estimate: u64,
    data_dir: DataDir,
    key_id: SecretKeyId,
    proof: ProofRecord,
    instance_id: Option<String>,
    before: Option<Catalogue>,
}

impl Draft {
    /// Connects to the source and refuses what must not be escrowed.
    pub(super) fn examine(
        run: &mut Run<'_>,
        escrow_id: EscrowId,
        snapshot_at: UtcTime,
    ) -> Result<Self, SnapshotError> {
        // A frozen tree exists only once the source has begun.
        let estimate = run.ports.source.begin()?;
        let data_dir = DataDir::open(run.ports.source.data_dir())?;
        let key = secret_key(&data_dir.secret_key, run.ports.source.data_dir())?;
        let before = run.ports.source.catalogue()?;
        if let Some(session) = run.ports.source.metadata_session() {
            let risks = risks::find(session, &key, run.ports.destinations)?;
            run.chain.findings.extend(risks);
        }
        let proof = prove(run, &key)?;
        let instance_id = instance_id(run.ports.source.data_dir());
        run.chain.findings.extend(key_findings(&key));
        run.chain
            .findings
            .extend(before.as_ref().and_then(legacy_keys));
        run.chain.findings.extend(left_behind(&data_dir.left_out));
        let estimate = estimate.saturating_add(data_dir.bytes());
        Ok(Self {
            key_id: key.key_id(&run.settings.slug),
            proof,
            escrow_id,
            snapshot_at,
            estimate,
            data_dir,
            instance_id,
            before,
        })
    }

    pub(super) fn key_id(&self) -> SecretKeyId {
        self.key_id
    }

    /// The smallest of 8, 16, 32 … MiB that fits the estimate into 10,000 parts.
    pub(super) fn part_size(&self) -> u64 {
        parts::part_size(self.estimate)
    }

    /// Seals everything; every layer is closed and every part handed over when this returns.
    pub(super) fn write(
        self,
        run: &mut Run<'_>,
        fan_out: FanOut,
    ) -> Result<(FanOut, Sealed), SnapshotError> {
        let custodial = Custodial::make(&custodial::Request {
            layout: run.chain.layout(),
            sealed: (&self.escrow_id).into(),
            recipients: &run.settings.recipients,
            quorum: run.settings.quorum.as_ref(),
        })?;
        let sealing = Sealing {
            recipients: &custodial.recipients,
            level: run.settings.level,
            workers: run.settings.workers,
            mtime: self.snapshot_at,
        };
        let part_size = usize::try_from(self.part_size()).map_err(io::Error::other);
        let parts = PartWriter::new(fan_out, part_size.map_err(SealError::Io)?);
        let mut payload = PayloadWriter::new(parts, &sealing)?;
        let facts = self.copy(run, &mut payload)?;
        let after = run.ports.source.catalogue()?;
        self.copy_logical(run, &mut payload)?;
        self.compare_key_again(run)?;
        let warnings = run.chain.findings.iter().map(|found| found.message.clone());
        let parts = payload
            .finish(
                self.escrow_id.clone(),
                self.before.clone(),
                after,
                warnings.collect(),
            )
            .map_err(SealError::Io)?;
        let (fan_out, payload) = parts.finish().map_err(SealError::Io)?;
        let sealed = Sealed {
            key: run.chain.layout().payload(&self.escrow_id),
            source: self.source_record(run, &facts),
            escrow_id: self.escrow_id,
            snapshot_at: facts.snapshot_at,
            instance_id: self.instance_id,
            key_id: self.key_id,
            proof: self.proof,
            payload,
            custodial,
        };
        Ok((fan_out, sealed))
    }

    /// The key was read before PostgreSQL's files. One that was replaced meanwhile would be sealed
    /// beside a database that it does not open.
    fn compare_key_again(&self, run: &Run<'_>) -> Result<(), SnapshotError> {
        let root = run.ports.source.data_dir();
        let now = secret_key(&SecretKeyFile::read(root)?, root)?;
        match now.key_id(&run.settings.slug) == self.key_id {
            true => Ok(()),
            false => Err(SecretKeyProblem::Changed(root.join("secret.key")).into()),
        }
    }

    fn copy<W: io::Write>(
        &self,
        run: &mut Run<'_>,
        payload: &mut PayloadWriter<W>,
    ) -> Result<PgFacts, SnapshotError> {
        let text = restore_md().as_bytes();
        payload
            .file(RESTORE_MD_PATH, 0o644, text.len() as u64, &mut &*text)
            .map_err(SealError::Io)?;
        payload.directory(DATA_DIR, 0o755).map_err(SealError::Io)?;
        let mut sink = PayloadSink {
            payload,
            cancel: run.ports.cancel,
        };
        self.data_dir.copy(&mut sink, run.ports.cancel)?;
        Ok(run.ports.source.copy_pgdata(&mut sink)?)
    }

    fn copy_logical<W: io::Write>(
        &self,
        run: &mut Run<'_>,
        payload: &mut PayloadWriter<W>,
    ) -> Result<(), SnapshotError> {
        let mut consume = |dump: &mut dyn Read| {
            payload
                .pieces(DUMP_DIR, dump)
                .map(|_| ())
                .map_err(|source| SinkError {
                    path: DUMP_DIR.to_owned(),
                    source,
                })
        };
        let copied = run.ports.source.copy_logical(&mut consume)?;
        if !copied && run.ports.source.method() == Method::Online {
            run.chain.findings.push(Finding::note(
                "no-logical-copy",
                "no pg_dump of the server's major or later was found: the escrow holds no logical \
                 copy, and can be rehydrated with the same PostgreSQL major only",
            ));
        }
        Ok(())
    }

    fn source_record(&self, run: &Run<'_>, facts: &PgFacts) -> SourceRecord {
        SourceRecord {
            method: run.ports.source.method(),
            image: run.settings.image.clone(),
            databasus_version: run.settings.databasus_version.clone(),
            schema_version: self.before.as_ref().and_then(|seen| seen.schema_version),
            pg_version: facts.pg_version.clone(),
            system_identifier: facts.system_identifier.to_string(),
            timeline: facts.timeline,
            start_lsn: facts.start_lsn.clone(),
            stop_lsn: facts.stop_lsn.clone(),
            data_checksums: facts.data_checksums,
        }
    }
}

/// Hands entries of the data directory to the payload.
struct PayloadSink<'a, W: io::Write> {
    payload: &'a mut PayloadWriter<W>,
    cancel: &'a Cancel,
}

impl<W: io::Write> EntrySink for PayloadSink<'_, W> {
    fn entry(&mut self, entry: SourceEntry<'_>) -> Result<EntryReceipt, SinkError> {
        let path = format!("{DATA_DIR}/{}", entry.path);
        let taken = self.cancel.check_io().and_then(|()| match entry.content {
            SourceContent::Directory => {
                self.payload.directory(&path, entry.mode)?;
                Ok(crate::base::digest::Digest::of(b""))
            }
            SourceContent::File { size, reader } => {
                self.payload.file(&path, entry.mode, size, reader)
            }
        });
        taken
            .map(|sha256| EntryReceipt { sha256 })
            .map_err(|source| SinkError { path, source })
    }
}

/// Proves what the settings want, before anything is uploaded. The key is the one whose id the
/// manifest will name.
fn prove(run: &mut Run<'_>, key: &SecretKey) -> Result<ProofRecord, SnapshotError> {
    let settings = &run.settings.proof;
    let report = proof::prove(
        run.ports.source.metadata_session(),
        &proof::Request {
            key,
            key_id: Outcome::Proven,
            storages: run.ports.storages,
            catalogue: proof::Catalogue::Live,
            wanted: settings
                .level
                .max(settings.required.unwrap_or(settings.level)),
            restore_tool: settings.restore_tool.as_ref(),
            cancel: run.ports.cancel,
        },
    )?;
    let findings = report.findings();
    let record = report.record();
    if let Some(required) = settings.required
        && !record.reaches(required)
    {
        let why = report.what_stands_in_the_way();
        return Err(SnapshotError::ProofTooLow { required, why });
    }
    run.chain.findings.extend(findings);
    Ok(record)
}

fn key_findings(key: &SecretKey) -> impl Iterator<Item = Finding> {
    key.check().into_iter().map(|warning| {
        Finding::note(
            "secret-key-unusual",
            format!("{warning}; it is sealed byte for byte"),
        )
    })
}

fn legacy_keys(catalogue: &Catalogue) -> Option<Finding> {
    let rows = catalogue.legacy_secret_keys;
    (rows > 0).then(|| {
        Finding::warning(
            "legacy-secret-keys",
            format!(
                "table secret_keys holds {rows} rows: Databasus writes one of them over secret.key \
                 at its next start"
            ),
        )
    })
}

fn left_behind(left_out: &LeftOut) -> Vec<Finding> {
    let told = |tally: Option<Tally>, id, what: &str| {
        let count = match tally {
            Some(Tally { files: 0, .. }) => return None,
            Some(Tally { files, bytes }) => {
                format!("{files} files ({})", crate::base::text::bytes(bytes))
            }
            None => "files that could not be counted".to_owned(),
        };
        Some(Finding::note(id, format!("{count} in {what}")))
    };
    [
        told(
            left_out.backups,
            "local-backups",
            "backups/ are not in this escrow, nor in any bucket if their storage is LOCAL",
        ),
        told(
            left_out.wal_queue,
            "wal-queue",
            "backups/wal-queue/ wait for their upload, exist nowhere else and are not in this escrow",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn secret_key(file: &SecretKeyFile, root: &Path) -> Result<SecretKey, SecretKeyProblem> {
    let path = root.join("secret.key");
    match file {
        SecretKeyFile::Present(bytes) => SecretKey::new(bytes.expose_secret().to_vec())
            .map_err(|_| SecretKeyProblem::Empty(path)),
        SecretKeyFile::Absent => Err(SecretKeyProblem::Absent(path)),
        SecretKeyFile::Empty => Err(SecretKeyProblem::Empty(path)),
        SecretKeyFile::Unreadable(error) => Err(SecretKeyProblem::Unreadable {
            path,
            why: error.to_string(),
        }),
    }
}

/// The telemetry id, where there is one; its absence is normal.
fn instance_id(root: &Path) -> Option<String> {
    let file = std::fs::File::open(root.join("instance.json")).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_INSTANCE_JSON).read_to_end(&mut bytes).ok()?;
    instance::parse_id(&bytes)
}
