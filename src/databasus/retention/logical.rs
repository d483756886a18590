//! Logical retention, `WAL_V1` included (DATABASUS.md §5.1; `cleaner.go` of 3.7, 3.42 and 3.49).

use super::gfs::Gfs;
use super::{DAY, GRACE, Loss, Micros, Period};

/// A row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backup {
    /// Its time.
    pub created_at: Micros,
    /// How it ended.
    pub status: Status,
    /// Its size as recorded.
    pub size_mb: f64,
    /// What it is.
    pub kind: Kind,
}

/// How a backup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can be restored.
    Completed,
    /// It is being made.
    InProgress,
    /// It failed or was cancelled.
    Ended,
}

/// What a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A dump.
    Dump,
    /// A base backup of `WAL_V1`; the newest is never deleted, others take their WAL with them.
    WalBase,
    /// A segment of `WAL_V1`; never deleted but with its base.
    WalSegment,
}

/// The policy of a database.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// What is older than this goes, whatever it is, and no last one is kept.
    TimePeriod(Period),
    /// The newest so many are kept; none or fewer: all.
    Count(i64),
    /// By calendar slots.
    Gfs(Gfs),
    /// As before 3.15: by age without grace, then the oldest until the rest is small enough.
    Before315 {
        /// The age.
        period: Period,
        /// The size in MiB; none or less: no limit.
        max_total_mb: f64,
    },
}

/// For each of these rows whether the next tick deletes it.
pub fn deleted(policy: &Policy, backups: &[Backup], now: Micros) -> Vec<bool> {
    let mut order: Vec<usize> = (0..backups.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(backups[*index].created_at));
    let mut chosen = match policy {
        Policy::TimePeriod(period) => too_old(*period, GRACE, backups, now),
        Policy::Count(count) => beyond(*count, backups, &order, now),
        Policy::Gfs(gfs) => outside(gfs, backups, &order, now),
        Policy::Before315 {
            period,
            max_total_mb,
        } => return before_315(*period, *max_total_mb, backups, &order, now),
    };
    protect_chain(&mut chosen, backups);
    chosen
}

/// What a database would lose.
pub fn loss(policy: &Policy, backups: &[Backup], now: Micros) -> Loss {
    let gone = deleted(policy, backups, now);
    let mut loss = Loss::default();
    let mut newest: Option<(Micros, bool)> = None;
    for (backup, gone) in backups.iter().zip(gone) {
        match (backup.status, backup.kind) {
            (Status::Completed, Kind::WalSegment) => {
                loss.segments += 1;
                loss.deleted_segments += usize::from(gone);
            }
            (Status::Completed, _) => {
                loss.backups += 1;
                loss.deleted += usize::from(gone);
                if newest.is_none_or(|(time, _)| backup.created_at > time) {
                    newest = Some((backup.created_at, gone));
                }
            }
            _ => {}
        }
    }
    loss.newest = newest.is_some_and(|(_, gone)| gone);
    loss
}

fn is_recent(backup: &Backup, grace: Micros, now: Micros) -> bool {
    now.saturating_sub(backup.created_at) < grace
}

/// Rows of any status.
fn too_old(period: Period, grace: Micros, backups: &[Backup], now: Micros) -> Vec<bool> {
    let Period::Days(days) = period else {
        return vec![false; backups.len()];
    };
    let before = now.saturating_sub(days.saturating_mul(DAY));
    let rows = backups.iter();
    rows.map(|row| row.created_at < before && !is_recent(row, grace, now))
        .collect()
}

/// Completed ones that count, by their place among all rows, newest first.
fn counted<'a>(
    backups: &'a [Backup],
    order: &'a [usize],
) -> impl Iterator<Item = (usize, &'a Backup)> {
    let rows = order.iter().map(|index| (*index, &backups[*index]));
    rows.filter(|(_, row)| row.status == Status::Completed && row.kind != Kind::WalSegment)
}

fn beyond(count: i64, backups: &[Backup], order: &[usize], now: Micros) -> Vec<bool> {
    let mut gone = vec![false; backups.len()];
    let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else {
        return gone;
    };
    for (index, row) in counted(backups, order).skip(count) {
        gone[index] = !is_recent(row, GRACE, now);
    }
    gone
}

fn outside(gfs: &Gfs, backups: &[Backup], order: &[usize], now: Micros) -> Vec<bool> {
    let mut gone = vec![false; backups.len()];
    if gfs.is_empty() {
        return gone;
    }
    let rows: Vec<(usize, &Backup)> = counted(backups, order).collect();
    let times: Vec<Micros> = rows.iter().map(|(_, row)| row.created_at).collect();
    for ((index, row), kept) in rows.iter().zip(gfs.keeps(&times)) {
        gone[*index] = !kept && !is_recent(row, GRACE, now);
    }
    gone
}

/// A segment never goes by itself, the newest base never, another base with its segments: those
/// from its own time up to the next base.
fn protect_chain(chosen: &mut [bool], backups: &[Backup]) {
    let is = |row: &Backup, kind| row.kind == kind && row.status == Status::Completed;
    let bases = backups.iter().filter(|row| is(row, Kind::WalBase));
    let mut bases: Vec<Micros> = bases.map(|row| row.created_at).collect();
    bases.sort_unstable();
    let mut spans = Vec::new();
    for (row, chosen) in backups.iter().zip(chosen.iter_mut()) {
        match row.kind {
            Kind::Dump => {}
            Kind::WalSegment => *chosen = false,
            Kind::WalBase => {
                *chosen &= bases.last() != Some(&row.created_at);
                let next = bases.iter().find(|base| **base > row.created_at);
                if *chosen {
                    spans.push((row.created_at, next.copied().unwrap_or(Micros::MAX)));
                }
            }
        }
    }
    for (row, chosen) in backups.iter().zip(chosen.iter_mut()) {
        let within = |span: &(Micros, Micros)| (span.0..span.1).contains(&row.created_at);
        *chosen |= is(row, Kind::WalSegment) && spans.iter().any(within);
    }
}

fn before_315(
    period: Period,
    max_total_mb: f64,
    backups: &[Backup],
    order: &[usize],
    now: Micros,
) -> Vec<bool> {
    let mut gone = too_old(period, 0, backups, now);
    if max_total_mb <= 0.0 {
        return gone;
    }
    let sized = |index: &usize| backups[*index].status != Status::InProgress;
    let mut left: Vec<usize> = order.iter().copied().filter(sized).collect();
    left.retain(|index| !gone[*index]);
    let mut total: f64 = left.iter().map(|index| backups[*index].size_mb).sum();
    while total > max_total_mb
        && let Some(oldest) = left.pop()
    {
        gone[oldest] = true;
        total -= backups[oldest].size_mb;
    }
    gone
}

#[cfg(test)]
mod tests;
