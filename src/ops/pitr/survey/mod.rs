//! What lies in a storage, as far as chains are concerned: from a listing, sidecars and the
//! beginnings of objects to clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::error_chain::error_chain;
use crate::base::parallel;
use crate::base::text::shortened;
use crate::databasus::backup_chain::cluster::{Cluster, clusters, to_be_read_whole};
use crate::databasus::backup_chain::facts::{BaseKind, Facts, Seal, Spoilt, Stored};
use crate::databasus::objects::group::BackupGroup;
use crate::databasus::objects::name::{BackupName, Role};
use crate::databasus::objects::sidecar::{Encryption, MAX_SIDECAR_BYTES, Sidecar};
use crate::databasus::objects::wal_v1_base::WalV1Base;
use crate::ops::bucket;
use crate::ops::bucket::probe::{Prober, Subject};
use crate::ops::pitr::cache::{Cache, EntryKey};
use crate::ops::pitr::open::{OpenError, Storage};
use crate::postgres::lsn::Lsn;
use crate::store::{StoreError, StoreErrorKind};

mod judge;
mod look;

use judge::{Finding, Read, Whole};
use look::Look;

/// Objects that are looked at at once: each takes some MiB, and every key that is tried some
/// 30 ms of a processor.
const LOOKS: usize = 16;

/// What a storage holds of clusters.
#[derive(Debug, Default)]
pub struct Survey {
    /// In the order of their names.
    pub clusters: Vec<Cluster>,
    /// What may be of several clusters, or of one that nothing tells.
    pub unattributed: Facts,
    /// What is of a cluster, and nothing to build on, with the reason.
    pub unusable: Vec<(Arc<BackupGroup>, String)>,
    /// What no key opens, and nothing says what it is.
    pub closed: Vec<Arc<BackupGroup>>,
    /// What could not be read, with the reason: nothing is known of it.
    pub unread: Vec<(Arc<BackupGroup>, String)>,
    /// How many objects nobody looked into, and nothing says what they are.
    pub not_looked: u64,
    /// Backups of single databases.
    pub dumps: u64,
    /// Objects of somebody else.
    pub foreign: u64,
}

/// Whether objects are looked into, which fetches up to a MiB of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Names, sizes, sidecars, and history files.
    Sidecars,
    /// The beginning of each.
    Beginnings,
}

/// How far a survey is.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// So many objects were listed.
    Listed(u64),
    /// So many backups are to be looked at.
    Backups(u64),
    /// One was looked at.
    Looked,
    /// A base backup is read whole, for its beginning does not say whose it is.
    Whole,
}

/// Surveys a storage. What was found out earlier is taken from `cache`, and what is new goes there.
pub fn take(
    storage: Storage<'_>,
    depth: Depth,
    mut cache: Option<Cache>,
    cancel: &Cancel,
    on_step: &mut dyn FnMut(Step),
) -> Result<Survey, StoreError> {
    let store = storage.store.as_ref();
    let mut seen = |count| on_step(Step::Listed(count));
    let listed = bucket::list(store, cancel, &mut seen)?;
    let groups: Vec<Arc<BackupGroup>> = listed.backups.into_iter().map(Arc::new).collect();
    on_step(Step::Backups(groups.len() as u64));
    let looking = Looking {
        storage,
        depth,
        prober: Prober::new(storage.keys.keys()),
        cancel,
    };
    let mut gathered = Gathered {
        survey: Survey {
            foreign: listed.foreign.count,
            ..Survey::default()
        },
        ..Gathered::default()
    };
    looking.all(&groups, &mut cache, &mut gathered, on_step);
    let ended = cancel.check();
    if ended.is_ok() {
        gathered.read_whole(&looking, &mut cache, on_step);
    }
    if let Some(Err(error)) = cache.map(|cache| cache.finish(ended.is_ok())) {
        tracing::warn!("what was found out is not kept for the next time: {error}");
    }
    cancel.check().map_err(|interrupted| {
        let kind = StoreErrorKind::Interrupted;
        StoreError::new(store.name(), kind, "read", "").caused_by(interrupted)
    })?;
    Ok(gathered.finish())
}

struct Looking<'a> {
    storage: Storage<'a>,
    depth: Depth,
    prober: Prober<'a>,
    cancel: &'a Cancel,
}

impl Looking<'_> {
    fn all(
        &self,
        groups: &[Arc<BackupGroup>],
        cache: &mut Option<Cache>,
        gathered: &mut Gathered,
        on_step: &mut dyn FnMut(Step),
    ) {
        let keys: Vec<Option<EntryKey>> = match cache {
            Some(_) => groups.iter().map(|group| EntryKey::of(group)).collect(),
            None => Vec::new(),
        };
        let key = |index: usize| keys.get(index).copied().flatten();
        let earlier = cache.as_ref().map(Cache::earlier).unwrap_or_default();
        let job = |index: usize| {
            let group = groups.get(index)?;
            let earlier = key(index).and_then(|key| earlier.get(key));
            Some(self.one(group, earlier.unwrap_or_default()))
        };
        parallel::for_each(groups.len(), LOOKS, job, |index, found| {
            if let (Some(group), Some(found)) = (groups.get(index), found) {
                if let (Ok(read), Some(key)) = (&found, key(index)) {
                    keep(cache, key, read);
                }
                gathered.add(group, found);
            }
            on_step(Step::Looked);
            match self.cancel.check() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
    }

    /// Reads what is not known of a backup. Nothing is known where that fails.
    fn one(&self, group: &Arc<BackupGroup>, earlier: Read) -> Result<Read, String> {
        let mut read = earlier;
        if read.sidecar.is_none() && group.sidecar.is_some() {
            read.sidecar = Some(self.sidecar(group)?);
        }
        let sidecar = judge::sidecar_of(group, &read).ok().flatten();
        let history = match &sidecar {
            Some(Sidecar::History(history)) => Some(history.timeline),
            _ => None,
        };
        let deep = self.depth == Depth::Beginnings || history.is_some();
        if read.look.is_none() && deep && judge::is_of_interest(group, sidecar.as_ref()) {
            read.look = Some(match history {
                Some(timeline) => self.history(group, sidecar.as_ref(), timeline)?,
                None => self.beginning(group, sidecar.as_ref())?,
            });
        }
        Ok(read)
    }

    fn sidecar(&self, group: &BackupGroup) -> Result<String, String> {
        let name = group.name.object(Role::Sidecar);
        match self.storage.store.get(&name, MAX_SIDECAR_BYTES) {
            Ok(object) => Ok(String::from_utf8_lossy(&object.bytes).into_owned()),
            Err(error) if error.kind == StoreErrorKind::TooLarge => Ok(String::new()),
            Err(error) => Err(shortened(&error_chain(&error))),
        }
    }

    fn beginning(&self, group: &BackupGroup, sidecar: Option<&Sidecar>) -> Result<Look, String> {
        let subject = Subject { group, sidecar };
        match self.prober.probe(self.storage.store, subject) {
            Ok(probe) => Ok(Look::of(&probe, &group.name.to_string())),
            Err(error) => Err(shortened(&error_chain(&error))),
        }
    }

    fn history(
        &self,
        group: &Arc<BackupGroup>,
        sidecar: Option<&Sidecar>,
        timeline: u32,
    ) -> Result<Look, String> {
        let first = self.beginning(group, sidecar)?;
        let key = match &first {
            Look::Key(key, _) => Some(*key),
            Look::Plain(_) => None,
            _ => return Ok(first),
        };
        let id = sidecar.map(Sidecar::id).unwrap_or_default();
        let seal = match (key, sidecar.map(Sidecar::encryption)) {
            (None, Some(Encryption::None)) => Seal::Plain,
            _ => Seal::Encrypted { id, key },
        };
        let stored = Stored {
            group: Arc::clone(group),
            seal,
        };
        let read = look::history(self.storage, &stored, timeline);
        read.map_err(|error| shortened(&error_chain(&error)))
    }

    /// Reads all of a base of `WAL_V1`.
    fn whole(&self, stored: &Stored) -> Result<Whole, String> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let told = |error: &dyn std::error::Error| shortened(&error_chain(error));
        let opened = self.storage.content(stored, threads);
        let opened = opened.map_err(|error: OpenError| told(&error))?;
        let reader = Watched {
            inner: opened.reader,
            cancel: self.cancel,
        };
        let base = WalV1Base::read(reader).map_err(|error| told(&error))?;
        let size = base.segment_size.bytes();
        let last = base.stop.start(base.segment_size).unwrap_or(Lsn(0));
        Ok(Whole {
            system: base.system_identifier,
            stop: last.0.saturating_add(size),
            major: base.pg_major,
        })
    }
}

/// Ends early when the run is told to.
struct Watched<'a, R> {
    inner: R,
    cancel: &'a Cancel,
}

impl<R: std::io::Read> std::io::Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.cancel.check_io()?;
        self.inner.read(buffer)
    }
}

fn keep(cache: &mut Option<Cache>, key: EntryKey, read: &Read) {
    let Some(open) = cache else { return };
    if let Err(error) = open.put(key, read) {
        tracing::warn!("what was found out is not kept for the next time: {error}");
        *cache = None;
    }
}

#[derive(Default)]
struct Gathered {
    facts: Facts,
    survey: Survey,
    /// What was read of bases of `WAL_V1`, by their names: there may be more to read.
    wal_v1: BTreeMap<BackupName, Read>,
}

impl Gathered {
    fn add(&mut self, group: &Arc<BackupGroup>, read: Result<Read, String>) {
        let read = match read {
            Ok(read) => read,
            Err(words) => return self.survey.unread.push((Arc::clone(group), words)),
        };
        let spoilt = match judge::judge(group, &read) {
            Finding::Base(base, spoilt) => {
                if base.kind == BaseKind::WalV1 {
                    self.wal_v1.insert(group.name.clone(), read);
                }
                self.facts.bases.push(*base);
                spoilt
            }
            Finding::Segment(segment, spoilt) => {
                self.facts.segments.push(*segment);
                spoilt
            }
            Finding::History(history, spoilt) => {
                self.facts.histories.push(history);
                spoilt
            }
            Finding::Unusable(words) => {
                self.survey.unusable.push((Arc::clone(group), words));
                None
            }
            Finding::Closed => {
                self.survey.closed.push(Arc::clone(group));
                None
            }
            Finding::NotLooked => {
                self.survey.not_looked += 1;
                None
            }
            Finding::Dump => {
                self.survey.dumps += 1;
                None
            }
        };
        if let Some(spoilt) = spoilt {
            self.facts.spoilt.insert(group.name.clone(), spoilt);
        }
    }

    /// Reads the bases whole whose cluster nothing else tells.
    fn read_whole(
        &mut self,
        looking: &Looking<'_>,
        cache: &mut Option<Cache>,
        on_step: &mut dyn FnMut(Step),
    ) {
        for place in to_be_read_whole(&self.facts) {
            let Some(base) = self.facts.bases.get_mut(place) else {
                continue;
            };
            on_step(Step::Whole);
            match looking.whole(&base.stored) {
                Ok(whole) => {
                    let read = self.wal_v1.get_mut(base.stored.name());
                    let key = EntryKey::of(&base.stored.group);
                    if let Some((read, key)) = read.zip(key) {
                        read.whole = Some(whole);
                        keep(cache, key, read);
                    }
                    base.system_identifier = Some(whole.system);
                    base.stop = Some(Lsn(whole.stop));
                    base.pg_major = whole.major;
                }
                Err(words) => {
                    let name = base.stored.name().clone();
                    self.facts.spoilt.insert(name, Spoilt::Damaged(words));
                }
            }
        }
    }

    fn finish(mut self) -> Survey {
        self.spoil_strangers();
        let sorted = |facts: &mut Vec<(Arc<BackupGroup>, String)>| {
            facts.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        };
        sorted(&mut self.survey.unusable);
        sorted(&mut self.survey.unread);
        self.survey.closed.sort_by(|a, b| a.name.cmp(&b.name));
        let found = clusters(self.facts);
        self.survey.clusters = found.clusters;
        self.survey.unattributed = found.unattributed;
        self.survey
    }

    /// WAL under a database's id that is of none of the clusters which that database has backups
    /// of: its name says that it belongs there, and its content that it does not.
    fn spoil_strangers(&mut self) {
        let mut systems: BTreeMap<Uuid, BTreeSet<u64>> = BTreeMap::new();
        for base in &self.facts.bases {
            if let (Some(database), Some(system)) = (base.database, base.system_identifier) {
                systems.entry(database).or_default().insert(system);
            }
        }
        for segment in &mut self.facts.segments {
            let own = segment.database.and_then(|database| systems.get(&database));
            if let (Some(own), Some(system)) = (own, segment.system_identifier)
                && own.len() == 1
                && !own.contains(&system)
            {
                segment.system_identifier = None;
                let name = segment.stored.name().clone();
                let spoilt = self.facts.spoilt.entry(name);
                spoilt.or_insert(Spoilt::OtherCluster(system));
            }
        }
    }
}
