//! Databasus' own backup chains, without any key: what names, dates and sidecars tell.

use jiff::Timestamp;

use crate::base::time::UtcTime;
use crate::databasus::backup_chain::chain::{Chain, Gap, Stretch};
use crate::databasus::backup_chain::cluster::Cluster;
use crate::databasus::backup_chain::facts::{Base, Segment};
use crate::databasus::backup_chain::loose::{Apart, Loose};
use crate::model::audit::facts::{BackupsSeen, ChainEnd, ClusterSeen};
use crate::ops::pitr::survey::Survey;
use crate::postgres::wal_segment::SegmentName;

/// How many objects and holes are told.
const NAMED: usize = 20;

/// What a survey of a storage says to auditors.
pub fn seen(survey: &Survey) -> BackupsSeen {
    let unread = survey
        .unread
        .iter()
        .map(|(group, _)| group.name.to_string());
    let apart = &survey.unattributed;
    let apart = apart.bases.len() + apart.segments.len() + survey.closed.len();
    let clusters = survey.clusters.iter();
    let present = clusters.filter(|one| !is_replaced(one, survey));
    BackupsSeen {
        clusters: present.map(cluster).collect(),
        unread: unread.collect(),
        closed: survey.not_looked + apart as u64,
    }
}

/// Whether its database in Databasus has gone on to another cluster, as after an upgrade to another
/// major release.
fn is_replaced(old: &Cluster, survey: &Survey) -> bool {
    let newest = |one: &Cluster| one.bases.last().map(Base::moment);
    let mut others = survey.clusters.iter();
    old.database.is_some()
        && others.any(|one| one.database == old.database && newest(one) > newest(old))
}

fn cluster(cluster: &Cluster) -> ClusterSeen {
    let chains = cluster.chains();
    let usable = || chains.iter().filter(|chain| chain.obstacle.is_none());
    let windows = || usable().flat_map(|chain| &chain.windows);
    let bases = windows().flat_map(|window| &window.bases);
    let bases = bases.filter_map(|place| cluster.bases.get(*place));
    let ids = cluster.database.iter().map(ToString::to_string);
    let reaches = windows().filter_map(|window| window.to.time);
    let timeline = newest(cluster).map(|segment| segment.name.timeline);
    let wal = cluster.log.segments().iter();
    let wal = wal.filter(|one| Some(one.name.timeline) == timeline);
    ClusterSeen {
        described: cluster.described(),
        names: cluster.labels.iter().cloned().chain(ids).collect(),
        newest_base: bases.map(|base| second(base.moment())).max(),
        newest_wal: wal.filter_map(|one| one.received.map(second)).max(),
        reaches: reaches.map(|moment| second(moment.at)).max(),
        end: end(cluster, &chains),
        gaps: gaps(&chains),
    }
}

fn second(time: Timestamp) -> UtcTime {
    UtcTime::from_unix(time.as_second())
}

/// The newest WAL: the last of the latest timeline.
fn newest(cluster: &Cluster) -> Option<&Segment> {
    let segments = cluster.log.segments().iter();
    segments.max_by_key(|one| (one.name.timeline, one.start))
}

/// Whether a window ends with the newest segment.
fn end(cluster: &Cluster, chains: &[Chain]) -> ChainEnd {
    let Some(newest) = newest(cluster).map(|segment| segment.name) else {
        return match chains.iter().any(|chain| !chain.windows.is_empty()) {
            true => ChainEnd::Reached,
            false => ChainEnd::Cut("no base backup can be used".to_owned()),
        };
    };
    let usable = chains.iter().filter(|chain| chain.obstacle.is_none());
    let mut stretches = usable.flat_map(|chain| chain.windows.iter().filter_map(|one| one.wal));
    match stretches.any(|wal| wal.last == newest) {
        true => ChainEnd::Reached,
        false => why_not(cluster, newest),
    }
}

/// A history file that is sealed, as releases seal them, tells nothing without a key.
fn why_not(cluster: &Cluster, newest: SegmentName) -> ChainEnd {
    let loose = cluster.loose();
    let stretch = loose.iter().find_map(|one| match one {
        Loose::Wal { wal, reason } if wal.last == newest => Some((*wal, *reason)),
        _ => None,
    });
    let Some((wal, reason)) = stretch else {
        return ChainEnd::Cut(format!(
            "segment {newest} follows on no base backup that can be used"
        ));
    };
    let mut histories = cluster.histories.iter();
    let is_sealed = histories.any(|one| one.timeline == newest.timeline && one.switches.is_none());
    let first = wal.first;
    match reason {
        Apart::OtherTimeline if is_sealed => ChainEnd::Unknown(format!(
            "only a key tells where timeline {} begins",
            newest.timeline
        )),
        Apart::OtherTimeline => ChainEnd::Cut(format!(
            "nothing leads into timeline {}, on which segment {newest} lies",
            newest.timeline
        )),
        Apart::BehindAGap => ChainEnd::Cut(format!(
            "segments before {first} are missing, and no base backup was made since"
        )),
        Apart::NoBase | Apart::BeforeAnyBase => {
            ChainEnd::Cut(format!("there is no base backup before segment {first}"))
        }
    }
}

/// Each hole once: chains along several timelines share theirs.
fn gaps(chains: &[Chain]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for gap in chains.iter().flat_map(|chain| &chain.gaps) {
        let words = missing(gap);
        if told.len() < NAMED && !told.contains(&words) {
            told.push(words);
        }
    }
    told
}

fn missing(gap: &Gap) -> String {
    let Stretch { first, last, count } = gap.missing;
    match count {
        1 => format!("segment {first} is missing"),
        _ => format!("{count} segments are missing, {first} to {last}"),
    }
}
