//! How the archive was made: two nights of a made-up instance, by the product's own snapshot.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::time::{Clock, UtcTime};
use databasus_escrow::model::recipients::Recipients;
use databasus_escrow::ops::commit::Completeness;
use databasus_escrow::ops::destination::Destination;
use databasus_escrow::ops::snapshot::{self, Ports, ProofSettings, Settings};
use databasus_escrow::ops::state::State;
use databasus_escrow::source::{
    Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceContent, SourceEntry,
    SourceError,
};
use databasus_escrow::store::dir::DirStore;

use super::archive::{contents, listing_of, read_history, trust_in_the_file, unpack};
use super::{golden, golden_text, signing_key, slug};

use crate::support::escrowing::NoStorages;

/// Two UUIDs, as Databasus writes them; of no instance.
const SECRET_KEY: &str = "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";

/// More than the hundred bytes that a ustar header has for a last name: it needs a pax record.
const LONG_NAME: &str = "a_name_that_is_longer_than_the_hundred_bytes_which_a_ustar_header_has_\
     for_the_last_name_of_a_path_so_that_a_pax_record_must_carry_it";

/// Writes `tests/golden/v1/store` and the listings, where they do not exist yet. See
/// `CONTRIBUTING.md`, "Golden archives".
#[test]
fn write_the_golden_archive() {
    if std::env::var_os("ESCROW_WRITE_GOLDEN").is_none() {
        return;
    }
    let store = golden("store");
    fs::create_dir(&store).expect("the archive of a released format never changes");
    let work = tempfile::tempdir().unwrap();
    let nights = [
        ("2026-06-12T02:00:00Z", "trust/recipients-1.toml"),
        ("2026-06-13T02:00:00Z", "trust/recipients-2.toml"),
    ];
    for (number, (begins, recipients)) in (1u8..).zip(nights) {
        night(&store, work.path(), number, begins, recipients);
    }
    fs::remove_dir_all(store.join(".uploads")).unwrap();
    let history = read_history(&store, trust_in_the_file(), None);
    fs::create_dir_all(golden("listing")).unwrap();
    for entry in &history.entries {
        let manifest = history.load(entry).unwrap();
        let listing = contents(&unpack(&store, &manifest, "keys/alice.age"));
        fs::write(golden(&listing_of(&manifest)), listing).unwrap();
    }
}

fn night(store: &Path, work: &Path, number: u8, begins: &str, recipients: &str) {
    let clock = Ticking::from(begins);
    let mut source = MadeUp::new(work, u64::from(number), begins);
    let recipients_text = golden_text(recipients);
    let settings = Settings {
        slug: slug(),
        signer: "escrow@demo-host".parse().unwrap(),
        signing_key: signing_key(),
        recipients: Recipients::parse(&recipients_text).unwrap(),
        recipients_text,
        quorum: None,
        allowed_signers_text: golden_text("trust/allowed_signers"),
        due_after: 26 * 3600,
        level: 19,
        workers: 1,
        image: Some("databasus/databasus:v3.42.0".to_owned()),
        databasus_version: Some("3.42.0".to_owned()),
        proof: ProofSettings::default(),
    };
    let store = DirStore::open("vault".parse().unwrap(), store.to_owned()).unwrap();
    let destinations = [Destination {
        store: Arc::new(store),
        provider: "dir".to_owned(),
        bucket: None,
        access: None,
        required: true,
        lock: None,
    }];
    let ports = Ports {
        source: &mut source,
        destinations: &destinations,
        storages: &NoStorages,
        state: &State::new(work.join("state")),
        clock: &clock,
        cancel: &Cancel::new(),
        random: [number; 8],
    };
    let report = snapshot::run(&settings, ports).unwrap();
    assert_eq!(report.completeness(), Completeness::Whole);
    assert_eq!(report.manifest.seq, u64::from(number));
}

/// A clock on which every look takes a second.
struct Ticking(AtomicI64);

impl Ticking {
    fn from(begins: &str) -> Self {
        Self(AtomicI64::new(begins.parse::<UtcTime>().unwrap().unix()))
    }
}

impl Clock for Ticking {
    fn now(&self) -> UtcTime {
        UtcTime::from_unix(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// An instance without a server: small files under the names that a real one has.
struct MadeUp {
    data_dir: PathBuf,
    users: u64,
    snapshot_at: UtcTime,
    looks: Cell<u64>,
}

impl MadeUp {
    fn new(work: &Path, users: u64, begins: &str) -> Self {
        let data_dir = work.join("databasus-data");
        fs::create_dir_all(&data_dir).unwrap();
        for (name, mode, text) in [
            ("secret.key", 0o600, SECRET_KEY),
            (
                "instance.json",
                0o644,
                "{\"instanceID\":\"33333333-3333-4333-8333-333333333333\"}",
            ),
        ] {
            let path = data_dir.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        Self {
            data_dir,
            users,
            snapshot_at: begins.parse::<UtcTime>().unwrap().plus(2),
            looks: Cell::new(0),
        }
    }
}

impl Source for MadeUp {
    fn method(&self) -> Method {
        Method::Online
    }

    fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn begin(&mut self) -> Result<u64, SourceError> {
        Ok(1 << 20)
    }

    /// One backup is written between the two looks.
    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError> {
        self.looks.set(self.looks.get() + 1);
        let rows = [
            ("backups", 3 + self.looks.get()),
            ("secret_keys", 0),
            ("users", self.users),
        ];
        Ok(Some(Catalogue {
            schema_version: Some(20_260_522_161_848),
            row_counts: rows.map(|(table, n)| (table.to_owned(), n)).into(),
            legacy_secret_keys: 0,
            databases: vec!["shop".to_owned()],
            storages: vec!["bucket".to_owned()],
        }))
    }

    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        let users = format!("{} users\n", self.users);
        directory(sink, "pgdata")?;
        file(sink, "pgdata/PG_VERSION", b"17\n")?;
        directory(sink, "pgdata/base")?;
        directory(sink, "pgdata/base/16384")?;
        file(sink, "pgdata/base/16384/1259", users.as_bytes())?;
        file(sink, "pgdata/base/16384/2604", b"")?;
        directory(sink, "pgdata/pg_tblspc")?;
        file(sink, &format!("pgdata/{LONG_NAME}"), b"a long name\n")?;
        file(sink, "pgdata/backup_manifest", b"{}\n")?;
        Ok(PgFacts {
            pg_version: "17.10".to_owned(),
            system_identifier: 7_560_000_000_000_000_001,
            timeline: 1,
            start_lsn: Some(format!("0/{}000028", self.users + 1)),
            stop_lsn: Some(format!("0/{}000120", self.users + 1)),
            data_checksums: true,
            snapshot_at: self.snapshot_at,
        })
    }

    /// One byte more than a piece holds, so that there are two.
    fn copy_logical(
        &mut self,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError> {
        let mut dump = b"PGDMP".chain(std::io::repeat(0).take((8 << 20) - 4));
        consume(&mut dump)?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}

fn directory(sink: &mut dyn EntrySink, path: &str) -> Result<(), SourceError> {
    sink.entry(SourceEntry {
        path: path.to_owned(),
        mode: 0o700,
        content: SourceContent::Directory,
    })?;
    Ok(())
}

fn file(sink: &mut dyn EntrySink, path: &str, mut bytes: &[u8]) -> Result<(), SourceError> {
    sink.entry(SourceEntry {
        path: path.to_owned(),
        mode: 0o600,
        content: SourceContent::File {
            size: bytes.len() as u64,
            reader: &mut bytes,
        },
    })?;
    Ok(())
}
