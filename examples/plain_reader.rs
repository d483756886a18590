//! The plainest reader of encrypted Databasus backups: one thread, one chunk at a time, as
//! Databasus' own. `scripts/plain-pitr` stands on it, and `scripts/bench-pitr` measures against it;
//! it notices no cut at the end of a chunk.
//!
//!   plain_reader SECRET_KEY_FILE ID <OBJECT >PLAINTEXT    ID: of the backup's row

use std::error::Error;
use std::io::{self, BufReader, BufWriter, Read, Write};

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use sha2::Sha256;

const HEADER: usize = 64;
const ITERATIONS: u32 = 100_000;
/// A chunk of plaintext and its tag.
const MOST: usize = (1 << 20) + 16;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [key_file, id] = words.as_slice() else {
        return Err("usage: plain_reader SECRET_KEY_FILE ID <OBJECT >PLAINTEXT".into());
    };
    let mut password = std::fs::read(key_file)?;
    password.extend_from_slice(id.as_bytes());
    open(
        &password,
        BufReader::with_capacity(MOST, io::stdin().lock()),
        BufWriter::with_capacity(MOST, io::stdout().lock()),
    )
}

fn open(password: &[u8], mut from: impl Read, mut to: impl Write) -> Result<(), Box<dyn Error>> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    if !header.starts_with(b"PGRSUS01") {
        return Err("not an encrypted backup".into());
    }
    let mut key = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password, &header[8..40], ITERATIONS, &mut key);
    let cipher = Aes256Gcm::new(&key.into());
    for index in 0u64.. {
        let Some(mut chunk) = next(&mut from)? else {
            break;
        };
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&header[40..44]);
        nonce[4..].copy_from_slice(&index.to_be_bytes());
        let opened = cipher.decrypt_in_place(Nonce::from_slice(&nonce), b"", &mut chunk);
        opened.map_err(|_| format!("chunk {index} does not open"))?;
        to.write_all(&chunk)?;
    }
    Ok(to.flush()?)
}

/// The next chunk with its tag; none at the end.
fn next(from: &mut impl Read) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST {
        return Err("a chunk is too long".into());
    }
    let mut chunk = vec![0; length];
    from.read_exact(&mut chunk)?;
    Ok(Some(chunk))
}
