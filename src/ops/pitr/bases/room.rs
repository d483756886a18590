//! How much room on disk a rewind takes.

use std::collections::BTreeMap;

use crate::databasus::backup_chain::facts::Base;
use crate::databasus::backup_chain::plan::Plan;
use crate::postgres::backup_manifest::{BackupManifest, WalRange};
use crate::postgres::wal_segment::SegmentSize;

use super::content_size;

/// The block of the file systems in use: a file takes whole ones.
const BLOCK: u64 = 4096;

/// What a file takes beside its content: an inode, and its name in a directory.
const PER_FILE: u64 = 512;

/// What a server keeps of the WAL that it replays, in bytes: it recycles down to `max_wal_size`,
/// of which the default is taken.
const KEPT_BY_REPLAY: u64 = 1 << 30;

/// Segments that lie in the spool ahead of the replay.
const SPOOLED: u64 = 8;

/// How a file that holds only what changed is called (PostgreSQL's `basebackup_incremental.c`).
const INCREMENTAL: &str = "INCREMENTAL.";

/// Whether WAL goes by or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// A server replays it and throws it away.
    Here,
    /// All of it stays in `pg_wal` for a server that somebody starts later.
    Later,
}

/// How much room on disk a rewind takes at most at any moment, in bytes, as far as that can be
/// known before: what replay makes the tables grow by, cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskNeed {
    /// The directories of the base backups.
    pub bases: u64,
    /// The cluster that is made of them while they are still there; nothing where there is but
    /// the full one.
    pub combined: u64,
    /// WAL that waits for its replay, or stays.
    pub wal: u64,
    /// Whether `bases` is no more than a lower bound: a base of `WAL_V1` tells no more than its
    /// packed size.
    pub is_lower_bound: bool,
}

impl DiskNeed {
    /// All together.
    pub fn total(&self) -> u64 {
        self.bases
            .saturating_add(self.combined)
            .saturating_add(self.wal)
    }
}

/// What is known after some of the bases.
#[derive(Default)]
pub(super) struct Need {
    bases: u64,
    is_lower_bound: bool,
    incrementals: u64,
    /// Upper bounds of the files that all of them together make.
    combined: BTreeMap<String, u64>,
}

impl Need {
    /// Takes the next base, with the size of its manifest and what it says.
    pub(super) fn add(
        &mut self,
        plan: &Plan,
        base: &Base,
        manifest: Option<(u64, &BackupManifest)>,
    ) {
        let Some((size, manifest)) = manifest else {
            self.bases = self.bases.saturating_add(content_size(base));
            self.is_lower_bound = true;
            return;
        };
        let files = manifest.files.values().map(|file| on_disk(file.size));
        let wal = own_wal(&manifest.wal_ranges, plan);
        let all = files.chain([on_disk(size), wal]);
        self.bases = all.fold(self.bases, u64::saturating_add);
        self.incrementals += u64::from(!std::ptr::eq(base, &plan.full));
        self.combine(manifest, wal);
    }

    /// A file made of a whole one and of changes is at most as large as both together; what the
    /// later backup lacks is gone.
    fn combine(&mut self, manifest: &BackupManifest, wal: u64) {
        let before = std::mem::take(&mut self.combined);
        let files = manifest.files.iter().map(|(path, file)| {
            let whole = whole_name(path);
            let grown = match &whole {
                Some(whole) => before.get(whole).copied().unwrap_or(0),
                None => 0,
            };
            let path = whole.unwrap_or_else(|| path.clone());
            (path, grown.saturating_add(file.size))
        });
        self.combined = files.chain([("pg_wal".to_owned(), wal)]).collect();
    }

    pub(super) fn total(&self, plan: &Plan, replayed: Replayed) -> DiskNeed {
        let combined = self.combined.values().map(|size| on_disk(*size));
        let combined = match self.incrementals {
            0 => 0,
            _ => combined.fold(0, u64::saturating_add),
        };
        DiskNeed {
            bases: self.bases,
            combined,
            wal: replayed_wal(plan, replayed),
            is_lower_bound: self.is_lower_bound,
        }
    }
}

fn on_disk(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK)
        .and_then(|blocks| blocks.checked_add(PER_FILE))
        .unwrap_or(u64::MAX)
}

/// `base/5/1259` of `base/5/INCREMENTAL.1259`.
fn whole_name(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name = name.strip_prefix(INCREMENTAL)?;
    Some(match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    })
}

/// The segments that a backup carries itself.
fn own_wal(ranges: &[WalRange], plan: &Plan) -> u64 {
    let size = plan.segment_size.unwrap_or(SegmentSize::DEFAULT).bytes();
    let of = |range: &WalRange| {
        let last = range.end.0.saturating_sub(1) / size;
        let count = last.saturating_sub(range.start.0 / size).saturating_add(1);
        count.saturating_mul(size)
    };
    ranges.iter().map(of).fold(0, u64::saturating_add)
}

fn replayed_wal(plan: &Plan, replayed: Replayed) -> u64 {
    let size = plan.segment_size.unwrap_or(SegmentSize::DEFAULT).bytes();
    let segments = |count: usize| (count as u64).saturating_mul(size);
    match replayed {
        Replayed::Here => segments(plan.expected).min(KEPT_BY_REPLAY + SPOOLED * size),
        Replayed::Later => segments(plan.wal.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_incremental_belongs_to_a_whole_file() {
        for (path, whole) in [
            ("base/5/INCREMENTAL.1259", Some("base/5/1259")),
            ("INCREMENTAL.x", Some("x")),
            ("base/5/1259", None),
            ("INCREMENTAL.d/x", None),
        ] {
            assert_eq!(whole_name(path).as_deref(), whole, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_file_takes_whole_blocks(size: u64) {
            prop_assert!(on_disk(size) >= size);
            prop_assert!(on_disk(size) == u64::MAX || on_disk(size) - size <= BLOCK + PER_FILE);
        }
    }
}
