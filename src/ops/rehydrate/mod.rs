//! From an escrow to a data directory that Databasus can be started on.
//!
//! # Order
//! Refuse a non-empty target, a release that cannot run it and a place that it cannot be run in
//! → verified parts → age → zstd → strict tar into a hidden sibling →
//! every hash of the index → modes and owners → PostgreSQL of the same major on a private socket
//! → recovery → row counts and amcheck → fence → catalogue import → clean shutdown, proven
//! in `pg_control` → sync → one rename.

mod handover;
mod logical;
mod preflight;
mod recover;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::file_error::FileError;
use crate::base::names::Slug;
use crate::base::text::printable;
use crate::databasus::fence::marker::MarkerError;
use crate::databasus::secret_key::SecretKey;
use crate::model::finding::Finding;
use crate::model::index::Index;
use crate::model::manifest::Manifest;
use crate::postgres::binaries::Launcher;
use crate::postgres::private_server::PrivateServer;
use crate::sealing::identities::Identities;
use crate::sealing::unpack::UnpackError;
use crate::store::Store;
use crate::target::{StagedTarget, TargetError};

use super::fence::{FenceError, FenceReport};
use super::import::attribution::AssignError;
use super::import::report::ImportReport;
use super::open::{self, OnBytes};

pub use handover::{Credentials, Handover};
use handover::{HandedOver, Subject};
pub use preflight::Unable;
pub use recover::RecoverError;
use write::DataDirWriter;

/// How far to go.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Recover with this PostgreSQL, prove a clean shutdown.
    Full(Launcher),
    /// Files only: what the escrow holds, checked, nothing started.
    FilesOnly,
    /// A new cluster of this PostgreSQL from the logical copy.
    FromLogical(Launcher),
}

/// One check or step, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Proof {
    /// What was looked at.
    pub what: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// The figures, or the reason.
    pub detail: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Proven,
    /// It does not.
    Failed,
    /// It could not be told.
    Unknown,
    /// It was not asked for.
    NotDone,
}

/// A finished rehydrate.
pub struct Report {
    /// Where the data directory is.
    pub target: PathBuf,
    /// What was proven, in order.
    pub proofs: Vec<Proof>,
    /// What was wrong with stores on the way.
    pub findings: Vec<Finding>,
    /// The index of the payload.
    pub index: Index,
    /// What the fence did; none where there is none.
    pub fence: Option<FenceReport>,
    /// What the catalogue import did; none where there was none.
    pub import: Option<ImportReport>,
}

/// What a rehydrate stands on.
pub struct Ports<'a> {
    /// Where the payload may be read from.
    pub stores: &'a [Arc<dyn Store>],
    /// What opens it.
    pub identities: &'a Identities,
    /// What becomes of the metadata once it is up.
    pub handover: &'a Handover<'a>,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// Told of every part that arrived.
    pub on_bytes: OnBytes,
}

/// Nothing was made of the target.
#[derive(Debug, thiserror::Error)]
pub enum RehydrateError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The target cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It cannot work here; nothing was fetched.
    #[error(transparent)]
    Unable(#[from] Unable),
    /// The escrow could not be opened.
    #[error("cannot open the escrow")]
    Unpack(#[from] UnpackError),
    /// The key in the payload is not the one the manifest names.
    #[error("the payload's secret.key has the id {found}, the manifest names {named}")]
    WrongKey {
        /// Of the payload's key.
        found: String,
        /// In the manifest.
        named: String,
    },
    /// There is no key in the payload, or it is empty.
    #[error("the payload holds no secret.key; Databasus would silently make a new one")]
    NoKey,
    /// PostgreSQL could not bring the cluster up, or not down again.
    #[error("PostgreSQL could not recover the cluster")]
    Recover(#[from] RecoverError),
    /// The metadata could not be fenced.
    #[error("cannot fence the metadata")]
    Fence(#[from] FenceError),
    /// A decision about the import cannot be followed.
    #[error("cannot import into the catalogue")]
    Assign(#[from] AssignError),
    /// The mark of a fence could not be written.
    #[error("cannot mark the data directory as fenced")]
    Marker(#[from] MarkerError),
    /// The escrow holds no logical copy.
    #[error("the escrow holds no logical copy (escrow/metadata.dump)")]
    NoLogicalCopy,
    /// The filesystem said no.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Makes the target from a verified manifest. On failure and interruption nothing of it is left.
pub fn run(
    manifest: &Manifest,
    target: &Path,
    mode: &Mode,
    ports: Ports<'_>,
) -> Result<Report, RehydrateError> {
    let cancel = ports.cancel;
    // An error on the way may only be how an interruption shows.
    build(manifest, target, mode, ports).map_err(|error| match cancel.check() {
        Err(interrupted) => interrupted.into(),
        Ok(()) => error,
    })
}

fn build(
    manifest: &Manifest,
    target: &Path,
    mode: &Mode,
    ports: Ports<'_>,
) -> Result<Report, RehydrateError> {
    let staged = StagedTarget::begin(target)?;
    preflight::check(manifest, staged.place(), mode)?;
    let mut writer = DataDirWriter::new(staged.path(), mode)?;
    let opened = open::open(
        manifest,
        ports.stores,
        ports.identities,
        &mut writer,
        ports.cancel,
        ports.on_bytes,
    )?;
    let mut proofs = vec![Proof::proven(
        "payload",
        format!(
            "{} parts and {} entries are what was signed and indexed",
            manifest.payload.parts.len(),
            opened.index.entries.len()
        ),
    )];
    writer.finish()?;
    let (key, proof) = check_key(staged.path(), manifest)?;
    proofs.push(proof);
    let work = Work {
        data_dir: staged.path(),
        manifest,
        index: &opened.index,
        key: &key,
        handover: ports.handover,
        cancel: ports.cancel,
    };
    let done = work.bring_up(mode)?;
    proofs.extend(done.proofs);
    ports.cancel.check()?;
    let target = staged.commit()?;
    Ok(Report {
        target,
        proofs,
        findings: opened.findings,
        index: opened.index,
        fence: done.fence,
        import: done.import,
    })
}

const NOT_STARTED: &str =
    "files only: PostgreSQL has not been started; do that before Databasus does";

/// What is done to the files once they are there.
struct Work<'a> {
    data_dir: &'a Path,
    manifest: &'a Manifest,
    index: &'a Index,
    key: &'a SecretKey,
    handover: &'a Handover<'a>,
    cancel: &'a Cancel,
}

impl Work<'_> {
    /// From files to a cluster that was once up and is cleanly shut down, as far as was asked.
    fn bring_up(&self, mode: &Mode) -> Result<HandedOver, RehydrateError> {
        let mut done = HandedOver::default();
        let (server, proof) = match mode {
            Mode::FilesOnly => {
                done.proofs.push(Proof::not_done("recovery", NOT_STARTED));
                return Ok(done);
            }
            Mode::Full(launcher) => {
                recover::recover(launcher, &self.data_dir.join("pgdata"), self.cancel)?
            }
            Mode::FromLogical(launcher) => {
                logical::rebuild(launcher, self.data_dir, self.manifest, self.cancel)?
            }
        };
        done.proofs.push(proof);
        done.proofs.extend(recover::examine(&server, self.index)?);
        self.hand_over(&server, &mut done)?;
        done.proofs.push(recover::shut_down(server)?);
        Ok(done)
    }

    fn hand_over(
        &self,
        server: &PrivateServer,
        done: &mut HandedOver,
    ) -> Result<(), RehydrateError> {
        let session = server.connect(recover::DATABASE);
        let mut session = session.map_err(RecoverError::from)?;
        let subject = Subject {
            data_dir: self.data_dir,
            key: self.key,
            manifest: self.manifest,
            cancel: self.cancel,
        };
        self.handover.run(&mut session, &subject, done)
    }
}

/// Compares the key's fingerprint with the manifest's: proof level 0.
fn check_key(data_dir: &Path, manifest: &Manifest) -> Result<(SecretKey, Proof), RehydrateError> {
    let path = data_dir.join("secret.key");
    let bytes = std::fs::read(&path).map_err(|_| RehydrateError::NoKey)?;
    let key = SecretKey::new(bytes).map_err(|_| RehydrateError::NoKey)?;
    let slug: &Slug = &manifest.instance.slug;
    let found = key.key_id(slug).to_string();
    if found != manifest.secret_key_id {
        return Err(RehydrateError::WrongKey {
            found,
            named: manifest.secret_key_id.clone(),
        });
    }
    let detail = format!("{} bytes, key id {found}", key.expose().len());
    Ok((key, Proof::proven("secret.key", detail)))
}

impl Report {
    /// Whether everything that was asked for could be proven.
    pub fn is_whole(&self) -> bool {
        let fine = |proof: &Proof| proof.outcome != Outcome::Failed;
        self.findings.is_empty() && self.proofs.iter().all(fine)
    }
}

impl Proof {
    fn proven(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Outcome::Proven, detail.into())
    }

    fn failed(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Outcome::Failed, detail.into())
    }

    fn unknown(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Outcome::Unknown, detail.into())
    }

    fn not_done(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Outcome::NotDone, detail.into())
    }

    fn new(what: &'static str, outcome: Outcome, detail: String) -> Self {
        Self {
            what,
            outcome,
            detail: printable(&detail).into_owned(),
        }
    }
}
