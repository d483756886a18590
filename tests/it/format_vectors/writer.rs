//! How the archives were made: nights of a made-up instance, by the product's own snapshot, and what
//! custodians did on the days after.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::time::{Clock, UtcTime};
use databasus_escrow::model::checkin::{self, Checkin};
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::quorum::Quorum;
use databasus_escrow::model::recipients::Recipients;
use databasus_escrow::model::strict_json;
use databasus_escrow::ops::commit::{self, Completeness};
use databasus_escrow::ops::custody::stored_checkins::Stored;
use databasus_escrow::ops::custody::submission;
use databasus_escrow::ops::destination::{self, Destination};
use databasus_escrow::ops::rekey;
use databasus_escrow::ops::snapshot::{self, Ports, ProofSettings, Settings};
use databasus_escrow::ops::state::State;
use databasus_escrow::sealing::custody::open_layer;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::source::{
    Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceContent, SourceEntry,
    SourceError,
};
use tempfile::TempDir;

use super::archive::{contents, history_of, identities, store_at, unpack};
use super::{Archive, REKEYED, TWO_OF_THREE, V1, slug};

use crate::support::escrowing::NoStorages;

/// Two UUIDs, as Databasus writes them; of no instance.
const SECRET_KEY: &str = "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";

/// More than the hundred bytes that a ustar header has for a last name: it needs a pax record.
const LONG_NAME: &str = "a_name_that_is_longer_than_the_hundred_bytes_which_a_ustar_header_has_\
     for_the_last_name_of_a_path_so_that_a_pax_record_must_carry_it";

/// What an archive begins with: the folder that is yet to be written, and the writer's own memory.
struct Making<'a> {
    archive: &'a Archive,
    store: PathBuf,
    work: TempDir,
}

/// Whether archives are to be written. See `CONTRIBUTING.md`, "Golden archives".
fn begin(archive: &Archive) -> Option<Making<'_>> {
    std::env::var_os("ESCROW_WRITE_GOLDEN")?;
    let store = archive.path("store");
    match fs::create_dir(&store) {
        Ok(()) => {}
        // The archive of a released format never changes.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return None,
        Err(error) => panic!("{}: {error}", store.display()),
    }
    Some(Making {
        archive,
        store,
        work: tempfile::tempdir().unwrap(),
    })
}

#[test]
fn write_the_golden_archive() {
    let Some(making) = begin(&V1) else { return };
    making.night(1, "2026-06-12T02:00:00Z", "trust/recipients-1.toml", None);
    making.night(2, "2026-06-13T02:00:00Z", "trust/recipients-2.toml", None);
    making.finish(&["keys/alice.age"]);
}

#[test]
fn write_the_golden_archive_of_several_custodians() {
    let Some(making) = begin(&TWO_OF_THREE) else {
        return;
    };
    making.night(3, "2026-06-12T02:00:00Z", "trust/recipients.toml", Some(2));
    making.check_in("bob", "2026-06-12T09:00:00Z");
    making.finish(&["keys/alice.age", "keys/bob"]);
}

#[test]
fn write_the_golden_archive_of_an_escrow_that_was_sealed_again() {
    let Some(making) = begin(&REKEYED) else {
        return;
    };
    making.night(4, "2026-06-12T02:00:00Z", "trust/recipients-1.toml", None);
    making.rekey("2026-06-12T10:00:00Z", "trust/recipients-2.toml");
    making.finish(&["keys/carol.age"]);
}

impl Making<'_> {
    fn state(&self) -> State {
        State::new(self.work.path().join("state"))
    }

    fn destinations(&self) -> [Destination; 1] {
        [Destination {
            store: store_at(&self.store),
            provider: "dir".to_owned(),
            bucket: None,
            access: None,
            required: true,
            lock: None,
        }]
    }

    fn recipients(&self, file: &str, k: Option<u32>) -> (String, Recipients, Option<Quorum>) {
        let text = self.archive.text(file);
        let recipients = Recipients::parse(&text).unwrap();
        let quorum = k.map(|k| Quorum::new(k, &recipients).unwrap());
        (text, recipients, quorum)
    }

    fn night(&self, number: u8, begins: &str, recipients: &str, k: Option<u32>) {
        let clock = Ticking::from(begins);
        let mut source = MadeUp::new(self.work.path(), u64::from(number), begins);
        let (recipients_text, recipients, quorum) = self.recipients(recipients, k);
        let settings = Settings {
            slug: slug(),
            signer: "escrow@demo-host".parse().unwrap(),
            signing_key: self.archive.signing_key(),
            recipients,
            recipients_text,
            quorum,
            allowed_signers_text: self.archive.text("trust/allowed_signers"),
            due_after: 26 * 3600,
            level: 19,
            workers: 1,
            image: Some("databasus/databasus:v3.42.0".to_owned()),
            databasus_version: Some("3.42.0".to_owned()),
            proof: ProofSettings::default(),
        };
        let ports = Ports {
            source: &mut source,
            destinations: &self.destinations(),
            storages: &NoStorages,
            state: &self.state(),
            clock: &clock,
            cancel: &Cancel::new(),
            random: [number; 8],
        };
        let report = snapshot::run(&settings, ports).unwrap();
        assert_eq!(report.completeness(), Completeness::Whole);
    }

    /// A custodian, who recipient and signing key are one for, answers the canary.
    fn check_in(&self, who: &str, at: &str) {
        let history = history_of(self.archive);
        let (entry, _) = history.escrows().next_back().unwrap();
        let manifest = history.load(entry).unwrap();
        let mut canaries = manifest.canaries.iter();
        let canary = canaries.find(|one| one.custodian.as_str() == who).unwrap();
        let sealed = fs::read(self.store.join(&canary.key)).unwrap();
        let file = format!("keys/{who}");
        let nonce = open_layer(&sealed, &identities(self.archive, &[&file])).unwrap();
        let answer = Checkin {
            format: checkin::FORMAT.to_owned(),
            instance: slug(),
            custodian: canary.custodian.clone(),
            escrow_id: manifest.escrow_id.clone(),
            manifest_sha256: entry.link.digest,
            nonce: serde_json::from_value(hex::encode(&*nonce).into()).unwrap(),
            created_at: at.parse().unwrap(),
            statement: checkin::STATEMENT.to_owned(),
        };
        let document = strict_json::to_vec(&answer).unwrap();
        let key = SigningKey::from_openssh_pem(&self.archive.text(&file)).unwrap();
        let signature = key.sign(Namespace::Checkin, &document).unwrap();
        let signature = signature.as_bytes();
        let now = answer.created_at.plus(60);
        let destinations = self.destinations();
        let stored = Stored {
            history: &history,
            stores: &destination::stores(&destinations),
            now,
        };
        let verified = submission::verify(&document, signature, stored).unwrap();
        let layout = history.layout();
        let kept = submission::keep(&verified, &document, signature, layout, now, &destinations);
        assert!(kept.is_empty());
    }

    fn rekey(&self, begins: &str, recipients: &str) {
        let (text, recipients, _) = self.recipients(recipients, None);
        let (key, signer) = (
            self.archive.signing_key(),
            "escrow@demo-host".parse().unwrap(),
        );
        let allowed_signers = self.archive.text("trust/allowed_signers");
        let author = commit::Author {
            slug: &slug(),
            signer: &signer,
            signing_key: &key,
            allowed_signers: &allowed_signers,
        };
        let ports = commit::Ports {
            destinations: &self.destinations(),
            state: &self.state(),
            clock: &Ticking::from(begins),
            cancel: &Cancel::new(),
        };
        let settings = rekey::Settings {
            recipients: &recipients,
            quorum: None,
            recipients_text: &text,
            identities: Some(&identities(self.archive, &["keys/alice.age"])),
            escrows: &[],
        };
        let told: rekey::Told = Arc::new(|_| {});
        let report = rekey::run(author, ports, &settings, &told).unwrap();
        assert_eq!(report.completeness(), Completeness::Whole);
    }

    /// Lists what these identities find in each escrow.
    fn finish(&self, openers: &[&str]) {
        fs::remove_dir_all(self.store.join(".uploads")).unwrap();
        fs::create_dir_all(self.archive.path("listing")).unwrap();
        let history = history_of(self.archive);
        for (entry, _) in history.escrows() {
            let manifest = history.load(entry).unwrap();
            let identities = identities(self.archive, openers);
            let opened = unpack(&self.store, &manifest, &identities).unwrap();
            fs::write(self.archive.listing(&manifest), contents(&opened)).unwrap();
        }
    }
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
