//! Parts that are read and held against their signed hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::base::parallel::for_each;
use crate::model::audit::facts::{PartsSeen, Seen};
use crate::model::manifest::{Manifest, StoreRecord, StoreState};
use crate::ops::history::History;
use crate::store::{Store, StoreError, StoreErrorKind};

use super::{Kept, Request, Sampling};

/// Bytes of parts in memory at once, as long as one part is not larger.
const IN_MEMORY: u64 = 128 << 20;

/// The most parts that are read at once.
const AT_ONCE: u64 = 8;

/// Parts of one escrow in one store.
struct Task<'a> {
    store: &'a Arc<dyn Store>,
    kept: Kept<'a>,
    parts: Vec<usize>,
}

pub(super) fn read(
    request: &Request<'_>,
    retained: &[Kept<'_>],
) -> BTreeMap<StoreName, Seen<PartsSeen>> {
    if request.sampling == Sampling::None {
        return BTreeMap::new();
    }
    let tasks = choose(request, retained);
    let mut seen: BTreeMap<StoreName, PartsSeen> = BTreeMap::new();
    let part = tasks
        .iter()
        .map(|task| task.kept.1.size / task.kept.1.parts.max(1) as u64);
    let threads = (IN_MEMORY / part.max().unwrap_or(1).max(1)).clamp(1, AT_ONCE);
    for_each(
        tasks.len(),
        usize::try_from(threads).unwrap_or(1),
        |at| {
            tasks
                .get(at)
                .map(|task| (task.store.name().clone(), task.run(request)))
        },
        |_, done| {
            if let Some((store, done)) = done {
                seen.entry(store).or_default().add(done);
            }
            match request.cancel.check() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        },
    );
    let seen = seen.into_iter();
    seen.map(|(name, seen)| (name, Seen::Known(seen))).collect()
}

/// Which parts: of every copy that was recorded in a store that is there.
fn choose<'a>(request: &Request<'a>, retained: &[Kept<'a>]) -> Vec<Task<'a>> {
    let stores = request.stores.iter();
    let copies: Vec<(&Arc<dyn Store>, Kept<'_>)> = stores
        .flat_map(|store| {
            let held = retained
                .iter()
                .filter(|(_, one)| one.stored_in.contains(store.name()));
            held.map(move |kept| (store, *kept))
        })
        .collect();
    let chosen = match request.sampling {
        Sampling::None => BTreeMap::new(),
        Sampling::Full => copies
            .iter()
            .enumerate()
            .map(|(at, (_, (_, escrow)))| (at, (0..escrow.parts).collect()))
            .collect(),
        Sampling::Some(count) => sample(&copies, count, request.seed),
    };
    let tasks = chosen
        .into_iter()
        .filter_map(|(at, parts): (usize, BTreeSet<usize>)| {
            let (store, kept) = copies.get(at)?;
            Some(Task {
                store,
                kept: *kept,
                parts: parts.into_iter().collect(),
            })
        });
    tasks.collect()
}

/// So many parts of all, each as likely as any other, and one of the newest copy in each store:
/// that is what a disaster would need first.
fn sample(
    copies: &[(&Arc<dyn Store>, Kept<'_>)],
    count: u32,
    seed: u64,
) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut chosen: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut all = 0;
    let mut firsts = Vec::new();
    for (at, (store, (_, escrow))) in copies.iter().enumerate() {
        let next = copies.get(at + 1).map(|(store, _)| store.name());
        if next != Some(store.name()) {
            let part = random.random_range(0..escrow.parts.max(1));
            chosen.entry(at).or_default().insert(part);
        }
        firsts.push(all);
        all += escrow.parts;
    }
    let wanted = usize::try_from(count).unwrap_or(usize::MAX).min(all);
    for place in rand::seq::index::sample(&mut random, all, wanted) {
        let at = firsts.partition_point(|first| *first <= place) - 1;
        let first = firsts.get(at).copied().unwrap_or(0);
        chosen.entry(at).or_default().insert(place - first);
    }
    chosen
}

impl Task<'_> {
    fn run(&self, request: &Request<'_>) -> PartsSeen {
        let mut seen = PartsSeen::default();
        let manifest = match load(request.history, self.kept) {
            Ok(manifest) => manifest,
            Err(why) => {
                seen.unread.push(why);
                return seen;
            }
        };
        let key = request.history.layout().payload(manifest.sealed());
        for part in &self.parts {
            if request.cancel.check().is_err() {
                seen.unread.push("the audit was interrupted".to_owned());
                return seen;
            }
            self.read(&manifest, &key, *part, &mut seen);
        }
        seen
    }

    fn read(&self, manifest: &Manifest, key: &str, part: usize, seen: &mut PartsSeen) {
        let payload = &manifest.payload;
        let which = || {
            let (id, count) = (&manifest.escrow_id, payload.parts.len());
            format!("part {} of {count} of escrow {id}", part + 1)
        };
        let read = get(self.store.as_ref(), manifest, key, part);
        match read.map(|bytes| Some(Digest::of(&bytes)) == payload.parts.get(part).copied()) {
            Ok(true) => seen.whole += 1,
            Ok(false) => {
                let why = format!("{} is not what was signed", which());
                seen.damaged.push(why);
            }
            Err(error) => {
                let why = format!("{}: {}", which(), error_chain(&error));
                seen.unread.push(why);
            }
        }
    }
}

fn load(history: &History, (entry, _): Kept<'_>) -> Result<Manifest, String> {
    history.load(entry).map_err(|error| error_chain(&error))
}

/// Reads a part of the version that was recorded; of the current one where that cannot be asked
/// for.
fn get(
    store: &dyn Store,
    manifest: &Manifest,
    key: &str,
    part: usize,
) -> Result<Bytes, StoreError> {
    let range = manifest.payload.part_range(part);
    let own =
        |record: &&StoreRecord| record.name == *store.name() && record.state == StoreState::Stored;
    let record = manifest.stores.iter().rev().find(own);
    let version = record.and_then(|record| record.version_id.as_deref());
    if let (Some(versions), Some(id)) = (store.versions(), version) {
        match versions.get_version_range(key, id, range.clone()) {
            Err(error) if error.kind == StoreErrorKind::Unsupported => {}
            read => return read,
        }
    }
    store.get_range(key, range)
}

impl PartsSeen {
    fn add(&mut self, other: Self) {
        self.whole += other.whole;
        self.damaged.extend(other.damaged);
        self.unread.extend(other.unread);
    }
}
