//! A cluster that Databasus backs up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use databasus_escrow::postgres::control_file::ControlFile;
use databasus_escrow::postgres::lsn::Lsn;
use databasus_escrow::postgres::wal_segment::{SegmentName, SegmentSize};
use jiff::Timestamp;

use crate::support::needed;
use crate::support::postgres::TestPg;

/// A row of the table `sentinel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentinel {
    pub id: u32,
    /// After its commit, and before that of the next one: at this time it is the newest.
    pub newest_at: Timestamp,
}

/// A running cluster with the database `shop` and its table `sentinel`.
pub struct Source {
    server: TestPg,
    segment_size: SegmentSize,
    system_identifier: u64,
    sentinels: Mutex<Vec<Sentinel>>,
}

/// WAL stays where it is until a chain has it.
const SETTINGS: &[&str] = &[
    "wal_level=replica",
    "summarize_wal=on",
    "wal_keep_size=8GB",
    "max_wal_size=4GB",
    "autovacuum=off",
    // As clusters have it whose applications prepare transactions.
    "max_prepared_transactions=5",
];

/// The time of the server, as JSON and RFC 3339 have it.
const NOW: &str =
    "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

impl Source {
    /// A cluster of PostgreSQL 17 with segments of 1 MiB.
    pub fn start() -> Option<Self> {
        Some(Self::run(&needed("ESCROW_TEST_PG_BIN")?, 1, &[]))
    }

    /// The same with segments of this many MiB, and more settings.
    pub fn start_with(segment_mib: u32, settings: &[&str]) -> Option<Self> {
        let bin = needed("ESCROW_TEST_PG_BIN")?;
        Some(Self::run(&bin, segment_mib, settings))
    }

    /// The same with segments as PostgreSQL makes them: of 16 MiB.
    pub fn start_with_usual_segments() -> Option<Self> {
        Self::start_with(16, &[])
    }

    /// A cluster of PostgreSQL 18, where there is one.
    pub fn start_18() -> Option<Self> {
        Some(Self::run(&needed("ESCROW_TEST_PG18_BIN")?, 1, &[]))
    }

    fn run(bin: &Path, segment_mib: u32, settings: &[&str]) -> Self {
        let segsize = format!("--wal-segsize={segment_mib}");
        let settings: Vec<&str> = SETTINGS.iter().chain(settings).copied().collect();
        let server = TestPg::cluster(bin, &settings, &[&segsize]);
        let control = ControlFile::of(&server.pgdata()).unwrap();
        server.psql_in("postgres", "CREATE DATABASE shop");
        let source = Self {
            segment_size: SegmentSize::new(control.wal_segment_size).unwrap(),
            system_identifier: control.system_identifier,
            server,
            sentinels: Mutex::default(),
        };
        source.psql("CREATE TABLE sentinel (id serial PRIMARY KEY, at timestamptz NOT NULL)");
        source
    }

    /// The server itself.
    pub fn server(&self) -> &TestPg {
        &self.server
    }

    pub fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    pub fn system_identifier(&self) -> u64 {
        self.system_identifier
    }

    /// The server's major release.
    pub fn major(&self) -> u32 {
        let version: u32 = self.psql("SHOW server_version_num").parse().unwrap();
        version / 10_000
    }

    /// Runs SQL in the database `shop`.
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql_in("shop", sql)
    }

    /// Commits one more row.
    pub fn sentinel(&self) -> Sentinel {
        let sql = "INSERT INTO sentinel (at) VALUES (clock_timestamp()) RETURNING id";
        let id = self.psql(sql).parse().unwrap();
        let newest_at = self.now();
        let sentinel = Sentinel { id, newest_at };
        self.sentinels.lock().unwrap().push(sentinel);
        sentinel
    }

    /// All rows so far.
    pub fn sentinels(&self) -> Vec<Sentinel> {
        self.sentinels.lock().unwrap().clone()
    }

    /// What the server's clock says.
    pub fn now(&self) -> Timestamp {
        self.psql(&format!("SELECT {NOW}")).parse().unwrap()
    }

    /// Ends the running segment, and gives its name.
    pub fn switch_wal(&self) -> SegmentName {
        let name = SegmentName::at(self.timeline(), self.insert_position(), self.segment_size);
        // An empty segment is not switched away from.
        self.psql("SELECT pg_logical_emit_message(false, 'test', 'x')");
        self.psql("SELECT pg_switch_wal()");
        name
    }

    /// Finishes this many segments, with a committed row of the table `filler` in each.
    pub fn many_segments(&self, count: u32) {
        self.psql("CREATE TABLE IF NOT EXISTS filler (id int)");
        self.psql(&format!(
            "DO $$ BEGIN FOR i IN 1..{count} LOOP
               INSERT INTO filler VALUES (i); COMMIT; PERFORM pg_switch_wal();
             END LOOP; END $$"
        ));
    }

    /// Writes about this many MiB that hardly compress into the table `load`.
    pub fn load(&self, mib: u32) {
        self.psql("CREATE TABLE IF NOT EXISTS load (id int, noise bytea)");
        self.psql("ALTER TABLE load ALTER noise SET STORAGE EXTERNAL");
        // gen_random_uuid is the only noise without an extension: 64 of them are 1 KiB.
        self.psql(&format!(
            "INSERT INTO load SELECT i, (SELECT string_agg(uuid_send(gen_random_uuid()), NULL)
               FROM generate_series(1, 64) WHERE i = i) FROM generate_series(1, {}) AS i",
            mib * 1024
        ));
    }

    /// Makes a tablespace with a table in it.
    pub fn tablespace(&self, name: &str) {
        let place = self.server.scratch_dir().join(name);
        fs::create_dir(&place).unwrap();
        self.server.give_to_server(&place);
        let place = place.display();
        self.psql(&format!("CREATE TABLESPACE {name} LOCATION '{place}'"));
        self.psql(&format!(
            "CREATE TABLE in_{name} (id int) TABLESPACE {name}"
        ));
    }

    /// Leaves the timeline for a new one, as a standby that is promoted does.
    pub fn promote(&mut self) {
        self.server.stop_cleanly();
        self.start_promoted();
    }

    /// Another cluster that went on from here on a timeline of its own, while this one stays on
    /// its old one.
    pub fn promoted_copy(&mut self) -> Self {
        self.server.stop_cleanly();
        let mut copy = Self {
            server: self.server.copy(),
            segment_size: self.segment_size,
            system_identifier: self.system_identifier,
            sentinels: Mutex::new(self.sentinels()),
        };
        self.server.start_again();
        copy.start_promoted();
        copy
    }

    fn start_promoted(&mut self) {
        fs::write(self.server.pgdata().join("standby.signal"), "").unwrap();
        self.server
            .give_to_server(&self.server.pgdata().join("standby.signal"));
        self.server.start_again();
        assert_eq!(self.psql("SELECT pg_promote()"), "t");
    }

    /// Of the last checkpoint, which a promotion makes as well.
    pub fn timeline(&self) -> u32 {
        let sql = "SELECT timeline_id FROM pg_control_checkpoint()";
        self.psql(sql).parse().unwrap()
    }

    fn insert_position(&self) -> Lsn {
        let sql = "SELECT pg_current_wal_insert_lsn()";
        self.psql(sql).parse().unwrap()
    }

    /// The segments that were filled to their end, by timeline and place. The one in which a
    /// timeline was left never is.
    pub fn finished_segments(&self) -> Vec<SegmentName> {
        let mut ends = self.timeline_ends();
        ends.insert(self.timeline(), self.insert_position());
        let finished = |name: &SegmentName| {
            let end = ends.get(&name.timeline);
            end.is_some_and(|end| *name < SegmentName::at(name.timeline, *end, self.segment_size))
        };
        let names = self.wal_files().filter_map(|name| name.parse().ok());
        let mut names: Vec<SegmentName> = names.filter(finished).collect();
        names.sort();
        names
    }

    /// Where each timeline before the present one was left.
    fn timeline_ends(&self) -> BTreeMap<u32, Lsn> {
        let files = self.histories().into_iter();
        let texts = files.map(|timeline| self.wal_file(&format!("{timeline:08X}.history")).0);
        let texts: Vec<String> = texts.map(|text| String::from_utf8(text).unwrap()).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        lines
            .filter_map(|line| {
                let mut words = line.split('\t');
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            })
            .collect()
    }

    /// The timelines whose history files are there.
    pub fn histories(&self) -> Vec<u32> {
        let number = |name: String| u32::from_str_radix(name.strip_suffix(".history")?, 16).ok();
        self.wal_files().filter_map(number).collect()
    }

    fn wal_files(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(self.wal_dir()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
    }

    fn wal_dir(&self) -> PathBuf {
        self.server.pgdata().join("pg_wal")
    }

    /// A segment's or history file's content, and when it was last written to.
    pub fn wal_file(&self, name: &str) -> (Vec<u8>, Timestamp) {
        let path = self.wal_dir().join(name);
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        (fs::read(path).unwrap(), written.try_into().unwrap())
    }
}
