//! A folder of objects as Databasus would have written them, and the command in front of it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use assert_cmd::assert::Assert;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::databasus::backup_file::{BackupWriter, Header};
use databasus_escrow::databasus::secret_key::SecretKey;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::needed;
use crate::support::sandbox::Sandbox;

/// Two keys of an instance; the first 32 bytes are the same, as fields could not tell.
pub const KEY: &str = "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";
pub const OTHER_KEY: &str =
    "11111111-1111-4111-8111-11111111111133333333-3333-4333-8333-333333333333";

pub const ID: &str = "7a4faa4c-adf4-4cf2-b5d3-7d537474402e";

/// The name of a backup begun in this minute of an hour.
pub fn name(label: &str, minute: u32, id: &str) -> String {
    format!("{label}-20261123-03{minute:02}00-{id}")
}

/// A plaintext of several chunks.
pub fn plaintext(length: usize) -> Vec<u8> {
    let head = b"PGDMP not really".iter().copied();
    head.chain((0..=250u8).cycle()).take(length).collect()
}

/// `plain` as Databasus encrypts it.
pub fn sealed(plain: &[u8], key: &str, id: &str) -> Vec<u8> {
    sealed_with(plain, key, id, &Header::random())
}

pub fn sealed_with(plain: &[u8], key: &str, id: &str, header: &Header) -> Vec<u8> {
    let key = SecretKey::new(key.as_bytes().to_vec()).unwrap();
    let id = Uuid::try_parse(id).unwrap();
    let mut writer = BackupWriter::new(Vec::new(), &key, id, header).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

/// A dump's sidecar.
pub fn sidecar(id: &str, encrypted: Option<&Header>) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let salt = encrypted.map(|header| STANDARD.encode(header.salt));
    let nonce = encrypted.map(|header| STANDARD.encode(header.nonce));
    let word = if encrypted.is_some() {
        "ENCRYPTED"
    } else {
        "NONE"
    };
    json!({"backupId": id, "encryptionSalt": salt, "encryptionIV": nonce, "encryption": word})
}

pub struct Bed {
    pub sandbox: Sandbox,
    pub bucket: PathBuf,
}

impl Bed {
    pub fn new() -> Self {
        let sandbox = Sandbox::new();
        let bucket = sandbox.folder("bucket");
        for (file, key) in [("secret.key", KEY), ("other.key", OTHER_KEY)] {
            let path = sandbox.file(file, key);
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(path, private).unwrap();
        }
        Self { sandbox, bucket }
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.bucket.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A committed encrypted dump.
    pub fn put_dump(&self, name: &str, plain: &[u8], key: &str) {
        let id = &name[name.len() - 36..];
        let header = Header::random();
        self.put(name, sealed_with(plain, key, id, &header));
        let sidecar = sidecar(id, Some(&header));
        self.put(&format!("{name}.metadata"), sidecar.to_string());
    }

    /// Bytes in parts of this size, with their list.
    pub fn put_parts(&self, name: &str, bytes: &[u8], part_size: usize) {
        let mut parts = Vec::new();
        for (number, part) in (1..).zip(bytes.chunks(part_size)) {
            let key = format!("{name}.part{number:06}");
            self.put(&key, part);
            let sha256 = Digest::of(part);
            parts.push(json!({"key": format!("hw/{key}"), "size": part.len(), "sha256": sha256}));
        }
        let list = json!({"version": 1, "totalSize": bytes.len(), "parts": parts});
        self.put(&format!("{name}.parts"), list.to_string());
    }

    /// `recover` from the folder with the one key.
    pub fn recover(&self, line: &str) -> Assert {
        self.recover_with("--secret-key ../secret.key", line)
    }

    pub fn recover_with(&self, keys: &str, line: &str) -> Assert {
        self.sandbox.run(&self.line(keys, line))
    }

    pub fn line(&self, keys: &str, line: &str) -> String {
        format!("recover --from {} {keys} {line}", self.bucket.display())
    }

    /// A file in the folder that the command runs in.
    pub fn output(&self, name: &str) -> PathBuf {
        self.sandbox.path("box").join(name)
    }

    /// Everything in that folder.
    pub fn outputs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sandbox.path("box")).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(|e| name(e).into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A fixture's folder.
pub fn fixture(name: &str) -> Option<PathBuf> {
    Some(needed("ESCROW_TEST_FIXTURES")?.join(name))
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
