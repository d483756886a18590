//! `secret.key` out of an escrow, and nothing else of it: the payload is read until the key has
//! passed, which is near its beginning (FORMAT.md, order of entries).

use std::io::{self, Read};
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::entry_path::EntryPath;
use crate::databasus::secret_key::{EmptyKey, SecretKey};
use crate::model::manifest::Manifest;
use crate::sealing::identities::Identities;
use crate::sealing::payload::DATA_DIR;
use crate::sealing::unpack::{EntryVisitor, UnpackError};
use crate::store::Store;

use super::open::{self, OnBytes};

/// Far more than any key has.
const MAX_KEY_BYTES: u64 = 64 << 10;

/// No key came out of an escrow.
#[derive(Debug, thiserror::Error)]
pub enum EscrowedKeyError {
    /// The payload does not open, or its beginning is not what was signed.
    #[error("cannot open the escrow")]
    Unpack(#[from] UnpackError),
    /// There is none in it.
    #[error("the escrow holds no secret.key")]
    None,
    /// It is one that no key can be.
    #[error("the escrow's secret.key cannot be used")]
    Unusable(#[from] EmptyKey),
    /// It is another than the manifest says.
    #[error("the escrow's secret.key has the id {found}, and its manifest names {named}")]
    WrongKey {
        /// The id of the key in the payload.
        found: String,
        /// By the manifest.
        named: String,
    },
}

/// Takes the key out of the escrow of a verified manifest. Every part that is opened has its
/// signed hash, and the key the id that the manifest names; the rest of the payload, its index
/// included, is not read.
pub fn secret_key(
    manifest: &Manifest,
    stores: &[Arc<dyn Store>],
    identities: &Identities,
    cancel: &Cancel,
    on_bytes: OnBytes,
) -> Result<SecretKey, EscrowedKeyError> {
    let mut wanted = KeyOnly(None);
    let opened = open::open(manifest, stores, identities, &mut wanted, cancel, on_bytes);
    let key = match (wanted.0, opened) {
        (Some(key), _) => key?,
        (None, Err(error)) => return Err(error.into()),
        (None, Ok(_)) => return Err(EscrowedKeyError::None),
    };
    let found = key.key_id(&manifest.instance.slug).to_string();
    if found != manifest.secret_key_id {
        let named = manifest.secret_key_id.clone();
        return Err(EscrowedKeyError::WrongKey { found, named });
    }
    Ok(key)
}

/// Keeps the key, and ends the walk with it.
struct KeyOnly(Option<Result<SecretKey, EmptyKey>>);

impl EntryVisitor for KeyOnly {
    fn directory(&mut self, _: &EntryPath, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn file(
        &mut self,
        path: &EntryPath,
        _: u32,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        if path.below(DATA_DIR) != Some("secret.key") {
            return io::copy(content, &mut io::sink()).map(|_| ());
        }
        if size > MAX_KEY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // With room for all of it: a buffer that grows leaves unwiped copies behind.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        content.read_to_end(&mut bytes)?;
        self.0 = Some(SecretKey::new(bytes));
        Err(io::Error::other("the rest is not needed"))
    }
}
