use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const DAY: i64 = 86_400;

/// Nightly escrows at 02:00, the last one on 2026-11-22, a Sunday.
fn nights(count: u64) -> Vec<Candidate> {
    let last: UtcTime = "2026-11-22T02:00:00Z".parse().unwrap();
    let night = |seq: u64| Candidate {
        seq,
        at: last.plus((seq as i64 - count as i64) * DAY),
        secret_key_id: "key".to_owned(),
        is_proven: true,
        is_replicated: true,
    };
    (1..=count).map(night).collect()
}

fn kept(candidates: &[Candidate], rules: &Rules) -> Vec<u64> {
    let plan = plan(candidates, rules);
    let kept = candidates.iter().zip(plan);
    kept.filter(|(_, reasons)| !reasons.is_empty())
        .map(|(one, _)| one.seq)
        .collect()
}

fn only(daily: u32) -> Rules {
    Rules {
        daily,
        weekly: 0,
        monthly: 0,
        floor: 0,
    }
}

#[test]
fn a_year_of_nights_leaves_days_weeks_and_months() {
    let nights = nights(400);
    let dates: Vec<String> = plan(&nights, &Rules::default())
        .into_iter()
        .zip(&nights)
        .filter(|(reasons, _)| !reasons.is_empty())
        .map(|(_, one)| one.at.to_string()[..10].to_owned())
        .collect();
    let months = [
        "2025-12-31",
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-05-31",
        "2026-06-30",
        "2026-07-31",
        "2026-08-31",
        "2026-09-30",
        "2026-10-25",
        "2026-10-31",
        "2026-11-01",
        "2026-11-08",
        "2026-11-15",
        "2026-11-16",
        "2026-11-17",
        "2026-11-18",
        "2026-11-19",
        "2026-11-20",
        "2026-11-21",
        "2026-11-22",
    ];
    assert_eq!(dates, months);
}

#[test]
fn several_in_a_day_have_one_slot() {
    let mut many = nights(3);
    many.iter_mut()
        .for_each(|one| one.at = "2026-11-22T02:00:00Z".parse().unwrap());
    assert_eq!(kept(&many, &only(7)), [3]);
}

#[test]
fn a_host_that_was_off_for_long_loses_nothing() {
    let mut two = nights(9);
    two.iter_mut()
        .take(6)
        .for_each(|one| one.at = one.at.plus(-900 * DAY));
    assert_eq!(kept(&two, &only(9)).len(), 9);
}

#[test]
fn a_slot_prefers_what_was_proven() {
    let mut two = nights(3);
    two[1].at = two[2].at.plus(-3600);
    two[2].is_proven = false;
    // The newest is kept for itself.
    assert_eq!(kept(&two, &only(1)), [2, 3]);
}

#[test]
fn the_last_holder_of_a_key_stays() {
    let mut nights = nights(30);
    nights[..10]
        .iter_mut()
        .for_each(|one| one.secret_key_id = "old key".to_owned());
    assert_eq!(kept(&nights, &only(1)), [10, 30]);
}

#[test]
fn what_a_store_lacks_stays() {
    let mut nights = nights(30);
    nights[4].is_replicated = false;
    assert_eq!(kept(&nights, &only(1)), [5, 30]);
}

#[test]
fn what_a_store_lacks_stands_in_for_no_other() {
    let mut nights = nights(30);
    nights[29].is_replicated = false;
    nights[8].secret_key_id = "old key".to_owned();
    nights[9].secret_key_id = "old key".to_owned();
    nights[9].is_replicated = false;
    assert_eq!(kept(&nights, &only(1)), [9, 10, 29, 30]);
}

#[test]
fn never_fewer_than_the_floor_are_left() {
    let floor = Rules {
        floor: 4,
        ..only(0)
    };
    assert_eq!(kept(&nights(30), &floor), [27, 28, 29, 30]);
    assert_eq!(kept(&nights(2), &floor), [1, 2]);
}

#[test]
fn nothing_is_planned_where_there_is_nothing() {
    assert!(plan(&[], &Rules::default()).is_empty());
}

/// The rules once more, as directly as they can be said.
mod naive {
    use super::*;

    fn grains(one: &Candidate) -> [String; 3] {
        slots(one.at).map(|slot| slot.to_string())
    }

    /// Those that can stand in for others.
    fn sound(all: &[Candidate]) -> impl Iterator<Item = &Candidate> {
        all.iter().filter(|one| one.is_replicated)
    }

    fn best(one: &Candidate, all: &[Candidate], grain: usize) -> bool {
        let worth = |x: &Candidate| (x.is_proven, x.at, x.seq);
        let rivals = sound(all).filter(|x| grains(x)[grain] == grains(one)[grain]);
        rivals.map(worth).max() == Some(worth(one))
    }

    fn newer_slots(one: &Candidate, all: &[Candidate], grain: usize) -> usize {
        let own = &grains(one)[grain];
        let newer = sound(all).map(|x| grains(x)[grain].clone());
        newer
            .filter(|slot| slot > own)
            .collect::<BTreeSet<_>>()
            .len()
    }

    pub(super) fn keeps(all: &[Candidate], rules: &Rules) -> Vec<bool> {
        let counts = [rules.daily, rules.weekly, rules.monthly];
        let mut kept: Vec<bool> = all
            .iter()
            .map(|one| {
                let slot = (0..3).any(|grain| {
                    newer_slots(one, all, grain) < counts[grain] as usize && best(one, all, grain)
                });
                let newest = all.iter().all(|x| x.seq <= one.seq);
                let same_key = |x: &&Candidate| x.secret_key_id == one.secret_key_id;
                let last = sound(all).filter(same_key).all(|x| x.seq <= one.seq);
                newest || !one.is_replicated || slot || last
            })
            .collect();
        let held = |kept: &[bool]| {
            let held = all.iter().zip(kept);
            held.filter(|(one, kept)| **kept && one.is_replicated)
                .count()
        };
        while held(&kept) < (rules.floor as usize).min(sound(all).count()) {
            let lost = (0..all.len()).filter(|place| !kept[*place]);
            let newest = lost.max_by_key(|place| all[*place].seq).unwrap();
            kept[newest] = true;
        }
        kept
    }
}

fn random_history(rng: &mut StdRng) -> (Vec<Candidate>, Rules) {
    let count = rng.random_range(0..10);
    let step = [1, 6, 24, 24, 24 * 5, 24 * 20][rng.random_range(0..6)] * 3600;
    let mut at = UtcTime::from_unix(1_780_000_000 + rng.random_range(0..400) * DAY);
    let mut seq = 0;
    let mut candidates: Vec<Candidate> = (0..count)
        .map(|_| {
            at = at.plus(rng.random_range(0..=2 * step));
            seq += rng.random_range(1..3);
            Candidate {
                seq,
                at,
                secret_key_id: ["a", "b"][usize::from(rng.random_bool(0.2))].to_owned(),
                is_proven: rng.random_bool(0.7),
                is_replicated: rng.random_bool(0.9),
            }
        })
        .collect();
    if rng.random_bool(0.3) {
        candidates.reverse();
    }
    let rules = Rules {
        daily: rng.random_range(0..5),
        weekly: rng.random_range(0..4),
        monthly: rng.random_range(0..4),
        floor: rng.random_range(0..5),
    };
    (candidates, rules)
}

#[test]
fn a_million_random_histories_are_planned_as_the_rules_say() {
    let workers = 4;
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(worker);
                for _ in 0..1_000_000 / workers {
                    let (candidates, rules) = random_history(&mut rng);
                    let planned = plan(&candidates, &rules);
                    let keeps: Vec<bool> = planned.iter().map(|one| !one.is_empty()).collect();
                    let wanted = naive::keeps(&candidates, &rules);
                    assert_eq!(keeps, wanted, "{candidates:?} {rules:?}");
                    // What was kept is kept again.
                    let mut left = candidates.clone();
                    let mut keep = keeps.iter();
                    left.retain(|_| *keep.next().unwrap());
                    let again = plan(&left, &rules);
                    assert!(
                        again.iter().all(|one| !one.is_empty()),
                        "{left:?} {rules:?}"
                    );
                }
            });
        }
    });
}
