//! Stands in for Databasus where the demo needs one: encrypts a column, writes a backup object
//! with its sidecar, exactly as releases 3.14 to 3.49 do (one object, up to 16 MiB).
//!
//!   databasus_stand_in field SECRET_KEY_FILE TEXT         prints `enc:…`
//!   databasus_stand_in backup SECRET_KEY_FILE OBJECT      reads a dump on standard input, writes
//!                                                         OBJECT and OBJECT.metadata, and prints
//!                                                         salt and nonce as the catalogue holds them
//!   databasus_stand_in object SECRET_KEY_FILE ID OBJECT   the same of anything, under the id of its
//!                                                         row, and without a sidecar

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use databasus_escrow::databasus::backup_file::{BackupWriter, Header};
use databasus_escrow::databasus::fields::seal_field;
use databasus_escrow::databasus::secret_key::SecretKey;
use uuid::Uuid;

const USAGE: &str = "usage: databasus_stand_in field SECRET_KEY_FILE TEXT
       databasus_stand_in backup SECRET_KEY_FILE OBJECT <DUMP
       databasus_stand_in object SECRET_KEY_FILE ID OBJECT <CONTENT";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let told = match words.as_slice() {
        ["field", key, text] => seal_field(text, &read_key(key)?, rand::random()),
        ["backup", key, object] => backup(&read_key(key)?, Path::new(object))?,
        ["object", key, id, object] => {
            seal(&read_key(key)?, Uuid::try_parse(id)?, Path::new(object))?.join(" ")
        }
        _ => return Err(USAGE.into()),
    };
    writeln!(io::stdout(), "{told}")?;
    Ok(())
}

fn read_key(file: &str) -> Result<SecretKey, Box<dyn Error>> {
    Ok(SecretKey::new(std::fs::read(file)?)?)
}

fn backup(key: &SecretKey, object: &Path) -> Result<String, Box<dyn Error>> {
    let name = object.file_name().and_then(|name| name.to_str());
    let name = name.ok_or("the object has no name")?;
    let tail = name.len().checked_sub(36).and_then(|at| name.get(at..));
    let id = Uuid::try_parse(tail.ok_or("the object's name ends in no id")?)?;
    let [salt, nonce] = seal(key, id, object)?;
    let sidecar = serde_json::json!({
        "backupId": id,
        "encryptionSalt": salt,
        "encryptionIV": nonce,
        "encryption": "ENCRYPTED",
    });
    std::fs::write(beside(object), serde_json::to_vec(&sidecar)?)?;
    Ok(format!("{salt} {nonce}"))
}

/// Encrypts standard input into a new file; gives back salt and nonce as the catalogue holds them.
fn seal(key: &SecretKey, id: Uuid, object: &Path) -> Result<[String; 2], Box<dyn Error>> {
    let header = Header::random();
    let mut writer = BackupWriter::new(File::create_new(object)?, key, id, &header)?;
    io::copy(&mut io::stdin().lock(), &mut writer)?;
    writer.finish()?;
    Ok([STANDARD.encode(header.salt), STANDARD.encode(header.nonce)])
}

fn beside(object: &Path) -> PathBuf {
    let mut path = object.as_os_str().to_owned();
    path.push(".metadata");
    path.into()
}
