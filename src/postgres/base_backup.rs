//! `BASE_BACKUP` over the replication protocol: a consistent copy of a running cluster as a tar
//! stream, with the log it needs and a manifest ("Streaming Replication Protocol" in
//! PostgreSQL's manual; the message layout is that of version 15 and later).

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use postgres_protocol::message::backend::Message;

use super::lsn::Lsn;
use super::wire::{Connection, PgError, Row, malformed, unexpected};
use crate::base::text::printable;

/// Manifests are kept in memory: this is room for some three million files.
const LARGEST_MANIFEST: usize = 512 << 20;

/// What the server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's, set by `initdb`.
    pub system_identifier: u64,
    /// The timeline it writes.
    pub timeline: u32,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalPosition {
    /// Position on the timeline.
    pub lsn: Lsn,
    /// The timeline.
    pub timeline: u32,
}

/// What is known once all of a backup has arrived.
#[derive(Clone, Debug)]
pub struct Completed {
    /// Where replay is consistent.
    pub stop: WalPosition,
    /// The exact bytes of the server's backup manifest.
    pub manifest: Vec<u8>,
}

/// One file or directory of the cluster.
pub struct Member<'a> {
    /// Relative to the cluster's directory, `/`-separated.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// None for a directory.
    pub file: Option<MemberFile<'a>>,
}

/// A file's content.
pub struct MemberFile<'a> {
    /// In bytes.
    pub size: u64,
    /// Yields exactly `size` bytes, or fails.
    pub reader: &'a mut dyn Read,
}

/// `IDENTIFY_SYSTEM`.
pub fn identify(connection: &mut Connection) -> Result<Identity, PgError> {
    let rows = connection.simple_query("IDENTIFY_SYSTEM")?;
    Ok(Identity {
        system_identifier: field(&rows, 0, "a system identifier")?,
        timeline: field(&rows, 1, "a timeline")?,
    })
}

/// Makes the server keep all log from now until the session ends, with a temporary slot that
/// goes with the session: a checkpoint during the backup can then not remove what it needs.
pub fn reserve_wal(connection: &mut Connection) -> Result<(), PgError> {
    let slot = format!("escrow_{:016x}", rand::random::<u64>());
    connection.simple_query(&format!(
        "CREATE_REPLICATION_SLOT {slot} TEMPORARY PHYSICAL (RESERVE_WAL)"
    ))?;
    Ok(())
}

enum Phase {
    Announced,
    Archive,
    Manifest,
    Complete,
}

/// A base backup that is arriving. As a reader it is the tar archive of the cluster's directory.
///
/// Where a read fails, the reason is kept and comes from [`BaseBackup::visit`] or
/// [`BaseBackup::finish`], so that it survives the wrappers that readers put around errors.
pub struct BaseBackup<'c> {
    connection: &'c mut Connection,
    progress: &'c dyn Fn(u64),
    start: WalPosition,
    phase: Phase,
    pending: Bytes,
    received: u64,
    manifest: Vec<u8>,
    failure: Option<PgError>,
}

impl<'c> BaseBackup<'c> {
    /// Starts a backup with a fast checkpoint; `progress` learns how many bytes have arrived.
    /// A cluster with tablespaces of its own is refused: they lie outside of its directory.
    pub fn start(
        connection: &'c mut Connection,
        progress: &'c dyn Fn(u64),
    ) -> Result<Self, PgError> {
        connection.send_query(
            "BASE_BACKUP (LABEL 'databasus-escrow', PROGRESS, CHECKPOINT 'fast', WAL, \
             MANIFEST 'yes', MANIFEST_CHECKSUMS 'SHA256')",
        )?;
        let start = position(&connection.result_set()?)?;
        refuse_tablespaces(&connection.result_set()?)?;
        match connection.receive()? {
            Message::CopyOutResponse(_) => {}
            _ => return Err(unexpected("no archive after the list of tablespaces")),
        }
        Ok(Self {
            connection,
            progress,
            start,
            phase: Phase::Announced,
            pending: Bytes::new(),
            received: 0,
            manifest: Vec::new(),
            failure: None,
        })
    }

    /// Where replay starts.
    pub fn start_position(&self) -> WalPosition {
        self.start
    }

    /// Hands every member of the archive to `visit`, in the server's order: directories before
    /// what they hold. Lock and option files of the running server are left out.
    pub fn visit<E: From<PgError>>(
        &mut self,
        visit: &mut dyn FnMut(Member<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let outcome = visit_archive(&mut *self, visit);
        match self.failure.take() {
            Some(failure) => Err(failure.into()),
            None => outcome,
        }
    }

    /// Takes what is left, to the end, so that the session can be used again.
    pub fn finish(mut self) -> Result<Completed, PgError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        while !matches!(self.phase, Phase::Complete) {
            self.advance()?;
        }
        let stop = position(&self.connection.result_set()?)?;
        self.connection.result_set()?;
        match self.connection.receive()? {
            Message::ReadyForQuery(_) => Ok(Completed {
                stop,
                manifest: self.manifest,
            }),
            _ => Err(unexpected("something after the end of a backup")),
        }
    }

    /// Takes the next message of the copy stream.
    fn advance(&mut self) -> Result<(), PgError> {
        // Released first: the connection's buffer is used again only when nothing points into it.
        self.pending = Bytes::new();
        match self.connection.receive()? {
            Message::CopyData(body) => self.take(body.into_bytes()),
            Message::CopyDone if matches!(self.phase, Phase::Manifest) => {
                self.phase = Phase::Complete;
                Ok(())
            }
            _ => Err(unexpected("a backup that ends early")),
        }
    }

    fn take(&mut self, mut message: Bytes) -> Result<(), PgError> {
        let kind = message.try_get_u8().unwrap_or(0);
        match (kind, &self.phase) {
            (b'n', Phase::Announced) => self.phase = Phase::Archive,
            (b'm', Phase::Archive) => self.phase = Phase::Manifest,
            (b'p', _) => {}
            (b'd', Phase::Archive) => {
                self.received += message.len() as u64;
                (self.progress)(self.received);
                self.pending = message;
            }
            (b'd', Phase::Manifest) if self.manifest.len() + message.len() <= LARGEST_MANIFEST => {
                self.manifest.extend_from_slice(&message);
            }
            _ => return Err(unexpected("an unknown or misplaced message in a backup")),
        }
        Ok(())
    }

    fn read_archive(&mut self, buffer: &mut [u8]) -> Result<usize, PgError> {
        while self.pending.is_empty() {
            if matches!(self.phase, Phase::Manifest | Phase::Complete) {
                return Ok(0);
            }
            self.advance()?;
        }
        let count = buffer.len().min(self.pending.len());
        self.pending.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Read for BaseBackup<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the backup failed before"));
        }
        self.read_archive(buffer).map_err(|failure| {
            let error = io::Error::other(failure.to_string());
            self.failure = Some(failure);
            error
        })
    }
}

fn visit_archive<E: From<PgError>>(
    stream: impl Read,
    visit: &mut dyn FnMut(Member<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().map_err(malformed)? {
        let mut entry = entry.map_err(malformed)?;
        let path = member_path(&entry.path_bytes())?;
        if matches!(path.as_str(), "postmaster.pid" | "postmaster.opts") {
            continue;
        }
        let mode = entry.header().mode().map_err(malformed)? & 0o7777;
        let size = entry.size();
        let file = match entry.header().entry_type() {
            tar::EntryType::Directory => None,
            tar::EntryType::Regular => Some(MemberFile {
                size,
                reader: &mut entry,
            }),
            _ => return Err(refused(&path, "is neither a file nor a directory").into()),
        };
        visit(Member { path, mode, file })?;
    }
    Ok(())
}

/// The server is trusted with its content, not with where things are put.
fn member_path(bytes: &[u8]) -> Result<String, PgError> {
    let text = String::from_utf8_lossy(bytes);
    let Ok(exact) = std::str::from_utf8(bytes) else {
        return Err(refused(&text, "has a name that is not UTF-8"));
    };
    // PostgreSQL writes most names bare, but `./pg_wal/archive_status`, and directories with a slash.
    let path = exact.strip_prefix("./").unwrap_or(exact);
    let path = path.strip_suffix('/').unwrap_or(path);
    let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !inside || path.contains('\0') {
        return Err(refused(path, "has a name that leads out of the directory"));
    }
    Ok(path.to_owned())
}

fn refused(path: &str, why: &str) -> PgError {
    PgError::Protocol(format!("{} {why}", printable(path)))
}

fn refuse_tablespaces(rows: &[Row]) -> Result<(), PgError> {
    let foreign = rows.iter().find_map(|row| row.get(1)?.as_deref());
    match foreign {
        None => Ok(()),
        Some(location) => Err(PgError::Tablespace(printable(location).into_owned())),
    }
}

fn position(rows: &[Row]) -> Result<WalPosition, PgError> {
    Ok(WalPosition {
        lsn: field(rows, 0, "a log position")?,
        timeline: field(rows, 1, "a timeline")?,
    })
}

fn field<T: std::str::FromStr>(rows: &[Row], column: usize, what: &str) -> Result<T, PgError> {
    rows.first()
        .and_then(|row| row.get(column)?.as_deref()?.parse().ok())
        .ok_or_else(|| PgError::Protocol(format!("{what} is missing or malformed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, content) in members {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o100_600);
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn visited(stream: &[u8]) -> Result<Vec<String>, PgError> {
        let mut paths = Vec::new();
        visit_archive(stream, &mut |member| {
            let Member { path, mode, file } = member;
            paths.push(format!("{path} {mode:o} {:?}", file.map(|file| file.size)));
            Ok::<_, PgError>(())
        })?;
        Ok(paths)
    }

    #[test]
    fn members_come_in_order_without_what_belongs_to_the_running_server() {
        let stream = archive(&[
            ("base/", tar::EntryType::Directory, b""),
            ("base/1259", tar::EntryType::Regular, b"abc"),
            ("postmaster.pid", tar::EntryType::Regular, b"1"),
            ("./pg_wal/archive_status", tar::EntryType::Directory, b""),
            ("postmaster.opts", tar::EntryType::Regular, b"x"),
        ]);
        let expected = [
            "base 600 None",
            "base/1259 600 Some(3)",
            "pg_wal/archive_status 600 None",
        ];
        assert_eq!(visited(&stream).unwrap(), expected);
    }

    #[test]
    fn names_that_lead_elsewhere_and_links_are_refused() {
        for path in [
            "/etc/passwd",
            "../x",
            "a/../x",
            "a//b",
            "./",
            "",
            "a/./b",
            "..",
        ] {
            let stream = archive(&[(path, tar::EntryType::Regular, b"")]);
            assert!(visited(&stream).is_err(), "{path:?} was accepted");
        }
        for kind in [
            tar::EntryType::Symlink,
            tar::EntryType::Link,
            tar::EntryType::Fifo,
        ] {
            let stream = archive(&[("pg_tblspc/16384", kind, b"")]);
            let error = visited(&stream).unwrap_err().to_string();
            assert!(error.contains("neither a file nor a directory"), "{error}");
        }
        assert!(member_path(b"a\xff").is_err());
    }

    #[test]
    fn an_archive_that_is_cut_off_is_not_read_as_a_shorter_one() {
        let stream = archive(&[("a", tar::EntryType::Regular, &[7; 2000])]);
        let outcome = visit_archive(&stream[..1000], &mut |member| {
            let mut file = member.file.unwrap();
            let copied = io::copy(&mut file.reader, &mut io::sink()).map_err(malformed)?;
            assert!(copied < file.size);
            Ok::<_, PgError>(())
        });
        assert!(outcome.is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_stream_makes_the_reader_panic(stream: Vec<u8>) {
            let _ = visited(&stream);
        }
    }
}
