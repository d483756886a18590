//! What a survey tells people and scripts. Names of fields are for good; what is added later
//! does not change what is there.

use serde::Serialize;
use uuid::Uuid;

use super::survey::Survey;
use crate::databasus::backup_chain::chain::{Chain, Edge, Gap, Stretch, Window};
use crate::databasus::backup_chain::cluster::Cluster;
use crate::databasus::backup_chain::facts::{Base, BaseKind, Seal, Segment, Stored};
use crate::databasus::backup_chain::loose::{Apart, Loose};
use crate::databasus::objects::group::BackupGroup;
use crate::databasus::objects::name::sanitise;
use crate::ops::recover::keys::{KeyRing, KeySource};

/// The version of the document.
pub const FORMAT: u32 = 1;

/// All that a storage holds of clusters.
#[derive(Debug, Serialize)]
pub struct Listing<'k> {
    /// [`FORMAT`].
    pub format: u32,
    /// Where it is.
    pub storage: String,
    /// The keys that were tried.
    pub keys: &'k [KeySource],
    /// Whether objects were looked into.
    pub probed: bool,
    /// In the order of their names.
    pub clusters: Vec<ListedCluster>,
    /// Objects whose cluster nothing tells.
    pub unattributed: Vec<String>,
    /// Objects of clusters that nothing can be built on.
    pub unusable: Vec<Told>,
    /// Objects that no key opens, and that nothing else says anything of.
    pub closed: Vec<String>,
    /// Objects that could not be read: what they are is unknown.
    pub unread: Vec<Told>,
    /// How many objects nobody looked into that may be of a cluster.
    pub not_looked_into: u64,
    /// How many backups of single databases there are.
    pub dumps: u64,
    /// How many objects are somebody else's.
    pub foreign_objects: u64,
}

/// An object, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// What.
    pub why: String,
}

/// A cluster.
#[derive(Debug, Serialize)]
pub struct ListedCluster {
    /// All that its database was called, as in names of objects.
    pub names: Vec<String>,
    /// In Databasus; `WAL_V1` tells none.
    pub database_id: Option<Uuid>,
    /// In decimal digits: too long for many a reader's numbers.
    pub system_identifier: Option<String>,
    /// The major release.
    pub pg_major: Option<u32>,
    /// Bytes of a WAL segment, where there is one.
    pub segment_size: Option<u64>,
    /// In the order of time.
    pub chains: Vec<ListedChain>,
    /// WAL segments, whether a chain needs them or not.
    pub segments: usize,
    /// History files.
    pub histories: Vec<ListedHistory>,
    /// Segments that are stored more than once.
    pub duplicates: Vec<Duplicate>,
    /// Objects of no chain.
    pub apart: Vec<ListedApart>,
    /// Objects that are there and of no use.
    pub unusable: Vec<Told>,
}

/// A chain along one timeline.
#[derive(Debug, Serialize)]
pub struct ListedChain {
    /// The full backup.
    pub full: ListedBase,
    /// The incremental ones, in the order of time.
    pub incrementals: Vec<ListedBase>,
    /// The timeline that it follows to its end.
    pub timeline: u32,
    /// The timelines on the way.
    pub timelines: Vec<u32>,
    /// What it reaches.
    pub windows: Vec<ListedWindow>,
    /// What ends a window early.
    pub gaps: Vec<ListedGap>,
    /// WAL segments in its windows.
    pub segments: u64,
    /// Their stored bytes.
    pub wal_bytes: u64,
}

/// A base backup.
#[derive(Debug, Serialize)]
pub struct ListedBase {
    /// Its object.
    pub name: String,
    /// The id of its row.
    pub id: Option<Uuid>,
    /// What kind.
    pub kind: &'static str,
    /// When it was begun.
    pub begun: String,
    /// When it was stored; `WAL_V1` does not tell.
    pub completed: Option<String>,
    /// The timeline it was begun on.
    pub timeline: u32,
    /// Where its replay begins.
    pub start_lsn: String,
    /// Where it is consistent, where that is known.
    pub stop_lsn: Option<String>,
    /// Stored bytes, without its manifest.
    pub stored_size: Option<u64>,
    /// What it stands on.
    pub parent_id: Option<Uuid>,
    /// The key that opens it.
    pub opened_by: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// What a chain reaches without a hole.
#[derive(Debug, Serialize)]
pub struct ListedWindow {
    /// The first point.
    pub from: ListedEdge,
    /// The last; where it is exact, replay to a time reaches what is before it.
    pub to: ListedEdge,
    /// Whether it reaches nothing but the moments of backups.
    pub backups_only: bool,
    /// The ids of its base backups.
    pub bases: Vec<Uuid>,
    /// Its WAL.
    pub wal: Option<ListedStretch>,
}

/// An end of a window.
#[derive(Debug, Serialize)]
pub struct ListedEdge {
    /// In UTC.
    pub time: Option<String>,
    /// Whether the WAL itself tells it, and not the time of an upload.
    pub exact: bool,
    /// In the log.
    pub lsn: String,
}

/// Segments in a row.
#[derive(Debug, Serialize)]
pub struct ListedStretch {
    /// The first.
    pub first: String,
    /// The last.
    pub last: String,
    /// How many.
    pub count: u64,
}

/// Missing segments.
#[derive(Debug, Serialize)]
pub struct ListedGap {
    /// Which.
    #[serde(flatten)]
    pub missing: ListedStretch,
    /// What is there of it and of no use.
    pub unusable: Vec<Told>,
    /// Whether the base backup may bring them along.
    pub maybe_in_base: bool,
    /// In a sentence.
    pub words: String,
}

/// A history file.
#[derive(Debug, Serialize)]
pub struct ListedHistory {
    /// Its object.
    pub name: String,
    /// The timeline that it leads into.
    pub timeline: u32,
    /// Whether it could be read.
    pub read: bool,
    /// Where the timeline before was left.
    pub left_at: Option<String>,
}

/// A segment that is stored more than once.
#[derive(Debug, Serialize)]
pub struct Duplicate {
    /// Which.
    pub segment: String,
    /// Its objects, the first to arrive first.
    pub objects: Vec<String>,
}

/// What belongs to no chain.
#[derive(Debug, Serialize)]
pub struct ListedApart {
    /// `wal`, `segment`, `base`, `history`.
    pub kind: &'static str,
    /// Its objects; of WAL the first and the last.
    pub objects: Vec<String>,
    /// WAL alone.
    pub wal: Option<ListedStretch>,
    /// Why.
    pub why: String,
}

impl<'k> Listing<'k> {
    /// Of everything, or of what one database is called or has as its id.
    pub fn of(
        survey: &Survey,
        database: Option<&str>,
        storage: String,
        probed: bool,
        keys: &'k KeyRing,
    ) -> Self {
        let is_meant = |cluster: &&Cluster| database.is_none_or(|name| cluster.is_called(name));
        let clusters: Vec<&Cluster> = survey.clusters.iter().filter(is_meant).collect();
        let ids: Vec<Uuid> = clusters.iter().filter_map(|one| one.database).collect();
        let concerns = |group: &BackupGroup| {
            database.is_none_or(|database| is_of(group, database) || is_among(group, &ids))
        };
        let told = |all: &[(std::sync::Arc<BackupGroup>, String)]| {
            let all = all.iter().filter(|(group, _)| concerns(group));
            all.map(|(group, why)| told(&group.name, why)).collect()
        };
        let closed = survey.closed.iter().filter(|group| concerns(group));
        let rest = &survey.unattributed;
        let nowhere = rest.bases.iter().map(|base| &base.stored);
        let nowhere = nowhere.chain(rest.segments.iter().map(|segment| &segment.stored));
        let nowhere = nowhere.chain(rest.histories.iter().map(|history| &history.stored));
        let nowhere = nowhere.filter(|stored| concerns(&stored.group));
        Self {
            format: FORMAT,
            storage,
            keys: keys.sources(),
            probed,
            clusters: clusters
                .iter()
                .map(|one| ListedCluster::of(one, keys))
                .collect(),
            unattributed: nowhere.map(|stored| stored.name().to_string()).collect(),
            unusable: told(&survey.unusable),
            closed: closed.map(|group| group.name.to_string()).collect(),
            unread: told(&survey.unread),
            not_looked_into: survey.not_looked,
            dumps: survey.dumps,
            foreign_objects: survey.foreign,
        }
    }
}

fn is_of(group: &BackupGroup, database: &str) -> bool {
    let label = group.name.label();
    let bare = group.name.label_without_kind().map(|(label, _)| label);
    let mut labels = label.into_iter().chain(bare);
    labels.any(|label| label == database || label == sanitise(database))
}

fn is_among(group: &BackupGroup, ids: &[Uuid]) -> bool {
    group.name.database().is_some_and(|id| ids.contains(&id))
}

fn told(name: &impl ToString, why: &impl ToString) -> Told {
    Told {
        name: name.to_string(),
        why: why.to_string(),
    }
}

impl ListedCluster {
    fn of(cluster: &Cluster, keys: &KeyRing) -> Self {
        let chains = cluster.chains();
        let unusable = cluster
            .spoilt
            .bases
            .iter()
            .map(|(name, why)| told(name, why));
        let segments = cluster.spoilt.segments.values().flatten();
        let segments = segments.map(|(name, why)| told(name, why));
        Self {
            names: cluster.labels.iter().cloned().collect(),
            database_id: cluster.database,
            system_identifier: cluster.system_identifier.map(|id| id.to_string()),
            pg_major: cluster.pg_major,
            segment_size: (cluster.log.count() > 0).then(|| cluster.log.segment_size().bytes()),
            chains: chains
                .iter()
                .filter_map(|chain| ListedChain::of(chain, cluster, keys))
                .collect(),
            segments: cluster.log.count(),
            histories: histories(cluster),
            duplicates: cluster.duplicates().map(duplicate).collect(),
            apart: cluster
                .loose()
                .iter()
                .map(|loose| apart(loose, cluster))
                .collect(),
            unusable: unusable.chain(segments).collect(),
        }
    }
}

fn histories(cluster: &Cluster) -> Vec<ListedHistory> {
    let files = cluster.histories.iter();
    let listed = files.map(|file| {
        let switches = file.switches.as_deref();
        let last = switches.and_then(<[_]>::last);
        ListedHistory {
            name: file.stored.name().to_string(),
            timeline: file.timeline,
            read: switches.is_some(),
            left_at: last.map(|switch| switch.at.to_string()),
        }
    });
    listed.collect()
}

fn duplicate(copies: &[Segment]) -> Duplicate {
    let name = copies.first().map(|segment| segment.name.to_string());
    let objects = copies
        .iter()
        .map(|segment| segment.stored.name().to_string());
    Duplicate {
        segment: name.unwrap_or_default(),
        objects: objects.collect(),
    }
}

fn apart(loose: &Loose, cluster: &Cluster) -> ListedApart {
    let one = |kind, stored: Option<&Stored>, why: String| ListedApart {
        kind,
        objects: stored.iter().map(|one| one.name().to_string()).collect(),
        wal: None,
        why,
    };
    match loose {
        Loose::Wal { wal, reason } => {
            let object = |name: crate::postgres::wal_segment::SegmentName| {
                let start = name.start(cluster.log.segment_size())?;
                let copies = cluster.log.copies(name.timeline, cluster.log.number(start));
                Some(copies.first()?.stored.name().to_string())
            };
            let mut objects: Vec<String> = [wal.first, wal.last]
                .into_iter()
                .filter_map(object)
                .collect();
            objects.dedup();
            ListedApart {
                kind: "wal",
                objects,
                wal: Some(ListedStretch::of(wal)),
                why: words(*reason).to_owned(),
            }
        }
        Loose::OddSegment(place) => {
            let segment = cluster.log.odd().get(*place);
            let why = "a segment of another size than the cluster's others";
            one("segment", segment.map(|one| &one.stored), why.to_owned())
        }
        Loose::Base { base, obstacle } => {
            let base = cluster.bases.get(*base);
            one("base", base.map(|one| &one.stored), obstacle.to_string())
        }
        Loose::History(place) => {
            let file = cluster.histories.get(*place);
            let why = match file.is_some_and(|file| file.switches.is_none()) {
                true => "it could not be read",
                false => "no chain enters its timeline",
            };
            one("history", file.map(|one| &one.stored), why.to_owned())
        }
    }
}

fn words(reason: Apart) -> &'static str {
    match reason {
        Apart::NoBase => "there is no base backup of this cluster",
        Apart::BeforeAnyBase => "there is no base backup before it",
        Apart::OtherTimeline => {
            "no base backup is of its timeline, and no history file leads into it"
        }
        Apart::BehindAGap => "WAL before it is missing, and no base backup begins behind the gap",
    }
}

impl ListedChain {
    fn of(chain: &Chain, cluster: &Cluster, keys: &KeyRing) -> Option<Self> {
        let base = |place: usize, problem| {
            let base = cluster.bases.get(place)?;
            Some(ListedBase::of(base, problem, keys))
        };
        let text = |obstacle: &Option<_>| {
            let obstacle: Option<&crate::databasus::backup_chain::Obstacle> = obstacle.as_ref();
            obstacle.map(ToString::to_string)
        };
        let members = chain.incrementals.iter();
        Some(Self {
            full: base(chain.full, text(&chain.obstacle))?,
            incrementals: members
                .filter_map(|member| base(member.base, text(&member.obstacle)))
                .collect(),
            timeline: chain.timeline,
            timelines: chain.timelines.clone(),
            windows: chain
                .windows
                .iter()
                .map(|window| ListedWindow::of(window, cluster))
                .collect(),
            gaps: chain.gaps.iter().map(ListedGap::of).collect(),
            segments: chain.segments,
            wal_bytes: chain.wal_bytes,
        })
    }
}

impl ListedBase {
    fn of(base: &Base, problem: Option<String>, keys: &KeyRing) -> Self {
        let (kind, parent_id) = match base.kind {
            BaseKind::Full => ("full", None),
            BaseKind::Incremental { root, parent } => ("incremental", Some(parent.unwrap_or(root))),
            BaseKind::WalV1 => ("wal-v1", None),
        };
        let key = match base.stored.seal {
            Seal::Encrypted { key: Some(key), .. } => keys.get(key),
            _ => None,
        };
        Self {
            name: base.stored.name().to_string(),
            id: base.id(),
            kind,
            begun: base.begun.to_string(),
            completed: base.completed.map(|at| at.to_string()),
            timeline: base.timeline,
            start_lsn: base.start.to_string(),
            stop_lsn: base.stop.map(|stop| stop.to_string()),
            stored_size: base.stored.group.content.size(),
            parent_id,
            opened_by: key.map(|(_, source)| source.source.clone()),
            encrypted: base.stored.seal != Seal::Plain,
            problem,
        }
    }
}

impl ListedWindow {
    fn of(window: &Window, cluster: &Cluster) -> Self {
        let bases = window.bases.iter();
        Self {
            from: ListedEdge::of(&window.from),
            to: ListedEdge::of(&window.to),
            backups_only: window.is_instant(),
            bases: bases
                .filter_map(|place| cluster.bases.get(*place)?.id())
                .collect(),
            wal: window.wal.as_ref().map(ListedStretch::of),
        }
    }
}

impl ListedEdge {
    fn of(edge: &Edge) -> Self {
        Self {
            time: edge.time.map(|time| time.at.to_string()),
            exact: edge.time.is_some_and(|time| time.exact),
            lsn: edge.lsn.to_string(),
        }
    }
}

impl ListedStretch {
    fn of(wal: &Stretch) -> Self {
        Self {
            first: wal.first.to_string(),
            last: wal.last.to_string(),
            count: wal.count,
        }
    }
}

impl ListedGap {
    fn of(gap: &Gap) -> Self {
        let unusable = gap.spoilt.iter().map(|(name, why)| told(name, why));
        Self {
            missing: ListedStretch::of(&gap.missing),
            unusable: unusable.collect(),
            maybe_in_base: gap.is_maybe_in_base,
            words: gap.to_string(),
        }
    }
}
