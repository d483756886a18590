//! Whether Databasus' own backup chains reach the present, as far as names and dates tell.

use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{BackupsSeen, ChainEnd, ClusterSeen, Facts, Seen};
use crate::model::audit::policy::BackupsDemand;
use crate::model::audit::span::Span;

use super::or_pass;

pub(in crate::model::audit) fn judge(demands: &[BackupsDemand], facts: &Facts) -> Vec<Check> {
    let each = demands.iter().map(|demand| judge_demand(demand, facts));
    each.flatten().collect()
}

fn judge_demand(demand: &BackupsDemand, facts: &Facts) -> Vec<Check> {
    let storage = &demand.storage;
    let seen = match facts.backups.get(storage) {
        Some(Seen::Known(seen)) => seen,
        Some(Seen::Unknown(why)) => return vec![not_seen(storage, why)],
        None => {
            let why = format!("name it: --backups {storage}=s3://…");
            return vec![not_seen(storage, &why)];
        }
    };
    let wanted = seen.clusters.iter().filter(|one| demand.is_of(one));
    let mut checks: Vec<Check> = wanted
        .flat_map(|cluster| judge_cluster(demand, cluster, facts.now))
        .collect();
    if checks.is_empty() {
        checks.push(nobody(demand, seen));
    }
    checks.extend(left_open(demand, seen));
    checks
}

impl BackupsDemand {
    fn is_of(&self, cluster: &ClusterSeen) -> bool {
        let wanted = self.cluster.as_ref();
        wanted.is_none_or(|wanted| cluster.names.contains(wanted))
    }
}

fn not_seen(storage: &StoreName, why: &str) -> Check {
    Check::not_seen(Rule::Backups, &format!("storage {storage}"), why).in_store(storage)
}

/// Backups of old releases show whose they are to a key alone.
fn nobody(demand: &BackupsDemand, seen: &BackupsSeen) -> Check {
    let storage = &demand.storage;
    let what = match &demand.cluster {
        Some(cluster) => format!("no backup of a cluster called {cluster} can be seen"),
        None => "no backup of any cluster can be seen".to_owned(),
    };
    let message = format!("storage {storage}: {what}");
    let check = match seen.closed + seen.unread.len() as u64 {
        0 => Check::fail(Rule::Backups, "cluster-missing", message),
        _ => Check::unknown(Rule::Backups, "not-seen", message),
    };
    check.in_store(storage)
}

/// What a key alone tells may be of any cluster: where all are demanded, that leaves the demand open.
fn left_open(demand: &BackupsDemand, seen: &BackupsSeen) -> Vec<Check> {
    let storage = &demand.storage;
    let closed = (seen.closed > 0).then(|| {
        let message = format!(
            "storage {storage}: {} objects have no sidecar, and only a key tells what they are",
            seen.closed
        );
        match demand.cluster {
            Some(_) => Check::warn(Rule::Backups, "backups-closed", message),
            None => Check::unknown(Rule::Backups, "backups-closed", message),
        }
    });
    let unread = seen.unread.first().map(|name| {
        let count = seen.unread.len();
        let what = format!("storage {storage}: {count} objects, {name} the first");
        Check::not_seen(Rule::Backups, &what, "they could not be read")
    });
    let open = closed.into_iter().chain(unread);
    open.map(|check| check.in_store(storage)).collect()
}

fn judge_cluster(demand: &BackupsDemand, cluster: &ClusterSeen, now: UtcTime) -> Vec<Check> {
    let who = &cluster.described;
    let wal = demand.max_wal_age;
    let wal = wal.and_then(|most| {
        let what = format!("{who}: its newest WAL segment");
        too_old("wal-stalled", &what, cluster.newest_wal, most, now)
    });
    let base = demand.max_base_age;
    let base = base.and_then(|most| {
        let what = format!("{who}: its newest base backup");
        too_old("base-backup-old", &what, cluster.newest_base, most, now)
    });
    let found = [end(cluster), gaps(demand, cluster), wal, base];
    let found = or_pass(found.into_iter().flatten().collect(), || {
        let reaches = match cluster.reaches {
            Some(time) => format!("a chain reaches {time} ({})", time.relative_to(now)),
            None => "a chain reaches the end of its WAL".to_owned(),
        };
        Check::pass(Rule::Backups, format!("{who}: {reaches}"))
    });
    let found = found.into_iter();
    found.map(|check| check.in_store(&demand.storage)).collect()
}

fn end(cluster: &ClusterSeen) -> Option<Check> {
    let who = &cluster.described;
    let reaches = match cluster.reaches {
        Some(time) => format!("nothing after {time} can be reached"),
        None => "no point in time can be reached".to_owned(),
    };
    match &cluster.end {
        ChainEnd::Reached => None,
        ChainEnd::Cut(why) => {
            let message = format!("{who}: {reaches}: {why}");
            Some(Check::fail(Rule::Backups, "backup-chain-cut", message))
        }
        ChainEnd::Unknown(why) => {
            let message = format!("{who}: whether its newest WAL can be replayed: {why}");
            Some(Check::unknown(Rule::Backups, "not-seen", message))
        }
    }
}

fn gaps(demand: &BackupsDemand, cluster: &ClusterSeen) -> Option<Check> {
    let first = cluster.gaps.first()?;
    let others = match cluster.gaps.len() - 1 {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let who = &cluster.described;
    let message = format!("{who}: points in time are out of reach: {first}{others}");
    Some(match demand.allow_gaps {
        true => Check::warn(Rule::Backups, "backup-chain-gap", message),
        false => Check::fail(Rule::Backups, "backup-chain-gap", message),
    })
}

fn too_old(
    id: &'static str,
    what: &str,
    newest: Option<UtcTime>,
    most: Span,
    now: UtcTime,
) -> Option<Check> {
    let message = match newest {
        None => format!("{what} is not there; at most {most} old is demanded"),
        Some(time) if time < most.before(now) => {
            let age = time.relative_to(now);
            format!("{what} was stored at {time} ({age}); at most {most} is demanded")
        }
        Some(_) => return None,
    };
    Some(Check::fail(Rule::Backups, id, message))
}
