//! What is done to the metadata before Databasus may see it: the fence, the catalogue import.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::text::printable;
use crate::base::time::UtcTime;
use crate::databasus::fence::credentials::{StorageCredentials, StorageCredentialsState};
use crate::databasus::fence::marker::Marker;
use crate::databasus::schema::Schema;
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{self, S3Keys, Storage};
use crate::model::manifest::Manifest;
use crate::ops::fence::{self, FenceReport, FenceSettings};
use crate::ops::import::report::{DatabaseReport, ImportReport, StorageOutcome};
use crate::ops::import::{self, ImportError, ImportSettings, OnProgress};
use crate::ops::storages::{BeforeFence, OpenStorage};
use crate::postgres::wire::Connection;

use super::{Proof, RehydrateError};

/// How the metadata is handed over to Databasus.
pub struct Handover<'a> {
    /// What becomes of the storages' credentials; none for no fence at all.
    pub fence: Option<Credentials>,
    /// Sequence number and digest of the chain's head, for the fence's record.
    pub head: (u64, Digest),
    /// Where Databasus' backups are.
    pub storages: &'a dyn OpenStorage,
    /// What a person decided about the catalogue import; none for no import.
    pub import: Option<ImportSettings>,
    /// Hears how far the import has come.
    pub on_progress: OnProgress<'a>,
    /// The time.
    pub now: UtcTime,
}

/// What a fence makes of the storages' credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Replaced by the read-only ones that the operator gave, else blanked.
    ReadOnlyOrBlank,
    /// Left as they are.
    Keep,
}

/// What is handed over.
pub(super) struct Subject<'a> {
    pub(super) data_dir: &'a Path,
    pub(super) key: &'a SecretKey,
    pub(super) manifest: &'a Manifest,
    pub(super) cancel: &'a Cancel,
}

/// What came of it.
#[derive(Default)]
pub(super) struct HandedOver {
    pub(super) proofs: Vec<Proof>,
    pub(super) fence: Option<FenceReport>,
    pub(super) import: Option<ImportReport>,
}

impl Handover<'_> {
    /// Works on the metadata of a recovered cluster that nobody else uses.
    pub(super) fn run(
        &self,
        session: &mut Connection,
        subject: &Subject<'_>,
        done: &mut HandedOver,
    ) -> Result<(), RehydrateError> {
        let schema = Schema::read(session).map_err(super::RecoverError::from)?;
        let storages = storages::read(session, &schema).map_err(super::RecoverError::from)?;
        match self.fence {
            None => done.proofs.push(Proof::not_done("fence", LIVE)),
            Some(credentials) => {
                let settings = self.settings(credentials, &storages, subject.manifest);
                let report = fence::apply(session, &schema, subject.key, &settings)?;
                self.mark(subject)?;
                done.proofs.push(fenced(&report));
                done.fence = Some(report);
            }
        }
        let storages = BeforeFence::new(self.storages, &storages);
        self.import(session, &schema, &storages, subject, done)
    }

    /// Brings the catalogue up to what the storages hold. It is not worth losing a rehydrate for:
    /// what cannot be imported now can be later.
    fn import(
        &self,
        session: &mut Connection,
        schema: &Schema,
        storages: &dyn OpenStorage,
        subject: &Subject<'_>,
        done: &mut HandedOver,
    ) -> Result<(), RehydrateError> {
        let Some(settings) = &self.import else {
            done.proofs.push(Proof::not_done(IMPORT, NOT_IMPORTED));
            return Ok(());
        };
        let ports = import::Ports {
            session,
            schema,
            keys: &[subject.key],
            storages,
            cancel: subject.cancel,
            on_progress: self.on_progress,
        };
        match import::run(ports, settings) {
            Ok(report) => {
                done.proofs.push(imported(&report));
                done.import = Some(report);
            }
            Err(ImportError::Interrupted(signal)) => return Err(signal.into()),
            Err(ImportError::Assign(error)) => return Err(error.into()),
            Err(error) => done.proofs.push(Proof::failed(IMPORT, error_chain(&error))),
        }
        Ok(())
    }

    fn settings(
        &self,
        credentials: Credentials,
        storages: &[Storage],
        manifest: &Manifest,
    ) -> FenceSettings {
        FenceSettings {
            storage_credentials: match credentials {
                Credentials::Keep => StorageCredentials::Keep,
                Credentials::ReadOnlyOrBlank => self.read_only(storages),
            },
            instance: manifest.instance.slug.clone(),
            escrow_id: manifest.escrow_id.clone(),
            head: self.head,
            now: self.now,
        }
    }

    fn read_only(&self, storages: &[Storage]) -> StorageCredentials {
        let given = storages.iter().filter_map(|storage| {
            let keys = self.storages.read_only(storage)?;
            Some((storage.id, keys))
        });
        let given: BTreeMap<Uuid, S3Keys> = given.collect();
        match given.is_empty() {
            true => StorageCredentials::Blank,
            false => StorageCredentials::ReadOnly(given),
        }
    }

    /// A copy of the files cannot see the schema `escrow_fence`.
    fn mark(&self, subject: &Subject<'_>) -> Result<(), RehydrateError> {
        let marker = Marker {
            instance: subject.manifest.instance.slug.clone(),
            escrow_id: subject.manifest.escrow_id.clone(),
            fenced_at: self.now,
            tool: fence::TOOL.to_owned(),
        };
        Ok(marker.write(subject.data_dir)?)
    }
}

const IMPORT: &str = "catalogue import";

const NOT_IMPORTED: &str = "the catalogue is as old as the snapshot; `databasus-escrow import` \
     brings it up to date";

const LIVE: &str = "LIVE, as was asked for: started with a network, it acts as production";

fn imported(report: &ImportReport) -> Proof {
    let sum = |count: fn(&DatabaseReport) -> u64| report.databases.iter().map(count).sum::<u64>();
    let mut detail = format!(
        "{} backups imported that the snapshot did not know, {} completed, {} rows without an \
         object set aside",
        sum(|one| one.inserted),
        sum(|one| one.promoted),
        sum(|one| one.ghosts),
    );
    if report.is_whole() {
        return Proof::proven(IMPORT, detail);
    }
    for storage in &report.storages {
        if let StorageOutcome::NotListed {
            why, in_use: true, ..
        } = &storage.outcome
        {
            detail.push_str(&format!("; storage {} was not read: {why}", storage.name));
        }
    }
    let open = report
        .left_out
        .iter()
        .filter(|one| one.reason.needs_attention());
    match open.count() {
        0 => {}
        open => detail.push_str(&format!("; {open} objects need a decision or a look")),
    }
    Proof::failed(IMPORT, detail)
}

fn fenced(report: &FenceReport) -> Proof {
    let credentials = match report.storage_credentials {
        StorageCredentialsState::Blanked => "blanked",
        StorageCredentialsState::ReadOnly => "replaced by read-only ones",
        StorageCredentialsState::Kept => "KEPT",
    };
    let mut detail = format!(
        "{} values changed and {} rows set aside; storage credentials {credentials}",
        report.cells, report.rows
    );
    if report.is_whole() {
        return Proof::proven("fence", detail);
    }
    let unknown = report.unknown.iter();
    let columns: Vec<_> = unknown
        .map(|column| printable(&format!("{}.{}", column.table, column.column)).into_owned())
        .collect();
    detail.push_str(
        "; PARTIAL: this release does not know all of this schema, so start it without a network",
    );
    if !columns.is_empty() {
        detail.push_str(&format!("; not known: {}", columns.join(", ")));
    }
    Proof::failed("fence", detail)
}
