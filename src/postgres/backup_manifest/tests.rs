use super::*;
use proptest::prelude::*;

/// As PostgreSQL 17 writes it; the content is `PG_VERSION` of that release ("17\n"), and a
/// name that is not ASCII in both of its forms.
const KNOWN: &str = concat!(
    "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n",
    "\"System-Identifier\": 7512345678901234567,\n",
    "\"Files\": [\n",
    "{ \"Path\": \"PG_VERSION\", \"Size\": 3, \"Last-Modified\": \"2026-06-12 02:00:00 GMT\", ",
    "\"Checksum-Algorithm\": \"SHA256\", \"Checksum\": ",
    "\"54183f4323f377b737433a1e98229ead0fdc686f93bab057ecb612daa94002b5\" },\n",
    "{ \"Encoded-Path\": \"626173652fc3a9\", \"Size\": 0, ",
    "\"Last-Modified\": \"2026-06-12 02:00:00 GMT\", ",
    "\"Checksum-Algorithm\": \"SHA256\", \"Checksum\": ",
    "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\" }\n",
    "],\n",
    "\"WAL-Ranges\": [\n",
    "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000120\" }\n",
    "],\n",
);

fn sealed(body: &str) -> Vec<u8> {
    let digest = Digest::of(body.as_bytes());
    format!("{body}\"Manifest-Checksum\": \"{digest}\"}}\n").into_bytes()
}

fn sha256(bytes: &[u8]) -> Checksum {
    Checksum::Sha256(Digest::of(bytes))
}

fn known() -> BackupManifest {
    BackupManifest::parse(&sealed(KNOWN)).unwrap()
}

fn refusal(from: &str, to: &str) -> String {
    assert!(KNOWN.contains(from), "{from}");
    let bytes = sealed(&KNOWN.replacen(from, to, 1));
    BackupManifest::parse(&bytes).unwrap_err().to_string()
}

#[test]
fn a_known_manifest_reads_as_what_it_says() {
    let manifest = known();
    assert_eq!(manifest.system_identifier, Some(7_512_345_678_901_234_567));
    let record = FileRecord {
        size: 3,
        checksum: sha256(b"17\n"),
    };
    assert_eq!(manifest.files.get("PG_VERSION"), Some(&record));
    assert!(manifest.files.contains_key("base/é"));
    let range = WalRange {
        timeline: 1,
        start: Lsn(0x200_0028),
        end: Lsn(0x200_0120),
    };
    assert_eq!(manifest.wal_ranges, [range]);
}

#[test]
fn version_1_has_no_system_identifier() {
    let body = KNOWN.replace("Version\": 2", "Version\": 1");
    let body = body.replace("\"System-Identifier\": 7512345678901234567,\n", "");
    let manifest = BackupManifest::parse(&sealed(&body)).unwrap();
    assert_eq!(manifest.system_identifier, None);
}

#[test]
fn what_cannot_be_relied_on_is_refused() {
    for (from, to, expected) in [
        ("Version\": 2", "Version\": 3", "version 3"),
        ("\"Size\": 3", "\"Size\": -3", "malformed"),
        ("\"Size\": 3", "\"Size\": 3, \"Size\": 3", "malformed"),
        ("\"Size\": 3", "\"Size\": 3, \"Mode\": 384", "malformed"),
        (
            "Encoded-Path\": \"626173652fc3a9",
            "Path\": \"PG_VERSION",
            "twice",
        ),
        ("626173652fc3a9", "ff", "not UTF-8"),
        ("626173652fc3a9", "6", "not hexadecimal"),
        ("\"Path\": \"PG_VERSION\", ", "", "one path"),
        ("SHA256", "CRC64", "unknown kind"),
        ("54183f", "54183F", "checksum is not one"),
        ("0/2000120", "0/2000027", "range"),
        ("Timeline\": 1", "Timeline\": 0", "range"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(expected), "{from} -> {to}: {message}");
    }
}

#[test]
fn other_checksums_are_read_where_they_are_allowed() {
    let digest = "54183f4323f377b737433a1e98229ead0fdc686f93bab057ecb612daa94002b5";
    let body = KNOWN
        .replace("SHA256", "CRC32C")
        .replace(digest, "64440205");
    let body = body.replace(&Digest::of(b"").to_string(), "00000000");
    let bytes = sealed(&body);
    let manifest = BackupManifest::parse_any(&bytes).unwrap();
    assert_eq!(
        manifest.files["PG_VERSION"].checksum,
        Checksum::Crc32c(0x0502_4464)
    );
    let refused = BackupManifest::parse(&bytes).unwrap_err().to_string();
    assert!(
        refused.ends_with("its checksum is not SHA-256"),
        "{refused}"
    );
}

#[test]
fn without_checksums_the_length_is_compared() {
    let start = KNOWN.find(", \"Checksum-Algorithm").unwrap();
    let end = start + KNOWN[start..].find(" },").unwrap();
    let body = format!("{}{}", &KNOWN[..start], &KNOWN[end..]);
    let manifest = BackupManifest::parse_any(&sealed(&body)).unwrap();
    let found = |size| FileRecord {
        size,
        checksum: sha256(b"anything"),
    };
    assert_eq!(manifest.compare_file("PG_VERSION", &found(3)), Ok(()));
    assert!(manifest.compare_file("PG_VERSION", &found(4)).is_err());
    assert!(BackupManifest::parse(&sealed(&body)).is_err());
}

#[test]
fn every_difference_between_backup_and_manifest_is_named() {
    let manifest = known();
    let arrived = manifest.files.clone();
    let with = |path: &str, change: &dyn Fn(&mut FileRecord)| {
        let mut files = arrived.clone();
        change(files.entry(path.to_owned()).or_insert(FileRecord {
            size: 0,
            checksum: sha256(b""),
        }));
        manifest
            .compare(&files)
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(with("PG_VERSION", &|_| ()), None);
    assert_eq!(with("pg_wal/000000010000000000000002", &|_| ()), None);
    let size = with("PG_VERSION", &|file| file.size = 4).unwrap();
    assert!(size.starts_with("PG_VERSION has 4 bytes"), "{size}");
    let content = with("PG_VERSION", &|file| file.checksum = sha256(b"18\n")).unwrap();
    assert!(
        content.starts_with("the content of PG_VERSION differs"),
        "{content}"
    );
    let unlisted = with("base/1\u{1b}", &|_| ()).unwrap();
    assert!(
        unlisted.starts_with("base/1\\u{1b} is in the backup but"),
        "{unlisted}"
    );
    let missing = manifest.compare(&BTreeMap::new()).unwrap_err();
    assert_eq!(missing, Mismatch::Missing("PG_VERSION".to_owned()));
}

#[test]
fn a_manifest_of_another_backup_is_refused() {
    let (manifest, id) = (known(), 7_512_345_678_901_234_567);
    let (start, stop) = (Lsn(0x200_0028), Lsn(0x200_0120));
    assert_eq!(manifest.check_origin(id, start, stop), Ok(()));
    assert_eq!(manifest.check_origin(1, start, stop), Err(Mismatch::Origin));
    assert_eq!(manifest.check_origin(id, stop, stop), Err(Mismatch::Origin));
    assert_eq!(
        manifest.check_origin(id, start, start),
        Err(Mismatch::Origin)
    );
}

proptest! {
    #[test]
    fn a_changed_byte_never_goes_unnoticed(at: prop::sample::Index, change in 1..=255_u8) {
        let mut bytes = sealed(KNOWN);
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(BackupManifest::parse(&bytes).is_err());
    }

    #[test]
    fn every_list_of_files_is_read_back(
        files in prop::collection::btree_map("[a-z0-9_.é/]{1,20}", any::<(u64, [u8; 32])>(), 0..20)
    ) {
        let lines: Vec<String> = files.iter().map(|(path, (size, sha256))| format!(
            "{{ \"Path\": \"{path}\", \"Size\": {size}, \"Last-Modified\": \"x\", \
             \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"{}\" }}",
            Digest::from_bytes(*sha256)
        )).collect();
        let (head, rest) = KNOWN.split_once("[\n").unwrap();
        let (_, tail) = rest.split_once("\n]").unwrap();
        let body = format!("{head}[\n{}\n]{tail}", lines.join(",\n"));
        let manifest = BackupManifest::parse(&sealed(&body)).unwrap();
        let expected = files.into_iter().map(|(path, (size, sha256))| {
            (path, FileRecord { size, checksum: Checksum::Sha256(Digest::from_bytes(sha256)) })
        });
        prop_assert_eq!(manifest.files, expected.collect());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = BackupManifest::parse_any(&bytes);
    }
}
