//! Exact ends of windows: the WAL says when the last transaction in it ended, where `pg_waldump`
//! of the same major is at hand. Times of arrival only bound it.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::databasus::backup_chain::cluster::Cluster;
use crate::databasus::backup_chain::facts::{Base, BaseKind, Segment};
use crate::databasus::objects::sidecar::Compression;
use crate::databasus::objects::unpack::unpack;
use crate::ops::pitr::open::Storage;
use crate::postgres::binaries::PgBinaries;
use crate::postgres::lsn::Lsn;
use crate::postgres::wal_dump;

/// How many segments are read for one end, going back until a transaction ends in one.
const SEGMENTS: u64 = 8;

/// How many ends are looked at in one cluster: the newest.
const ENDS: usize = 32;

/// Reads the ends of a cluster's windows in its WAL. What it takes of room in `temp` has no name,
/// and outlives no end of this process. What cannot be read stays approximate.
pub fn measure(
    cluster: &mut Cluster,
    storage: Storage<'_>,
    binaries: &PgBinaries,
    temp: &Path,
    cancel: &Cancel,
) {
    let chains = cluster.chains();
    let windows = || chains.iter().flat_map(|chain| &chain.windows);
    let ends: BTreeSet<_> = windows().filter_map(|one| Some(one.wal?.last)).collect();
    let bases: BTreeSet<usize> = windows()
        .filter_map(|one| one.bases.first().copied())
        .collect();
    let look = Look {
        storage,
        binaries,
        temp,
        cancel,
    };
    for end in ends.iter().rev().take(ENDS) {
        let start = end.start(cluster.log.segment_size());
        let last = start.map(|start| cluster.log.number(start));
        if let Some(at) = last.and_then(|last| look.end(cluster, end.timeline, last)) {
            cluster.evidence.ends.insert(*end, at);
        }
    }
    for base in bases.iter().rev().take(ENDS) {
        let base = cluster.bases.get(*base);
        if let Some((id, at)) = base.and_then(|base| look.beginning(cluster, base)) {
            cluster.evidence.beginnings.insert(id, at);
        }
    }
}

struct Look<'a> {
    storage: Storage<'a>,
    binaries: &'a PgBinaries,
    temp: &'a Path,
    cancel: &'a Cancel,
}

impl Look<'_> {
    /// When the last transaction up to the end of a segment ended.
    fn end(&self, cluster: &Cluster, timeline: u32, last: u64) -> Option<Timestamp> {
        let first = cluster.log.run_at(timeline, last)?.first;
        let mut count = 1;
        while count <= SEGMENTS {
            let from = last.saturating_sub(count - 1).max(first);
            let found = self.latest(cluster, timeline, from..=last, None);
            if found.is_some() || from == first {
                return found;
            }
            count *= 2;
        }
        None
    }

    /// When the last transaction before a base was consistent ended, where the WAL that says so
    /// is stored beside it.
    fn beginning(&self, cluster: &Cluster, base: &Base) -> Option<(Uuid, Timestamp)> {
        let stop = base.stop.filter(|_| base.kind != BaseKind::WalV1)?;
        let log = &cluster.log;
        let within = log.number(base.start)..=log.number_before(stop);
        let run = log.run_at(base.timeline, *within.start())?;
        let is_stored = run.end > *within.end() && within.end() - within.start() < SEGMENTS;
        let numbers = is_stored.then_some(within)?;
        let at = self.latest(cluster, base.timeline, numbers, Some(stop))?;
        Some((base.id()?, at))
    }

    fn latest(
        &self,
        cluster: &Cluster,
        timeline: u32,
        numbers: RangeInclusive<u64>,
        before: Option<Lsn>,
    ) -> Option<Timestamp> {
        let names = [*numbers.start(), *numbers.end()];
        let [first, last] = names.map(|number| cluster.log.name(timeline, number));
        let found = self.in_folder(|dir| {
            let mut open = Vec::new();
            for number in numbers {
                let copies = cluster.log.copies(timeline, number);
                let segment = copies.first().ok_or(io::ErrorKind::NotFound)?;
                let file = self.unpack(segment)?;
                let opened = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
                symlink(opened, dir.join(segment.name.to_string()))?;
                open.push(file);
            }
            let found =
                wal_dump::latest_end(self.binaries, dir, (first, last), before, self.cancel);
            found.map_err(io::Error::other)
        });
        found.unwrap_or_else(|error| {
            tracing::info!("when transactions up to {last} ended is not known: {error}");
            None
        })
    }

    fn in_folder<T>(&self, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        self.cancel.check_io()?;
        let dir = tempfile::Builder::new()
            .prefix("databasus-escrow-wal-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(self.temp)?;
        work(dir.path())
    }

    /// A segment in a file without a name: it is gone with this process, however that ends.
    fn unpack(&self, segment: &Segment) -> io::Result<File> {
        let opened = self.storage.content(&segment.stored, 1);
        let opened = opened.map_err(io::Error::other)?;
        let size = segment.size.bytes();
        let inflated = unpack(opened.reader, Compression::Zstd)?;
        let mut bounded = io::Read::take(inflated, size + 1);
        let mut file = tempfile::tempfile_in(self.temp)?;
        match io::copy(&mut bounded, &mut file)? == size {
            true => Ok(file),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
