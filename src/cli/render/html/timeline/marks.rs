//! What is drawn of each store: escrows as marks, thinned out where they are many.

use std::collections::BTreeMap;

use super::scale::Scale;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::audit::facts::{ChainFacts, CopiesSeen, CopySeen, Facts, Retained, Seen};

/// Most marks in a row: those that would lie upon each other are one.
pub(super) const SLOTS: usize = 160;

/// A store.
pub(super) struct Row {
    pub(super) store: StoreName,
    /// Why nothing is known of what it holds.
    pub(super) unknown: Option<String>,
    /// In the order of time.
    pub(super) marks: Vec<Mark>,
    /// How many escrows stand how.
    pub(super) counts: BTreeMap<State, usize>,
}

/// How an escrow's copy stands, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Present,
    Unknown,
    Missing,
    Wrong,
}

/// One escrow, or several that lie too close to be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) first: UtcTime,
    pub(super) last: UtcTime,
    pub(super) escrows: usize,
    /// The worst of them.
    pub(super) state: State,
    /// How many stand as badly as that.
    pub(super) in_state: usize,
    /// Until when the last recorded lock of them holds.
    pub(super) locked_until: Option<UtcTime>,
}

impl State {
    pub(super) const ALL: [Self; 4] = [Self::Present, Self::Missing, Self::Wrong, Self::Unknown];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Unknown => "unknown",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }

    pub(super) fn of(copies: &Seen<CopiesSeen>, escrow: &Retained) -> Self {
        let Seen::Known(copies) = copies else {
            return Self::Unknown;
        };
        match copies.by_escrow.get(&escrow.id) {
            Some(CopySeen::AsSigned) => Self::Present,
            Some(CopySeen::Missing) => Self::Missing,
            Some(CopySeen::OtherSize | CopySeen::OtherTag) => Self::Wrong,
            None => Self::Unknown,
        }
    }
}

impl Row {
    pub(super) fn all(facts: &Facts, chain: &ChainFacts, scale: &Scale) -> Vec<Self> {
        let rows = facts.copies.iter();
        rows.map(|(store, copies)| Self::of(store, copies, &chain.retained, scale))
            .collect()
    }

    fn of(
        store: &StoreName,
        copies: &Seen<CopiesSeen>,
        escrows: &[Retained],
        scale: &Scale,
    ) -> Self {
        let mut slots: BTreeMap<usize, Mark> = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for escrow in escrows {
            let state = State::of(copies, escrow);
            *counts.entry(state).or_default() += 1;
            let mark = Mark::of(escrow, state, store);
            let slot = slots.entry(scale.slot(escrow.snapshot_at, SLOTS));
            slot.and_modify(|there| there.merge(&mark)).or_insert(mark);
        }
        Self {
            store: store.clone(),
            unknown: match copies {
                Seen::Known(_) => None,
                Seen::Unknown(why) => Some(why.clone()),
            },
            marks: slots.into_values().collect(),
            counts,
        }
    }

    /// Whether any lock is drawn.
    pub(super) fn has_locks(&self) -> bool {
        self.marks.iter().any(|mark| mark.locked_until.is_some())
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.counts.get(&state).copied().unwrap_or(0)
    }
}

impl Mark {
    fn of(escrow: &Retained, state: State, store: &StoreName) -> Self {
        let lock = escrow.recorded_locks.get(store);
        Self {
            first: escrow.snapshot_at,
            last: escrow.snapshot_at,
            escrows: 1,
            state,
            in_state: 1,
            locked_until: lock.map(|lock| lock.until),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.escrows += other.escrows;
        self.locked_until = self.locked_until.max(other.locked_until);
        self.in_state = match self.state.cmp(&other.state) {
            std::cmp::Ordering::Less => other.in_state,
            std::cmp::Ordering::Equal => self.in_state + other.in_state,
            std::cmp::Ordering::Greater => self.in_state,
        };
        self.state = self.state.max(other.state);
    }

    /// Its middle.
    pub(super) fn at(&self) -> UtcTime {
        self.first.plus((self.last.unix() - self.first.unix()) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit::facts::Scope;

    const DAY: i64 = 86_400;

    fn at(day: i64) -> UtcTime {
        UtcTime::from_unix(1_780_000_000 + day * DAY)
    }

    fn chain(days: impl Iterator<Item = i64>) -> ChainFacts {
        let retained = days.map(|day| Retained {
            id: format!("{}-{day:016x}", at(day).compact()).parse().unwrap(),
            seq: 1,
            snapshot_at: at(day),
            recorded_locks: BTreeMap::new(),
        });
        ChainFacts {
            mark: None,
            is_complete: true,
            verified: 0,
            findings: Vec::new(),
            head: None,
            newest: Seen::Known(None),
            retained: retained.collect(),
            secret_key_ids: Vec::new(),
            system_identifiers: Vec::new(),
            set_backs: Vec::new(),
        }
    }

    /// A store that has all of them but one.
    fn row(chain: &ChainFacts, but: usize) -> Row {
        let mut copies = CopiesSeen::default();
        for (n, one) in chain.retained.iter().enumerate() {
            let copy = match n == but {
                true => CopySeen::Missing,
                false => CopySeen::AsSigned,
            };
            copies.by_escrow.insert(one.id.clone(), copy);
        }
        let now = at(2_000);
        let mut facts = Facts::none(Scope::Full, now);
        facts
            .copies
            .insert("a".parse().unwrap(), Seen::Known(copies));
        let scale = Scale::of(chain, now).unwrap();
        Row::all(&facts, chain, &scale).remove(0)
    }

    #[test]
    fn few_escrows_are_a_mark_each() {
        let row = row(&chain([0, 500, 1_000].into_iter()), 1);
        let states: Vec<State> = row.marks.iter().map(|mark| mark.state).collect();
        assert_eq!(states, [State::Present, State::Missing, State::Present]);
        assert!(row.marks.iter().all(|mark| mark.escrows == 1));
    }

    #[test]
    fn many_escrows_are_merged_and_the_worst_is_seen() {
        let row = row(&chain(0..2_000), 777);
        assert!(row.marks.len() <= SLOTS);
        assert_eq!(
            row.marks.iter().map(|mark| mark.escrows).sum::<usize>(),
            2_000
        );
        let bad: Vec<&Mark> = row
            .marks
            .iter()
            .filter(|mark| mark.state == State::Missing)
            .collect();
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].in_state, 1);
        assert!((bad[0].first..=bad[0].last).contains(&at(777)));
        assert_eq!(row.count(State::Missing), 1);
        assert_eq!(row.count(State::Present), 1_999);
    }

    #[test]
    fn a_store_that_does_not_answer_holds_nothing_that_is_known() {
        let chain = chain(0..3);
        let mut facts = Facts::none(Scope::Full, at(3));
        facts
            .copies
            .insert("a".parse().unwrap(), Seen::unknown("away"));
        let scale = Scale::of(&chain, at(3)).unwrap();
        let rows = Row::all(&facts, &chain, &scale);
        assert_eq!(rows[0].unknown.as_deref(), Some("away"));
        assert_eq!(rows[0].count(State::Unknown), 3);
    }
}
