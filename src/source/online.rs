//! The running server, copied over the replication protocol.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalogue;
use super::{
    Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceContent, SourceEntry,
    SourceError,
};
use crate::base::cancel::Cancel;
use crate::base::time::{Clock, UtcTime};
use crate::postgres::backup_manifest::{BackupManifest, Checksum, FileRecord};
use crate::postgres::base_backup::{self, BaseBackup, Completed, Member, WalPosition};
use crate::postgres::dump::{DumpTarget, find_pg_dump};
use crate::postgres::socket::ServerAddress;
use crate::postgres::wire::{Connection, PgError, Row};

/// The first major version whose `BASE_BACKUP` sends archive and manifest in one stream.
const OLDEST_MAJOR: u32 = 15;

/// Settings of the session that reads: it must not write, wait for ever on a lock, be filtered
/// by row security, or find functions that somebody put into the database. Timeouts that the
/// server may be configured with would cut a long backup.
const SESSION: [(&str, &str); 9] = [
    ("application_name", "databasus-escrow"),
    ("replication", "database"),
    ("default_transaction_read_only", "on"),
    ("search_path", "pg_catalog"),
    ("row_security", "off"),
    ("lock_timeout", "60s"),
    ("statement_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// All that is asked of the server before it is copied.
const EXAMINE: &str = "SELECT current_setting('server_version_num'), pg_is_in_recovery(), \
    to_regnamespace('escrow_fence') IS NOT NULL, current_setting('data_checksums'), \
    (SELECT sum(pg_database_size(oid))::bigint FROM pg_database), \
    pg_size_bytes(current_setting('wal_segment_size'))";

/// Where the running server is, and how it is read.
#[derive(Clone)]
pub struct OnlineSettings {
    /// The data directory as this host sees it.
    pub data_dir: PathBuf,
    /// Databasus' embedded server.
    pub address: ServerAddress,
    /// A role with the right to replicate and to read every table, without a password.
    pub user: String,
    /// Databasus' own database.
    pub database: String,
    /// The `pg_dump` to use, instead of one that is looked for.
    pub pg_dump: Option<PathBuf>,
    /// Where `pg_dump` is looked for: the value of `PATH`.
    pub search_path: OsString,
    /// Learns how many bytes of the cluster have arrived.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
}

/// A consistent copy of the running server, taken with `BASE_BACKUP`; nothing is ever written
/// to it, and the temporary slot that holds its log ends with the connection.
pub struct OnlineSource {
    settings: OnlineSettings,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    session: Option<Session>,
}

struct Session {
    connection: Connection,
    version: String,
    major: u32,
    data_checksums: bool,
}

impl OnlineSource {
    /// A source that is not connected yet.
    pub fn new(settings: OnlineSettings, clock: Arc<dyn Clock>, cancel: Cancel) -> Self {
        Self {
            settings,
            clock,
            cancel,
            session: None,
        }
    }

    fn connect(&self) -> Result<Connection, PgError> {
        let mut parameters = vec![
            ("user", self.settings.user.as_str()),
            ("database", self.settings.database.as_str()),
        ];
        parameters.extend(SESSION);
        Connection::connect(&self.settings.address, &parameters, &self.cancel)
    }

    fn session(&mut self) -> Result<&mut Session, SourceError> {
        self.session
            .as_mut()
            .ok_or_else(|| PgError::Protocol("there is no session".to_owned()).into())
    }

    fn copy(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        let progress = Arc::clone(&self.settings.progress);
        let snapshot_at = self.clock.now();
        let session = self.session()?;
        let identity = base_backup::identify(&mut session.connection)?;
        base_backup::reserve_wal(&mut session.connection)?;
        let mut backup = BaseBackup::start(&mut session.connection, &*progress)?;
        let start = backup.start_position();
        let mut copy = Copy::begin(sink)?;
        backup.visit(&mut |member| copy.take(member))?;
        let completed = backup.finish()?;
        copy.seal_manifest(&completed, start, identity.system_identifier)?;
        Ok(session.facts(identity.system_identifier, start, &completed, snapshot_at))
    }

    /// A signal makes readers and sinks fail in their own ways: it is the cause all the same.
    fn or_signal<T>(&self, outcome: Result<T, SourceError>) -> Result<T, SourceError> {
        match outcome {
            Err(error) => Err(self.cancel.check().err().map_or(error, SourceError::from)),
            done => done,
        }
    }
}

impl Source for OnlineSource {
    fn method(&self) -> Method {
        Method::Online
    }

    fn data_dir(&self) -> &Path {
        &self.settings.data_dir
    }

    fn begin(&mut self) -> Result<u64, SourceError> {
        let mut connection = self.connect()?;
        let rows = connection.simple_query(EXAMINE)?;
        let found = Examined::from_rows(&rows)?;
        let version = short_version(&connection);
        if found.major < OLDEST_MAJOR {
            return Err(SourceError::TooOld(version));
        }
        if found.in_recovery {
            return Err(SourceError::InRecovery);
        }
        if found.is_clone {
            return Err(SourceError::Clone);
        }
        self.session = Some(Session {
            connection,
            version,
            major: found.major,
            data_checksums: found.data_checksums,
        });
        Ok(found.estimated_size)
    }

    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError> {
        Ok(Some(catalogue::read(&mut self.session()?.connection)?))
    }

    fn metadata_session(&mut self) -> Option<&mut Connection> {
        let session = self.session.as_mut()?;
        Some(&mut session.connection)
    }

    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        let outcome = self.copy(sink);
        if outcome.is_err() {
            // A stream that broke off cannot be resumed: end the session, and the slot with it.
            self.session = None;
        }
        self.or_signal(outcome)
    }

    fn copy_logical(
        &mut self,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError> {
        let major = self.session()?.major;
        let configured = self.settings.pg_dump.as_deref();
        let search_path = &self.settings.search_path;
        let Some(tool) = find_pg_dump(configured, search_path, major) else {
            warn_without_pg_dump(configured, major);
            return Ok(false);
        };
        let target = DumpTarget {
            address: &self.settings.address,
            user: &self.settings.user,
            database: &self.settings.database,
        };
        let outcome = match tool.stream(&target, &self.cancel, consume) {
            Ok(consumed) => consumed.map_err(SourceError::from),
            Err(error) => Err(error.into()),
        };
        self.or_signal(outcome.map(|()| true))
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        self.session = None;
        Ok(())
    }
}

fn warn_without_pg_dump(configured: Option<&Path>, major: u32) {
    let place = configured.map_or("the usual places".into(), |path| path.display().to_string());
    tracing::warn!(
        "no logical copy in this escrow: no pg_dump of version {major} or later in {place}"
    );
}

impl Session {
    fn facts(
        &self,
        system_identifier: u64,
        start: WalPosition,
        completed: &Completed,
        snapshot_at: UtcTime,
    ) -> PgFacts {
        PgFacts {
            pg_version: self.version.clone(),
            system_identifier,
            timeline: start.timeline,
            start_lsn: Some(start.lsn.to_string()),
            stop_lsn: Some(completed.stop.lsn.to_string()),
            data_checksums: self.data_checksums,
            snapshot_at,
        }
    }
}

/// The copy so far: what went through the sink, for the comparison at the end.
struct Copy<'s> {
    sink: &'s mut dyn EntrySink,
    arrived: BTreeMap<String, FileRecord>,
}

impl<'s> Copy<'s> {
    fn begin(sink: &'s mut dyn EntrySink) -> Result<Self, SourceError> {
        sink.entry(SourceEntry {
            path: "pgdata".to_owned(),
            mode: 0o700,
            content: SourceContent::Directory,
        })?;
        Ok(Self {
            sink,
            arrived: BTreeMap::new(),
        })
    }

    fn take(&mut self, member: Member<'_>) -> Result<(), SourceError> {
        let path = format!("pgdata/{}", member.path);
        let (mode, file) = (member.mode, member.file);
        let size = file.as_ref().map(|file| file.size);
        let content = file.map_or(SourceContent::Directory, |file| SourceContent::File {
            size: file.size,
            reader: file.reader,
        });
        let receipt = self.sink.entry(SourceEntry {
            path,
            mode,
            content,
        })?;
        if let Some(size) = size {
            let checksum = Checksum::Sha256(receipt.sha256);
            self.arrived
                .insert(member.path, FileRecord { size, checksum });
        }
        Ok(())
    }

    /// Compares all that arrived with the server's manifest, which then becomes the last entry.
    fn seal_manifest(
        self,
        completed: &Completed,
        start: WalPosition,
        system_identifier: u64,
    ) -> Result<(), SourceError> {
        let bytes = completed.manifest.as_slice();
        let manifest = BackupManifest::parse(bytes)?;
        manifest.check_origin(system_identifier, start.lsn, completed.stop.lsn)?;
        manifest.compare(&self.arrived)?;
        self.sink.entry(SourceEntry {
            path: "pgdata/backup_manifest".to_owned(),
            mode: 0o600,
            content: SourceContent::File {
                size: bytes.len() as u64,
                reader: &mut &bytes[..],
            },
        })?;
        Ok(())
    }
}

struct Examined {
    major: u32,
    in_recovery: bool,
    is_clone: bool,
    data_checksums: bool,
    estimated_size: u64,
}

impl Examined {
    fn from_rows(rows: &[Row]) -> Result<Self, PgError> {
        let text = |column: usize| {
            let value = rows.first().and_then(|row| row.get(column)?.as_deref());
            value.ok_or_else(|| malformed_answer("the server's settings"))
        };
        let number = |column: usize| {
            let value = text(column)?.parse::<u64>();
            value.map_err(|_| malformed_answer("the server's settings"))
        };
        let (databases, segment) = (number(4)?, number(5)?);
        Ok(Self {
            major: u32::try_from(number(0)? / 10_000).unwrap_or(0),
            in_recovery: text(1)? == "t",
            is_clone: text(2)? == "t",
            data_checksums: text(3)? == "on",
            estimated_size: databases
                .saturating_add(databases / 8)
                .saturating_add(segment.saturating_mul(4)),
        })
    }
}

fn malformed_answer(about: &str) -> PgError {
    PgError::Protocol(format!("an unexpected answer about {about}"))
}

/// `17.10` of `17.10 (Debian 17.10-1.pgdg12+1)`.
fn short_version(connection: &Connection) -> String {
    let reported = connection.reported("server_version").unwrap_or_default();
    let word = reported.split_whitespace().next().unwrap_or_default();
    crate::base::text::printable(word).into_owned()
}
