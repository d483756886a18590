//! The manifests that lie beside native base backups.

use std::io::Read as _;

use crate::base::text::printable;
use crate::databasus::backup_chain::facts::{Base, BaseKind};
use crate::databasus::backup_chain::plan::Plan;
use crate::databasus::objects::group::Layout;
use crate::postgres::backup_manifest::{
    BackupManifest, MAX_MANIFEST_BYTES, ManifestError, Mismatch,
};

use super::BasesError;
use crate::ops::pitr::open::{OpenError, Storage};

/// A sound manifest of the base that it lies beside. Only its text is kept: parsed, the
/// manifests of all bases together would take several times as much.
pub(super) struct Manifest(Vec<u8>);

impl Manifest {
    /// Fetches and checks it; none for a base that carries its own.
    pub(super) fn beside(
        storage: Storage<'_>,
        plan: &Plan,
        base: &Base,
        name: &str,
    ) -> Result<Option<(Self, BackupManifest)>, BasesError> {
        if base.kind == BaseKind::WalV1 {
            return Ok(None);
        }
        if base.stored.group.manifest.layout() == Layout::Absent {
            return Err(BasesError::NoManifest(name.to_owned()));
        }
        let raw = Self(read(storage, base, name)?);
        let manifest = raw.parse(name)?;
        check(&manifest, plan, base, name)?;
        Ok(Some((raw, manifest)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn size(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn parse(&self, name: &str) -> Result<BackupManifest, BasesError> {
        parse(&self.0, name)
    }
}

pub(super) fn parse(bytes: &[u8], name: &str) -> Result<BackupManifest, BasesError> {
    BackupManifest::parse_any(bytes).map_err(|source| BasesError::Manifest {
        name: name.to_owned(),
        source,
    })
}

fn read(storage: Storage<'_>, base: &Base, name: &str) -> Result<Vec<u8>, BasesError> {
    let opened = storage.manifest(&base.stored)?;
    if opened.size > MAX_MANIFEST_BYTES {
        return Err(BasesError::Manifest {
            name: name.to_owned(),
            source: ManifestError::TooLarge,
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(opened.size).unwrap_or(0));
    let mut bounded = opened.reader.take(MAX_MANIFEST_BYTES + 1);
    let read = bounded.read_to_end(&mut bytes);
    read.map_err(|source| OpenError::Read {
        name: format!("{name}.manifest"),
        source,
    })?;
    Ok(bytes)
}

/// Whether it belongs to its base, and its base to the plan.
pub(super) fn check(
    manifest: &BackupManifest,
    plan: &Plan,
    base: &Base,
    name: &str,
) -> Result<(), BasesError> {
    let origin = || BasesError::Mismatch {
        name: name.to_owned(),
        source: Mismatch::Origin,
    };
    let expected = [base.system_identifier, plan.system_identifier];
    let mut same_cluster = expected.into_iter().flatten();
    let first = manifest.wal_ranges.iter().min_by_key(|range| range.start);
    let last = manifest.wal_ranges.iter().max_by_key(|range| range.end);
    let (Some(first), Some(last)) = (first, last) else {
        return Err(origin());
    };
    let belongs = same_cluster.all(|id| manifest.system_identifier.is_none_or(|of| of == id))
        && first.start == base.start
        && first.timeline <= base.timeline
        && base.stop.is_none_or(|stop| last.end == stop);
    if !belongs {
        return Err(origin());
    }
    match tablespaces(manifest) {
        None => Ok(()),
        Some(which) => Err(BasesError::Tablespaces {
            name: name.to_owned(),
            which,
        }),
    }
}

/// The first tablespace that a manifest tells of.
fn tablespaces(manifest: &BackupManifest) -> Option<String> {
    let mut paths = manifest.files.keys();
    if let Some(path) = paths.find(|path| path.starts_with("pg_tblspc/")) {
        return Some(printable(path).into_owned());
    }
    let map = manifest.files.get("tablespace_map")?;
    (map.size > 0).then(|| "its tablespace_map is not empty".to_owned())
}
