//! Encrypts standard input as Databasus would have stored it: for `scripts/bench`, which needs a
//! backup to recover, and for whoever wants to try `recover` without an instance.
//!
//! `encrypt_backup KEY-FILE BACKUP-ID < plaintext > object`
#![allow(clippy::print_stderr, reason = "an example has nobody else to tell it")]

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use databasus_escrow::databasus::backup_file::{BackupWriter, Header};
use databasus_escrow::databasus::secret_key::SecretKey;
use uuid::Uuid;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("encrypt_backup: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let (Some(key), Some(id), None) = (words.next(), words.next(), words.next()) else {
        return Err("usage: encrypt_backup KEY-FILE BACKUP-ID < plaintext > object".into());
    };
    let key = SecretKey::new(std::fs::read(key)?)?;
    let id = Uuid::try_parse(&id.to_string_lossy())?;
    let out = io::stdout().lock();
    let mut writer = BackupWriter::new(out, &key, id, &Header::random())?;
    io::copy(&mut io::stdin().lock(), &mut writer)?;
    writer.finish()?.flush()?;
    Ok(())
}
