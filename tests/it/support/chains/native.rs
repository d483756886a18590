//! Releases since 3.43: full and incremental backups, WAL and history files, each with a sidecar.

use std::collections::{BTreeMap, BTreeSet};

use databasus_escrow::base::time::UtcTime;
use databasus_escrow::databasus::objects::name::{BackupName, sanitise};
use databasus_escrow::databasus::objects::sidecar::Compression;
use databasus_escrow::postgres::wal_segment::SegmentName;
use uuid::Uuid;

use super::base_backup::BaseBackup;
use super::chain::{Chain, TakenBase, TakenSegment};
use super::source::Source;
use super::{How, format};

/// Backs a cluster up.
pub struct Native {
    database: Uuid,
    chain: Chain,
    seen: BTreeSet<SegmentName>,
}

impl Native {
    /// For a database of this name in Databasus, under an id of its own.
    pub fn of(source: &Source, name: &str) -> Self {
        let database = Uuid::from_u128(rand::random());
        Self {
            database,
            chain: Chain::of(source, name, Some(database)),
            seen: BTreeSet::new(),
        }
    }

    /// A full backup.
    pub fn full(&mut self, source: &Source) -> TakenBase {
        self.full_as(source, How::default())
    }

    pub fn full_as(&mut self, source: &Source, how: How) -> TakenBase {
        self.base(source, None, how)
    }

    /// What changed since another backup.
    pub fn incr(&mut self, source: &Source, since: &TakenBase) -> TakenBase {
        self.incr_as(source, since, How::default())
    }

    pub fn incr_as(&mut self, source: &Source, since: &TakenBase, how: How) -> TakenBase {
        self.base(source, Some(since), how)
    }

    fn base(&mut self, source: &Source, since: Option<&TakenBase>, how: How) -> TakenBase {
        let (id, begun) = (Uuid::from_u128(rand::random()), super::now());
        let kind = if since.is_some() { "INCR" } else { "FULL" };
        let name = BackupName::Labelled {
            label: format!("{}-{kind}", sanitise(&self.chain.name)),
            at: UtcTime::from_unix(begun.as_second()),
            id,
        };
        let object = name.to_string();
        let manifest = since.map(|base| base.manifest.as_slice());
        let taken = BaseBackup::take(source, &object, manifest);
        let sealed = how.seal();
        let chain = &mut self.chain;
        let (compressed, _) = chain.put(
            &object,
            &taken.tar,
            how.compression,
            sealed.as_ref(),
            id,
            &how,
        );
        // The manifest has a header of its own, which no sidecar tells.
        let (none, its_own) = (Compression::None, how.seal());
        let beside = format!("{object}.manifest");
        chain.put(&beside, &taken.manifest, none, its_own.as_ref(), id, &how);
        let facts = format::BaseFacts {
            id,
            database: self.database,
            system_identifier: chain.system_identifier,
            pg_version: chain.pg_major * 10_000,
            timeline: taken.range.timeline,
            start: taken.range.start,
            stop: taken.range.end,
            compressed,
            compression: how.compression,
            parents: since.map(parents),
            created: begun,
            completed: super::now(),
        };
        let header = sealed.as_ref().map(|(_, header)| header);
        chain.put_sidecar(&object, &format::base_sidecar(&facts, header));
        let base = TakenBase {
            id,
            object,
            range: taken.range,
            completed: facts.completed,
            manifest: taken.manifest,
            root: facts.parents.map(|(root, _)| root),
        };
        chain.bases.push(base.clone());
        base
    }

    /// The segments that were finished since the last time, as Databasus keeps them: those before
    /// the first full backup, and the one in which it begins, are not.
    pub fn wal(&mut self, source: &Source) {
        self.wal_as(source, How::default());
    }

    pub fn wal_as(&mut self, source: &Source, how: How) {
        let first = self.chain.bases.first().map(|base| base.range.start);
        let size = source.segment_size();
        for segment in source.finished_segments() {
            let kept = first.is_some_and(|first| segment.start(size).unwrap() >= first);
            if kept && self.seen.insert(segment) {
                self.segment(source, segment, how);
            }
        }
    }

    /// One segment, whatever it is.
    pub fn segment(&mut self, source: &Source, segment: SegmentName, how: How) -> TakenSegment {
        let (content, received) = source.wal_file(&segment.to_string());
        let taken = TakenSegment {
            id: Uuid::from_u128(rand::random()),
            object: BackupName::Wal {
                database: self.database,
                segment,
            }
            .to_string(),
            segment,
            received,
            how,
        };
        self.chain.put_segment(&taken, &content);
        self.chain.segments.push(taken.clone());
        taken
    }

    /// The history files of the cluster's timelines.
    pub fn histories(&mut self, source: &Source) -> BTreeMap<u32, String> {
        let timelines = source.histories();
        let stored = timelines.into_iter();
        stored
            .map(|timeline| (timeline, self.history(source, timeline, How::default())))
            .collect()
    }

    /// One timeline's history file; gives its object.
    pub fn history(&mut self, source: &Source, timeline: u32, how: How) -> String {
        let (content, _) = source.wal_file(&format!("{timeline:08X}.history"));
        let (id, database) = (Uuid::from_u128(rand::random()), self.database);
        let object = BackupName::History { database, timeline }.to_string();
        let sealed = how.seal();
        let zstd = Compression::Zstd;
        let chain = &mut self.chain;
        let (_, stored) = chain.put(&object, &content, zstd, sealed.as_ref(), id, &how);
        let header = sealed.as_ref().map(|(_, header)| header);
        let sidecar = format::history_sidecar(id, database, timeline, stored, header);
        chain.put_sidecar(&object, &sidecar);
        object
    }

    /// What is in the storage now.
    pub fn chain(&self, source: &Source) -> Chain {
        let mut chain = self.chain.clone();
        chain.sentinels = source.sentinels();
        chain
    }
}

/// The full backup and the incremental one that a child of `base` stands on.
fn parents(base: &TakenBase) -> (Uuid, Option<Uuid>) {
    match base.root {
        None => (base.id, None),
        Some(root) => (root, Some(base.id)),
    }
}
