//! Encrypted backups and encrypted fields that Databasus itself wrote.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use databasus_escrow::databasus::backup_file::{BackupFileError, BackupReader, plain_size};
use databasus_escrow::databasus::fields::{is_sealed, open_field};
use databasus_escrow::databasus::secret_key::SecretKey;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::support::optional;

/// An encrypted object that a fixture holds, and what its plaintext must be.
struct Truth {
    name: String,
    id: Uuid,
    sha256: String,
}

fn fixture(name: &str) -> Option<PathBuf> {
    Some(optional("ESCROW_TEST_FIXTURES")?.join(name))
}

fn secret_key(fixture: &Path) -> SecretKey {
    SecretKey::new(std::fs::read(fixture.join("secret.key")).unwrap()).unwrap()
}

/// What `truth.json` says of encrypted objects: a list in the composed fixtures, in the real ones
/// an object with a list, and with other names.
fn truth(fixture: &Path) -> Vec<Truth> {
    let json: Value =
        serde_json::from_slice(&std::fs::read(fixture.join("truth.json")).unwrap()).unwrap();
    let real = json.get("objects").and_then(Value::as_array);
    let objects = real.or(json.as_array()).unwrap().iter();
    let text = |object: &Value, one: &str, other: &str| {
        let value = object.get(one).or(object.get(other)).unwrap();
        value.as_str().unwrap().to_owned()
    };
    objects
        .filter(|object| {
            let flag = object.get("encrypted").or(object.get("enc"));
            let is_known = object.get("plain_sha256").or(object.get("sha256_plain"));
            let is_there = !files(fixture, &text(object, "name", "file")).is_empty();
            is_known.is_some() && is_there && flag.and_then(Value::as_bool) == Some(true)
        })
        .map(|object| Truth {
            name: text(object, "name", "file"),
            id: text(object, "id", "id").parse().unwrap(),
            sha256: text(object, "plain_sha256", "sha256_plain"),
        })
        .collect()
}

/// The files that make up an object: one, or its parts in order; none for a row without objects.
fn files(fixture: &Path, name: &str) -> Vec<PathBuf> {
    let folder = fixture.join("r2");
    let whole = folder.join(name);
    if whole.exists() {
        return vec![whole];
    }
    let part = |number| folder.join(format!("{name}.part{number:06}"));
    let parts = (1..).map(part);
    parts.take_while(|path| path.exists()).collect()
}

fn opened(fixture: &Path, object: &Truth, threads: usize) -> io::Result<String> {
    let files = files(fixture, &object.name);
    let sizes = files.iter().map(|path| path.metadata().unwrap().len());
    let stored = sizes.sum();
    let mut source: Box<dyn Read + Send> = Box::new(io::empty());
    for path in &files {
        source = Box::new(source.chain(File::open(path).unwrap()));
    }
    let key = secret_key(fixture);
    let mut reader = BackupReader::open(source, stored, &key, object.id, threads)?;
    let mut hash = Sha256::new();
    let plain = io::copy(&mut reader, &mut hash)?;
    assert_eq!(Ok(plain), plain_size(stored));
    Ok(hex::encode(hash.finalize()))
}

/// Every object decrypts to what was dumped.
fn assert_opens(name: &str) {
    let Some(fixture) = fixture(name) else {
        return;
    };
    let mut objects = truth(&fixture);
    objects.retain(|object| !object.name.starts_with("legacy-"));
    assert!(objects.len() > 6, "only {} objects", objects.len());
    for object in objects {
        let sha256 = opened(&fixture, &object, 2).unwrap();
        assert_eq!(sha256, object.sha256, "{}", object.name);
    }
}

#[test]
fn composed_objects_of_3_42_0_decrypt() {
    assert_opens("databasus-3.42.0");
}

#[test]
fn composed_objects_of_3_49_0_decrypt_also_in_three_parts() {
    assert_opens("databasus-3.49.0");
}

#[test]
fn objects_of_a_running_3_42_0_decrypt() {
    assert_opens("real-3.42.0");
}

#[test]
fn objects_of_a_running_3_49_0_decrypt_also_in_parts() {
    assert_opens("real-3.49.0");
}

#[test]
fn a_dump_that_died_at_once_is_no_empty_backup() {
    for name in ["real-3.42.0", "real-3.49.0"] {
        let Some(fixture) = fixture(name) else {
            return;
        };
        let objects = truth(&fixture);
        let mut failed = objects.iter().filter(|o| o.name.starts_with("legacy-"));
        let error = opened(&fixture, failed.next().unwrap(), 1).unwrap_err();
        let cause = error.get_ref().unwrap().downcast_ref::<BackupFileError>();
        assert_eq!(cause, Some(&BackupFileError::HeaderOnly));
    }
}

/// The named columns of a table's only row.
fn row(fixture: &Path, table: &str, wanted: &[&str]) -> Vec<String> {
    let sql = std::fs::read_to_string(fixture.join("metadata.sql")).unwrap();
    let mut lines = sql.lines();
    let copy = format!("COPY public.{table} (");
    let header = lines.find_map(|line| line.strip_prefix(&copy)).unwrap();
    let columns: Vec<&str> = header.split(')').next().unwrap().split(", ").collect();
    let values: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let place = |name: &&str| columns.iter().position(|column| column == name);
    let places = wanted.iter().map(|name| place(name).unwrap());
    places.map(|place| values[place].to_owned()).collect()
}

#[test]
fn fields_that_databasus_sealed_open() {
    for name in ["real-3.42.0", "real-3.49.0"] {
        let Some(fixture) = fixture(name) else {
            return;
        };
        let key = secret_key(&fixture);
        let sealed = row(&fixture, "s3_storages", &["s3_access_key", "s3_secret_key"]);
        assert!(sealed.iter().all(|value| is_sealed(value)));
        let opened = sealed.iter().map(|value| open_field(value, &key).unwrap());
        let opened: Vec<String> = opened.map(|value| value.to_string()).collect();
        assert_eq!(opened, ["AK", "SKSKSKSK"]);
    }
}
