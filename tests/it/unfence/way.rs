//! How tests unfence.

use std::collections::BTreeSet;
use std::sync::Arc;

use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::databasus::storages::Storage;
use databasus_escrow::ops::storages::{OpenStorage, StorageUnavailable};
use databasus_escrow::ops::unfence::{
    self, Chain, Ports, UnfenceError, UnfenceReport, UnfenceSettings,
};
use databasus_escrow::store::memory::MemoryStore;
use databasus_escrow::store::{Store, list_all};

use crate::fence::bed::{Bed, settings};

pub const INSTANCE: &str = "heatwave-prod";

/// All storages are this one; none where they cannot be reached.
#[derive(Default)]
pub struct Bucket(pub Option<MemoryStore>);

impl Bucket {
    pub fn with(keys: &[&str]) -> Self {
        let store = MemoryStore::new("bucket".parse().unwrap());
        for key in keys {
            store.put_if_absent(key, key.as_bytes()).unwrap();
        }
        Self(Some(store))
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        let store = self.0.as_ref().unwrap();
        store.delete(key).unwrap();
        store.put_if_absent(key, bytes).unwrap();
    }

    /// Puts on record what it holds, as the import does at the rehydrate.
    pub fn is_seen(&self, bed: &Bed) {
        bed.server.psql(
            "CREATE TABLE IF NOT EXISTS escrow_fence.seen_objects (storage_id uuid NOT NULL,
               key text NOT NULL, size bigint NOT NULL, etag text)",
        );
        for object in list_all(self.0.as_ref().unwrap(), "", None).unwrap() {
            let etag = object
                .etag
                .map_or("NULL".to_owned(), |tag| format!("'{tag}'"));
            bed.server.psql(&format!(
                "INSERT INTO escrow_fence.seen_objects SELECT id, '{}', {}, {etag} FROM storages",
                object.key, object.size
            ));
        }
    }
}

impl OpenStorage for Bucket {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        if let databasus_escrow::databasus::storages::StorageKind::S3(place) = &storage.kind {
            place.keys(key)?.ok_or(StorageUnavailable::Blank)?;
        }
        let store = self.0.clone().ok_or(StorageUnavailable::NoFiles)?;
        Ok(Arc::new(store))
    }
}

/// What is decided, unless a test decides otherwise: nobody knows of production, and somebody
/// answers for its death, a day after the fence.
pub fn decided() -> UnfenceSettings<'static> {
    UnfenceSettings {
        confirmed: Some(INSTANCE),
        production_is_dead: true,
        accept_deletions: &[],
        dry_run: false,
        now: settings(Default::default()).now.plus(86_400),
    }
}

/// Every database, so that retention holds nothing back: two dumps of one day are one too many
/// for the fixtures' own policies.
pub fn every_database(bed: &Bed) -> Vec<String> {
    let ids = bed.server.psql("SELECT id FROM databases");
    ids.lines().map(str::to_owned).collect()
}

pub fn unfence_with(
    bed: &Bed,
    settings: &UnfenceSettings<'_>,
    bucket: &Bucket,
    chain: Chain<'_>,
) -> Result<UnfenceReport, UnfenceError> {
    let ports = Ports {
        storages: bucket,
        chain,
        import: None,
    };
    unfence::run(&mut bed.connect(), &bed.key, settings, ports)
}

pub fn not_read() -> Chain<'static> {
    Chain::NotRead("nobody looked".to_owned())
}

pub fn unfence(bed: &Bed, settings: &UnfenceSettings<'_>) -> Result<UnfenceReport, UnfenceError> {
    unfence_with(bed, settings, &Bucket::default(), not_read())
}

/// The same where nobody minds what retention deletes.
pub fn unfence_wholly(bed: &Bed) -> UnfenceReport {
    let accepted = every_database(bed);
    let settings = UnfenceSettings {
        accept_deletions: &accepted,
        ..decided()
    };
    unfence(bed, &settings).unwrap()
}

/// The lines of a dump of Databasus' own schema, in any order: an update moves a row.
pub fn dump(bed: &Bed, leaving_out: &[&str]) -> BTreeSet<String> {
    let (port, socket) = (bed.server.port().to_string(), bed.server.socket_dir());
    let mut command = bed.server.command("pg_dump");
    command.args([
        "-U",
        "postgres",
        "-p",
        &port,
        "--schema=public",
        "-d",
        "databasus",
        "-h",
    ]);
    command.arg(socket);
    for table in leaving_out {
        command.arg(format!("--exclude-table-data=public.{table}"));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.map(str::to_owned).collect()
}
