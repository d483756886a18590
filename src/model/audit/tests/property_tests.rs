//! To see less never makes anything look right.

use proptest::prelude::*;

use super::*;

/// Each way in which something that was seen can be missing.
const REMOVALS: &[fn(&mut Facts)] = &[
    |f| f.chain = Seen::unknown("gone"),
    |f| f.reached = Seen::unknown("gone"),
    |f| f.weakened = Seen::unknown("gone"),
    |f| f.custody = Seen::unknown("gone"),
    |f| f.header = Seen::unknown("gone"),
    |f| f.custody_objects = Seen::unknown("gone"),
    |f| f.checkins = Seen::unknown("gone"),
    |f| f.witnesses = Seen::unknown("gone"),
    |f| f.drills = Seen::unknown("gone"),
    |f| drop(f.copies.pop_first()),
    |f| drop(f.copies.pop_last()),
    |f| drop(f.parts.pop_first()),
    |f| drop(f.parts.pop_last()),
    |f| drop(f.locks.pop_first()),
    |f| f.backups.clear(),
    |f| drop(f.backups.insert(name("prod"), Seen::unknown("gone"))),
    |f| {
        if let Some(Seen::Known(seen)) = f.backups.get_mut(&name("prod")) {
            seen.clusters.clear();
        }
    },
    |f| drop(f.clocks.pop_first()),
    |f| f.clocks.clear(),
    |f| drop(f.copies.insert(name("b"), Seen::unknown("gone"))),
    |f| drop(f.parts.insert(name("b"), Seen::unknown("gone"))),
    |f| drop(f.locks.insert(name("a"), Seen::unknown("gone"))),
    |f| {
        if let Some(Seen::Known(copies)) = f.copies.get_mut(&name("b")) {
            copies.by_escrow.pop_first();
        }
    },
    |f| {
        if let Seen::Known(chain) = &mut f.chain {
            chain.mark = None;
        }
    },
    |f| {
        if let Seen::Known(chain) = &mut f.chain {
            chain.head = None;
        }
    },
    |f| {
        if let Seen::Known(chain) = &mut f.chain {
            chain.newest = Seen::unknown("gone");
        }
    },
    |f| {
        if let Seen::Known(chain) = &mut f.chain {
            chain.newest = Seen::Known(None);
        }
    },
    |f| {
        if let Seen::Known(chain) = &mut f.chain {
            chain.is_complete = false;
        }
    },
    |f| {
        if let Seen::Known(drills) = &mut f.drills {
            drills.newest = None;
        }
    },
    |f| {
        if let Seen::Known(DrillsSeen {
            newest: Some(drill),
            ..
        }) = &mut f.drills
        {
            (drill.rto.seconds, drill.rpo.seconds) = (None, None);
            drill.level.reached = None;
        }
    },
    |f| {
        if let Seen::Known(seen) = &mut f.checkins {
            seen.proven.iter_mut().for_each(|(_, at)| *at = None);
        }
    },
    |f| {
        if let Seen::Known(seen) = &mut f.witnesses {
            seen.newest.clear();
        }
    },
    |f| {
        if let Some(Seen::Known(parts)) = f.parts.get_mut(&name("a")) {
            parts.whole = 0;
        }
    },
];

/// The worst that a rule came to.
fn worst(checks: &[Check], rule: Rule) -> Outcome {
    let own = checks.iter().filter(|check| check.rule == rule);
    own.map(|check| check.outcome).max().unwrap()
}

/// Cases that leave nothing for another one to edit.
const TAKE_AWAY: [&str; 3] = ["no drill", "no probe", "a storage that was not named"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever was wrong: to see less never makes it look right.
    #[test]
    fn a_missing_fact_never_turns_anything_else_into_a_pass(
        edits in proptest::collection::vec(0..CASES.len(), 0..4),
        removals in proptest::collection::vec(0..REMOVALS.len(), 1..3),
    ) {
        let mut facts = facts();
        // Those that take something away come last: the others edit it.
        let mut edits = edits;
        edits.sort_by_key(|edit| TAKE_AWAY.contains(&CASES[*edit].0));
        for edit in &edits {
            CASES[*edit].1(&mut facts);
        }
        let before = judge(&policy(), &facts);
        for removal in &removals {
            REMOVALS[*removal](&mut facts);
        }
        let after = judge(&policy(), &facts);
        for rule in Rule::ALL {
            let (was, is) = (worst(&before, rule), worst(&after, rule));
            prop_assert!(was <= Outcome::Pass || is > Outcome::Pass, "{rule:?}: {was:?}, {is:?}");
        }
        let passes = |checks: &[Check]| Verdict::of(checks) == Verdict::Pass;
        prop_assert!(passes(&before) || !passes(&after));
    }
}
