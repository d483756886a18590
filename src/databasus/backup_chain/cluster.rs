//! Which backups are of the same cluster, under whatever names it went.
//!
//! A cluster is told by its system identifier. Backups since 3.43 name the database of Databasus
//! too: two of those on one server stay two, for each has WAL of its own. `WAL_V1` names neither,
//! and its content tells: a database that was renamed is one, and two servers that one name was
//! given to are two.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::facts::{Base, BaseKind, Facts, History, Spoilt};
use super::log::Log;
use crate::databasus::objects::name::BackupName;
use crate::postgres::wal_segment::SegmentName;

/// All clusters of a storage.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    /// In the order of their names.
    pub clusters: Vec<Cluster>,
    /// What may be of several: nobody looked into it.
    pub unattributed: Facts,
}

/// All that belongs to one cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// None where there is nothing but what was not looked into.
    pub system_identifier: Option<u64>,
    /// `databases.id`; `WAL_V1` names none.
    pub database: Option<Uuid>,
    /// All that its database was called, sanitised as in names of objects.
    pub labels: BTreeSet<String>,
    /// The major release, where it is known.
    pub pg_major: Option<u32>,
    /// In the order of time.
    pub bases: Vec<Base>,
    /// Its WAL, without what is of no use.
    pub log: Log,
    /// By timeline.
    pub histories: Vec<History>,
    /// What is there and of no use.
    pub spoilt: SpoiltObjects,
    /// What the WAL itself says of ends and beginnings.
    pub evidence: Evidence,
}

/// Objects that are there and of no use.
#[derive(Clone, Debug, Default)]
pub struct SpoiltObjects {
    /// Base backups.
    pub bases: BTreeMap<BackupName, Spoilt>,
    /// Segments by timeline and number.
    pub segments: BTreeMap<(u32, u64), Vec<(BackupName, Spoilt)>>,
}

/// Times of commits, read in the WAL: they make ends of windows exact.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The latest commit up to the end of a segment. Replay to a time stops before the first
    /// commit behind it: it reaches every time before this one.
    pub ends: BTreeMap<SegmentName, Timestamp>,
    /// The latest commit before a base backup was consistent, by its id.
    pub beginnings: BTreeMap<Uuid, Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    database: Option<Uuid>,
    system: Option<u64>,
    /// Where nothing else is known.
    label: Option<String>,
}

/// Which system identifiers there are under a database's id, or under a label of `WAL_V1`.
#[derive(Default)]
struct Systems {
    databases: BTreeMap<Uuid, BTreeSet<u64>>,
    labels: BTreeMap<String, BTreeSet<u64>>,
}

impl Systems {
    fn of(facts: &Facts) -> Self {
        let mut systems = Self::default();
        for base in &facts.bases {
            systems.add(base.database, Some(&base.label), base.system_identifier);
        }
        for segment in &facts.segments {
            let label = segment.label.as_deref();
            systems.add(segment.database, label, segment.system_identifier);
        }
        systems
    }

    fn add(&mut self, database: Option<Uuid>, label: Option<&str>, system: Option<u64>) {
        let Some(system) = system else { return };
        match (database, label) {
            (Some(database), _) => {
                self.databases.entry(database).or_default().insert(system);
            }
            (None, Some(label)) if !self.labels.contains_key(label) => {
                let only = BTreeSet::from([system]);
                self.labels.insert(label.to_owned(), only);
            }
            (None, Some(label)) => {
                self.labels
                    .entry(label.to_owned())
                    .or_default()
                    .insert(system);
            }
            (None, None) => {}
        }
    }

    /// Where something belongs; none where several clusters may be meant.
    fn key(&self, database: Option<Uuid>, label: Option<&str>, told: Option<u64>) -> Option<Key> {
        let candidates = match (database, label) {
            (Some(database), _) => self.databases.get(&database),
            (None, label) => label.and_then(|label| self.labels.get(label)),
        };
        let mut candidates = candidates.into_iter().flatten();
        let system = match (told, candidates.next(), candidates.next()) {
            (Some(told), ..) => Some(told),
            (None, _, Some(_)) => return None,
            (None, only, None) => only.copied(),
        };
        let unknown = system.is_none() && database.is_none();
        let label = label.filter(|_| unknown).map(str::to_owned);
        Some(Key {
            database,
            system,
            label,
        })
    }
}

/// The bases of `WAL_V1` whose cluster only they themselves tell, by their places: under their
/// label lies WAL of several clusters, or none, and so another may be meant.
pub fn to_be_read_whole(facts: &Facts) -> Vec<usize> {
    let systems = Systems::of(facts);
    let any_wal = facts
        .segments
        .iter()
        .any(|segment| segment.database.is_none());
    let of_label = |label: &str| {
        let all = facts.bases.iter();
        all.filter(|base| base.kind == BaseKind::WalV1 && base.label == label)
            .count()
    };
    let is_open = |base: &Base| {
        let untold = base.kind == BaseKind::WalV1 && base.system_identifier.is_none();
        untold
            && match systems.labels.get(&base.label).map_or(0, BTreeSet::len) {
                0 => any_wal || of_label(&base.label) > 1,
                1 => false,
                _ => true,
            }
    };
    let bases = facts.bases.iter().enumerate();
    bases
        .filter(|(_, base)| is_open(base))
        .map(|(place, _)| place)
        .collect()
}

/// Puts what is known in order, cluster by cluster.
pub fn clusters(facts: Facts) -> Clusters {
    let systems = Systems::of(&facts);
    let mut found: BTreeMap<Key, Facts> = BTreeMap::new();
    let mut unattributed = Facts::default();
    for base in facts.bases {
        let key = systems.key(base.database, Some(&base.label), base.system_identifier);
        let facts = key.map(|key| found.entry(key).or_default());
        facts.unwrap_or(&mut unattributed).bases.push(base);
    }
    for segment in facts.segments {
        let label = segment.label.as_deref();
        let key = systems.key(segment.database, label, segment.system_identifier);
        let facts = key.map(|key| found.entry(key).or_default());
        facts.unwrap_or(&mut unattributed).segments.push(segment);
    }
    for history in facts.histories {
        give_history(history, &mut found, &mut unattributed);
    }
    let spoilt = facts.spoilt;
    let clusters = found.into_iter();
    let clusters = clusters.map(|(key, facts)| Cluster::new(&key, facts, &spoilt));
    let mut clusters: Vec<Cluster> = clusters.collect();
    clusters.sort_by(|a, b| a.order().cmp(&b.order()));
    Clusters {
        clusters,
        unattributed,
    }
}

/// A history file names the database alone: it goes to the clusters of that id which have the
/// timeline, or where none has, to all of them. Whether it fits is seen by its positions.
fn give_history(history: History, found: &mut BTreeMap<Key, Facts>, nowhere: &mut Facts) {
    let timeline = history.timeline;
    let of_it = |key: &Key| key.database == Some(history.database);
    let has = |facts: &Facts| {
        let mut segments = facts.segments.iter();
        let mut bases = facts.bases.iter();
        segments.any(|segment| segment.name.timeline == timeline)
            || bases.any(|base| base.timeline == timeline)
    };
    let mut mine: Vec<&mut Facts> = found
        .iter_mut()
        .filter(|(key, _)| of_it(key))
        .map(|(_, facts)| facts)
        .collect();
    if mine.is_empty() {
        nowhere.histories.push(history);
        return;
    }
    let some = mine.iter().any(|facts| has(facts));
    for facts in &mut mine {
        if has(facts) || !some {
            facts.histories.push(history.clone());
        }
    }
}

impl Cluster {
    fn new(key: &Key, facts: Facts, all: &BTreeMap<BackupName, Spoilt>) -> Self {
        let Facts {
            mut bases,
            segments,
            mut histories,
            ..
        } = facts;
        bases.sort_by(|a, b| (a.moment(), a.stored.name()).cmp(&(b.moment(), b.stored.name())));
        histories.sort_by(|a, b| (a.timeline, a.stored.name()).cmp(&(b.timeline, b.stored.name())));
        let labels = bases.iter().map(|base| base.label.clone());
        let of_wal = segments.iter().filter_map(|segment| segment.label.clone());
        let labels = labels.chain(of_wal).collect();
        let (bad, good): (Vec<_>, Vec<_>) = segments
            .into_iter()
            .partition(|segment| all.contains_key(segment.stored.name()));
        let log = Log::new(good);
        let mut spoilt = SpoiltObjects::default();
        for segment in bad {
            let place = (segment.name.timeline, log.number(segment.start));
            let of_place = spoilt.segments.entry(place).or_default();
            let known = all.get_key_value(segment.stored.name());
            of_place.extend(known.map(|(name, why)| (name.clone(), why.clone())));
        }
        let names = bases.iter().map(|base| base.stored.name());
        let bad = names.filter_map(|name| all.get_key_value(name));
        spoilt.bases = bad.map(|(name, why)| (name.clone(), why.clone())).collect();
        let of_base = bases.iter().rev().find_map(|base| base.pg_major);
        let of_wal = || log.segments().iter().rev().find_map(|one| one.pg_major);
        Self {
            system_identifier: key.system,
            database: key.database,
            labels,
            pg_major: of_base.or_else(of_wal),
            bases,
            log,
            histories,
            spoilt,
            evidence: Evidence::default(),
        }
    }

    fn order(&self) -> (&BTreeSet<String>, Option<Uuid>, Option<u64>) {
        (&self.labels, self.database, self.system_identifier)
    }

    /// The same cluster without some of its objects, each by its name or by the id in its name.
    pub fn without(&self, left_out: &[String]) -> Self {
        if left_out.is_empty() {
            return self.clone();
        }
        let left_out: BTreeSet<&str> = left_out.iter().map(String::as_str).collect();
        let stays = |name: &BackupName| {
            let id = name.id().map(|id| id.to_string());
            let by_id = id.is_some_and(|id| left_out.contains(id.as_str()));
            !by_id && !left_out.contains(name.to_string().as_str())
        };
        let mut rest = self.clone();
        rest.bases.retain(|base| stays(base.stored.name()));
        rest.histories
            .retain(|history| stays(history.stored.name()));
        let segments = self.log.segments().iter().chain(self.log.odd());
        let segments = segments.filter(|segment| stays(segment.stored.name()));
        rest.log = Log::new(segments.cloned().collect());
        rest
    }
}

impl Base {
    /// When it was there, as far as that is told: when it was stored, or else begun.
    pub fn moment(&self) -> Timestamp {
        self.completed.unwrap_or(self.begun)
    }
}
