//! Releases 3.17 to 3.42: the agent's bases and segments, whose names are alike, without sidecars.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use databasus_escrow::base::time::UtcTime;
use databasus_escrow::databasus::objects::name::{BackupName, sanitise};
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::postgres::wal_segment::SegmentName;
use jiff::Timestamp;
use uuid::Uuid;

use super::How;
use super::base_backup::BaseBackup;
use super::chain::{Chain, TakenBase, TakenSegment};
use super::source::Source;

/// Backs a cluster up.
pub struct WalV1 {
    chain: Chain,
    seen: BTreeSet<SegmentName>,
}

impl WalV1 {
    /// For a database of this name in Databasus.
    pub fn of(source: &Source, name: &str) -> Self {
        Self {
            chain: Chain::of(source, name, None),
            seen: BTreeSet::new(),
        }
    }

    /// The database has another name from here on.
    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.chain.name);
    }

    /// A full backup.
    pub fn base(&mut self, source: &Source) -> TakenBase {
        self.base_as(source, How::default())
    }

    pub fn base_as(&mut self, source: &Source, how: How) -> TakenBase {
        let (id, begun) = (Uuid::from_u128(rand::random()), super::now());
        let taken = BaseBackup::take_for_agent(source, "databasus-agent");
        let object = self.name(begun, id);
        let chain = &mut self.chain;
        let (zstd, sealed) = (Compression::Zstd, how.seal());
        // 3.42 knows no parts.
        let how = How { part: None, ..how };
        chain.put(&object, &taken.tar, zstd, sealed.as_ref(), id, &how);
        let base = TakenBase {
            id,
            object,
            range: taken.range,
            completed: super::now(),
            manifest: taken.manifest,
            root: None,
        };
        chain.bases.push(base.clone());
        // Names tell whole seconds, so nothing within this one counts as behind the base.
        let rest = 1_000_000_000 - super::now().subsec_nanosecond();
        sleep(Duration::from_nanos(rest.unsigned_abs().into()));
        base
    }

    /// The segments that were finished since the last time. The agent sends those before the
    /// first base as well.
    pub fn wal(&mut self, source: &Source) {
        self.wal_as(source, How::default());
    }

    pub fn wal_as(&mut self, source: &Source, how: How) {
        for segment in source.finished_segments() {
            if self.seen.insert(segment) {
                self.segment(source, segment, how);
            }
        }
    }

    /// One segment, whatever it is.
    pub fn segment(&mut self, source: &Source, segment: SegmentName, how: How) -> TakenSegment {
        let (content, received) = source.wal_file(&segment.to_string());
        let id = Uuid::from_u128(rand::random());
        let taken = TakenSegment {
            id,
            object: self.name(received, id),
            segment,
            received,
            how,
        };
        self.chain.put_segment(&taken, &content);
        self.chain.segments.push(taken.clone());
        taken
    }

    fn name(&self, at: Timestamp, id: Uuid) -> String {
        let name = BackupName::Labelled {
            label: sanitise(&self.chain.name),
            at: UtcTime::from_unix(at.as_second()),
            id,
        };
        name.to_string()
    }

    /// What is in the storage now.
    pub fn chain(&self, source: &Source) -> Chain {
        let mut chain = self.chain.clone();
        chain.sentinels = source.sentinels();
        chain
    }
}
