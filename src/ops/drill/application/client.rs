//! A Databasus that answers: every call that a drill makes, and no other.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::digest::{Digest, Hasher};
use crate::base::time::Clock;
use crate::databasus::api::{
    self, Address, Admin, AdminToken, Call, DownloadToken, Listing, Page, is_near,
};
use crate::databasus::secret_key::SecretKey;

use super::http::{Answer, Http, Patience};
use super::trouble::{CallError, Unreachable};

/// Largest answer that is held, in bytes; a page of a thousand backups takes less than one MiB.
const MOST: u64 = 8 << 20;

/// How long a small answer may take.
const SMALL: Duration = Duration::from_secs(60);

/// How long a backup may take besides [`PACE`].
const LARGE: Duration = Duration::from_secs(600);

/// Bytes in a second, at least: a Databasus nearby serves some hundred times as many.
const PACE: u64 = 256 << 10;

/// Bytes of a backup in memory at a time.
const PIECE: usize = 256 << 10;

/// Asks for nothing but the version.
pub(super) struct Client {
    http: Http,
}

/// Asks as an administrator, with a new token for every call.
pub(super) struct Api<'a> {
    client: &'a Client,
    key: &'a SecretKey,
    admin: Admin,
    clock: &'a dyn Clock,
}

/// A backup that was downloaded, and is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Downloaded {
    pub(super) size: u64,
    pub(super) sha256: Digest,
    /// It was announced with another length than it has.
    pub(super) misannounced: bool,
}

impl Client {
    /// Where a name leads is looked up once: it cannot lead elsewhere later.
    pub(super) fn new(address: &Address) -> Result<Self, Unreachable> {
        let to = resolve(address)?;
        Ok(Self {
            http: Http::new(to, Patience::USUAL),
        })
    }

    /// Which release it says that it is.
    pub(super) fn version(&self) -> Result<String, CallError> {
        let call = Call::Version;
        let bytes = self.small(&call, None)?;
        api::version(&bytes).map_err(|source| CallError::answer(&call, source))
    }

    fn small(&self, call: &Call<'_>, admin: Option<&AdminToken>) -> Result<Vec<u8>, CallError> {
        let answer = self.http.send(call, admin, SMALL)?;
        let status = answer.status;
        let bytes = read_small(call, answer)?;
        match status {
            200..=299 => Ok(bytes),
            _ => Err(CallError::refused(call, status, api::said(&bytes))),
        }
    }
}

impl<'a> Api<'a> {
    pub(super) fn new(
        client: &'a Client,
        key: &'a SecretKey,
        admin: Admin,
        clock: &'a dyn Clock,
    ) -> Self {
        Self {
            client,
            key,
            admin,
            clock,
        }
    }

    /// The hosts of a workspace's databases.
    pub(super) fn hosts(&self, workspace: Uuid) -> Result<Vec<String>, CallError> {
        let call = Call::Databases(workspace);
        let bytes = self.small(&call)?;
        api::hosts(&bytes).map_err(|source| CallError::answer(&call, source))
    }

    /// A page of what it lists of a database.
    pub(super) fn backups(&self, listing: Listing) -> Result<Page, CallError> {
        let call = Call::Backups(listing);
        let bytes = self.small(&call)?;
        api::page(&bytes).map_err(|source| CallError::answer(&call, source))
    }

    /// Downloads a backup of `expected` bytes, of which none is kept. One byte more than that is
    /// too many.
    pub(super) fn download(
        &self,
        backup: Uuid,
        expected: u64,
        cancel: &Cancel,
    ) -> Result<Downloaded, CallError> {
        let token = self.download_token(backup)?;
        let call = Call::File(backup, &token);
        let answer = self.client.http.send(&call, None, time_for(expected))?;
        if !matches!(answer.status, 200..=299) {
            let status = answer.status;
            let said = api::said(&read_small(&call, answer)?);
            return Err(CallError::refused(&call, status, said));
        }
        hash(answer.body, expected, cancel)
    }

    fn download_token(&self, backup: Uuid) -> Result<DownloadToken, CallError> {
        let call = Call::DownloadToken(backup);
        let bytes = zeroize::Zeroizing::new(self.small(&call)?);
        api::download_token(&bytes).map_err(|source| CallError::answer(&call, source))
    }

    fn small(&self, call: &Call<'_>) -> Result<Vec<u8>, CallError> {
        let token = AdminToken::sign(self.key, &self.admin, self.clock.now());
        self.client.small(call, Some(&token))
    }
}

fn time_for(size: u64) -> Duration {
    LARGE + Duration::from_secs(size / PACE)
}

fn resolve(address: &Address) -> Result<SocketAddr, Unreachable> {
    let unknown = |source| Unreachable::Unknown {
        host: address.host().to_owned(),
        source,
    };
    let found = (address.host(), address.port()).to_socket_addrs();
    let mut found = found.map_err(unknown)?.peekable();
    let first = found.peek().copied();
    let first = first.ok_or_else(|| unknown(ErrorKind::NotFound.into()))?;
    match found.find(|one| !is_near(one.ip())) {
        None => Ok(first),
        Some(far) => Err(Unreachable::Far(far.ip())),
    }
}

fn read_small(call: &Call<'_>, answer: Answer) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    let read = answer.body.take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|source| CallError::Cut {
        what: call.words(),
        source,
    })?;
    match bytes.len() as u64 > MOST {
        true => Err(CallError::TooLarge(call.words())),
        false => Ok(bytes),
    }
}

/// Dumps of MySQL and MariaDB are announced with the length that they had before they were
/// compressed (DATABASUS.md §4.6), so what goes wrong once all bytes came is
/// no matter: their digest is what counts.
fn hash(mut body: impl Read, expected: u64, cancel: &Cancel) -> Result<Downloaded, CallError> {
    let mut hasher = Hasher::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    let misannounced = loop {
        cancel.check()?;
        match body.read(&mut piece) {
            Ok(0) => break false,
            Ok(count) => {
                hasher.update(piece.get(..count).unwrap_or_default());
                size += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) if size == expected => break true,
            Err(source) => {
                return Err(CallError::Cut {
                    what: "a backup",
                    source,
                });
            }
        }
        if size > expected {
            return Err(CallError::TooLarge("a backup"));
        }
    };
    Ok(Downloaded {
        size,
        sha256: hasher.finish(),
        misannounced,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_near_hosts_are_spoken_to() {
        let at = |text: &str| resolve(&text.parse().unwrap());
        assert_eq!(
            at("http://127.0.0.1:4005").unwrap(),
            "127.0.0.1:4005".parse().unwrap()
        );
        assert!(matches!(
            at("http://8.8.8.8:4005"),
            Err(Unreachable::Far(_))
        ));
        assert!(matches!(
            at("http://nowhere.invalid:4005"),
            Err(Unreachable::Unknown { .. })
        ));
    }

    #[test]
    fn a_backup_that_is_longer_than_it_may_be_is_not_read_to_its_end() {
        let endless = io::repeat(7);
        let refused = hash(endless, 1 << 20, &Cancel::new());
        assert!(matches!(refused, Err(CallError::TooLarge(_))));
    }

    #[test]
    fn a_backup_is_hashed_in_passing() {
        let found = hash(&b"abc"[..], 3, &Cancel::new()).unwrap();
        assert_eq!((found.size, found.sha256), (3, Digest::of(b"abc")));
    }

    #[test]
    fn a_signal_ends_a_download() {
        let cancel = Cancel::new();
        cancel.raise(15);
        let ended = hash(io::repeat(7), u64::MAX, &cancel);
        assert!(matches!(ended, Err(CallError::Interrupted(_))));
    }
}
