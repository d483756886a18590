//! Random facts against a model so simple that it is plainly right.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// What a model needs to know.
#[derive(Clone, Debug)]
struct World {
    facts: Facts,
    /// Which segments of timelines 1 and 2 are there.
    there: BTreeSet<(u32, u64)>,
    /// Where the second timeline branched off, if that is known.
    switch: Option<Lsn>,
}

fn worlds() -> impl Strategy<Value = World> {
    let base = (
        1u64..18,
        0u64..3,
        1u32..=2,
        any::<Option<(Index, bool)>>(),
        any::<bool>(),
    );
    let bases = prop::collection::vec(base, 0..6);
    let wal = prop::collection::btree_set((1u32..=2, 1u64..20), 0..36);
    let switch = prop::option::of((2u64..18, 0u64..1 << 20));
    (bases, wal, switch).prop_map(|(bases, there, switch)| {
        let switch = switch.map(|(number, offset)| within(number, offset));
        let mut known = Facts::default();
        for (id, (number, length, timeline, parent, manifest)) in (1u128..).zip(bases) {
            let parent = parent.filter(|_| !known.bases.is_empty());
            let parent = parent.map(|(parent, is_gone)| (parent.get(&known.bases), is_gone));
            let completed = i64::try_from((number + length) * 10 + 5).unwrap();
            // Databasus begins an incremental backup once the one it stands on is complete.
            let below = parent.and_then(|(parent, _)| parent.completed);
            let below = below.map_or(completed, |below| below.as_second() + 1);
            let mut base = full(id, number, completed.max(below));
            base.stop = Some(within(number + length, 0x300));
            base.timeline = timeline;
            if let Some((parent, is_gone)) = parent {
                base.kind = child_of(parent, is_gone);
            }
            if !manifest && id % 3 == 0 {
                base.stored = stored(base.stored.name().clone(), 1, false);
            }
            known.bases.push(base);
        }
        known.segments = there.iter().flat_map(|(tl, n)| wal_one(*tl, *n)).collect();
        known.histories = switch.iter().map(|at| history(2, &[(1, *at)])).collect();
        World {
            facts: known,
            there,
            switch,
        }
    })
}

fn wal_one(timeline: u32, number: u64) -> Vec<Segment> {
    super::wal(timeline, [number])
}

fn child_of(parent: &Base, is_gone: bool) -> BaseKind {
    let gone = Uuid::from_u128(99);
    match parent.kind {
        BaseKind::Incremental { root, .. } => BaseKind::Incremental {
            root,
            parent: Some(if is_gone { gone } else { parent.id().unwrap() }),
        },
        _ if is_gone => BaseKind::Incremental {
            root: gone,
            parent: None,
        },
        _ => BaseKind::Incremental {
            root: parent.id().unwrap(),
            parent: None,
        },
    }
}

impl World {
    fn base(&self, id: Uuid) -> Option<&Base> {
        self.facts.bases.iter().find(|base| base.id() == Some(id))
    }

    fn is_usable(&self, base: &Base) -> bool {
        let has_manifest = base.stored.group.manifest.size().is_some();
        has_manifest
            && match base.kind {
                BaseKind::Incremental { root, parent } => {
                    let below = self.base(parent.unwrap_or(root));
                    below.is_some_and(|below| below.start < base.start && self.is_usable(below))
                }
                _ => true,
            }
    }

    /// The timeline of a segment on the way from one timeline to the end of another.
    fn timeline_of(&self, number: u64, from: u32, to: u32) -> u32 {
        match self.switch {
            Some(at) if (from, to) == (1, 2) && number < at.0 >> 20 => 1,
            _ => to,
        }
    }

    /// The segments behind a base, one after another as long as they are there.
    fn behind(&self, base: &Base, to: u32) -> Option<Vec<(u32, u64)>> {
        let stop = base.stop.unwrap();
        let leads = match (base.timeline, to) {
            (from, to) if from == to => true,
            (1, 2) => self.switch.is_some_and(|at| at >= stop),
            _ => false,
        };
        if !leads {
            return None;
        }
        let place = |number| (self.timeline_of(number, base.timeline, to), number);
        let carried = (stop.0 - 1) >> 20;
        let own = place(carried).0 == base.timeline;
        let first = if own && !self.there.contains(&place(carried)) {
            carried + 1
        } else {
            carried
        };
        let follow = (first..).map(place);
        Some(follow.take_while(|one| self.there.contains(one)).collect())
    }

    /// Whether anything reaches a time, tried one by one.
    fn reaches(&self, second: i64) -> bool {
        let usable = self.facts.bases.iter().filter(|base| self.is_usable(base));
        let mut before = usable.filter(|base| base.completed.unwrap() <= at(second));
        before.any(|base| {
            (1..=2).any(|to| {
                let wal = self.behind(base, to).unwrap_or_default();
                wal.last()
                    .is_some_and(|(_, last)| last * 10 >= second.unsigned_abs())
            })
        })
    }
}

fn check(plan: &Plan, world: &World, second: i64) -> Result<(), TestCaseError> {
    for base in plan.bases() {
        prop_assert!(base.completed.unwrap() <= at(second));
        prop_assert!(world.is_usable(base));
    }
    prop_assert_eq!(plan.full.kind, BaseKind::Full);
    let mut below = plan.full.id().unwrap();
    for base in &plan.incrementals {
        let BaseKind::Incremental { root, parent } = base.kind else {
            panic!("{base:?}");
        };
        prop_assert_eq!(parent.unwrap_or(root), below);
        below = base.id().unwrap();
    }
    let behind = world.behind(plan.last_base(), plan.timeline);
    prop_assert_eq!(Some(numbers(plan)), behind);
    let (_, last) = *numbers(plan).last().unwrap();
    prop_assert!(last * 10 >= second.unsigned_abs());
    prop_assert!(plan.expected <= plan.wal.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_is_dense_and_is_found_where_there_is_one(world in worlds(), second in 0i64..220) {
        let found = clusters(world.facts.clone());
        prop_assert!(found.clusters.len() <= 1);
        let Some(cluster) = found.clusters.first() else {
            prop_assert!(world.facts.bases.is_empty());
            return Ok(());
        };
        match plan(cluster, to(second), None, &[]) {
            Ok(found) => check(&found, &world, second)?,
            Err(refusal) => {
                prop_assert!(!world.reaches(second), "{}", refusal);
                let is_before = |point: super::super::unreachable::Point| {
                    point.edge.time.unwrap().at <= at(second)
                };
                prop_assert!(refusal.before.is_none_or(is_before));
                prop_assert!(!refusal.after.is_some_and(is_before));
            }
        }
    }

    #[test]
    fn windows_are_where_plans_are_found(world in worlds(), second in 0i64..220) {
        for cluster in clusters(world.facts).clusters {
            let chains = cluster.chains();
            let mut windows = chains.iter().flat_map(|chain| &chain.windows);
            let held = windows.any(|window| {
                let time = |edge: super::super::chain::Edge| edge.time.unwrap().at;
                !window.is_instant()
                    && (time(window.from)..=time(window.to)).contains(&at(second))
            });
            prop_assert_eq!(held, plan(&cluster, to(second), None, &[]).is_ok());
        }
    }

    #[test]
    fn every_segment_is_of_a_chain_or_of_none(world in worlds()) {
        for cluster in clusters(world.facts).clusters {
            let loose = cluster.loose();
            let loose: u64 = loose.iter().map(|one| match one {
                Loose::Wal { wal, .. } => wal.count,
                _ => 0,
            }).sum();
            let mut needed = BTreeSet::new();
            for chain in cluster.chains() {
                for window in &chain.windows {
                    let wal = window.wal;
                    needed.extend(wal.map(|wal| wal.last));
                }
            }
            let count = cluster.log.count() as u64;
            prop_assert!(loose + needed.len() as u64 <= count);
        }
    }

    #[test]
    fn the_order_in_which_facts_come_is_of_no_matter(
        world in worlds(), seed: u64, second in 0i64..220,
    ) {
        let mut other = world.facts.clone();
        let mixed = |n: usize| (n as u64 + 1).wrapping_mul(seed | 1).rotate_left(17);
        let mut place = 0;
        let mut next = || { place += 1; mixed(place) };
        other.bases.sort_by_cached_key(|_| next());
        other.segments.sort_by_cached_key(|_| next());
        let (one, other) = (clusters(world.facts), clusters(other));
        for (one, other) in one.clusters.iter().zip(&other.clusters) {
            prop_assert_eq!(one.chains(), other.chains());
            prop_assert_eq!(one.loose(), other.loose());
            let plans = [one, other].map(|one| plan(one, to(second), None, &[]));
            prop_assert_eq!(&plans[0], &plans[1]);
        }
    }

    #[test]
    fn no_facts_make_it_panic(
        bases in prop::collection::vec(any::<(u64, Option<u64>, u32, u8, i32)>(), 0..5),
        wal in prop::collection::vec(any::<(u64, u32, u8, bool, Option<i32>)>(), 0..12),
        switches in prop::collection::vec(any::<(u32, u64)>(), 0..4),
        target: u64,
    ) {
        let mut known = Facts::default();
        for (id, (start, stop, timeline, kind, time)) in (1u128..).zip(bases) {
            let mut base = full(id, 0, i64::from(time.unsigned_abs()));
            base.start = Lsn(start);
            base.stop = stop.map(Lsn);
            base.timeline = timeline % 3;
            match kind % 4 {
                0 => base.kind = BaseKind::WalV1,
                1 => base.kind = child_of(&full(id, 0, 0), false),
                2 => base.kind = child_of(&full(1, 0, 0), false),
                _ => {}
            }
            base.database = Some(DATABASE).filter(|_| kind & 16 == 0);
            base.system_identifier = Some(SYSTEM).filter(|_| kind & 32 == 0);
            known.bases.push(base);
        }
        for (number, timeline, kind, is_last, received) in wal {
            let mut one = segment(timeline % 3, 0, 0);
            one.start = Lsn(if is_last { u64::MAX - number % 0x40_0000 } else { number });
            if kind & 1 == 0 {
                one.start = Lsn(one.start.0 >> 20 << 20);
            }
            one.name = SegmentName::at(timeline % 3, one.start, size());
            one.database = one.database.filter(|_| kind & 2 == 0);
            one.received = received.map(|second| at(i64::from(second)));
            known.segments.push(one);
        }
        let switches: Vec<(u32, Lsn)> = switches.iter().map(|(t, at)| (t % 3, Lsn(*at))).collect();
        known.histories = vec![history(2, &switches), history(1, &switches)];
        let _ = to_be_read_whole(&known);
        for cluster in clusters(known).clusters {
            let _ = (cluster.chains(), cluster.loose());
            let time = at(i64::try_from(target % 5_000_000_000).unwrap());
            let targets = [Target::Lsn(Lsn(target)), Target::Latest, Target::Time(time)];
            for target in targets {
                if let Err(refusal) = plan(&cluster, target, None, &[]) {
                    let _ = refusal.to_string();
                }
            }
        }
    }
}
