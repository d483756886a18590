//! Backup chains as Databasus writes them: made by real servers, and by this project's own
//! writer of Databasus' formats.
//!
//! A [`Source`] is a running cluster. A [`Native`] backs it up as releases since 3.43 do, a
//! [`WalV1`] as the agent of 3.17 to 3.42 did. What comes of it is a [`Chain`]: objects in memory,
//! which can be damaged, and laid down in a folder or a bucket.
//!
//! ```ignore
//! let source = Source::start()?;
//! let mut native = Native::of(&source, "shop cluster");
//! let full = native.full(&source);
//! let present = source.sentinel();
//! let absent = source.sentinel();
//! source.switch_wal();
//! native.wal(&source);
//! let chain = native.chain(&source);
//! chain.write_to(&folder); // at present.newest_at `present` is there, and `absent` is not
//! ```
//!
//! [`shared`] has chains that are made once for all tests.

mod base_backup;
mod chain;
pub mod format;
mod native;
pub mod shared;
mod source;
mod tests;
mod wal_v1;

pub use chain::{Chain, TakenBase, TakenSegment};
pub use native::Native;
pub use source::Source;
pub use wal_v1::WalV1;

use databasus_escrow::databasus::backup_file::Header;
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::databasus::secret_key::SecretKey;
use jiff::Timestamp;

/// What everything is encrypted with unless it is said otherwise.
pub const KEY: &str = "11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222";

/// Another key.
pub const OTHER_KEY: &str =
    "99999999-9999-4999-8999-99999999999988888888-8888-4888-8888-888888888888";

/// What Databasus' clock says: of the same host as the source's, to less than a second.
#[expect(
    clippy::disallowed_methods,
    reason = "objects are dated as they are made"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

/// How an object is stored.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Around a tar. WAL and history files are always in zstd.
    pub compression: Compression,
    /// None: not encrypted.
    pub key: Option<&'static str>,
    /// The largest part of a stream beyond 16 MiB; none where such a stream is one object, as
    /// releases before 3.46 have it.
    pub part: Option<usize>,
}

impl Default for How {
    fn default() -> Self {
        Self {
            compression: Compression::Zstd,
            key: Some(KEY),
            part: Some(1000 * format::WHOLE_UP_TO),
        }
    }
}

impl How {
    pub fn plain() -> Self {
        Self {
            key: None,
            ..Self::default()
        }
    }

    pub fn with_key(key: &'static str) -> Self {
        Self {
            key: Some(key),
            ..Self::default()
        }
    }

    pub fn compressed(compression: Compression) -> Self {
        Self {
            compression,
            ..Self::default()
        }
    }

    /// The key, and the header of a new file under it.
    fn seal(&self) -> Option<(SecretKey, Header)> {
        let key = self.key?;
        Some((secret_key(key), Header::random()))
    }
}

/// A key from its text.
pub fn secret_key(text: &str) -> SecretKey {
    SecretKey::new(text.as_bytes().to_vec()).unwrap()
}
