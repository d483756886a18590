//! Everybody to whom something was sealed, and whether they are custodians still.

use crate::base::fingerprint::Fingerprint;
use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::cli::render::html::words::Tone;
use crate::model::audit::facts::{CustodySeen, Seen};
use crate::model::audit::past::{Past, SealedRun};
use crate::model::manifest::CustodyMode;

/// Custodians in force first.
pub(super) struct People(Vec<Person>);

/// Somebody with one recipient. Who changed theirs is here twice.
pub(super) struct Person {
    pub(super) name: CustodianName,
    pub(super) recipient: Option<Fingerprint>,
    pub(super) standing: Standing,
}

/// Whether somebody is a custodian by the newest escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// The newest escrow is sealed to them.
    InForce,
    /// It is sealed to another recipient of theirs.
    EarlierKey,
    /// It is not.
    Left,
    /// To whom it is sealed is not known.
    Unknown,
}

impl Standing {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::InForce => "custodian",
            Self::EarlierKey => "earlier key",
            Self::Left => "no longer",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::InForce => Tone::Good,
            Self::EarlierKey | Self::Left => Tone::Warn,
            Self::Unknown => Tone::Open,
        }
    }
}

impl People {
    pub(super) fn of(past: &Past, newest: &Seen<CustodySeen>) -> Self {
        let mut people: Vec<Person> = Vec::new();
        let runs = past.sealed.iter().rev().chain(&past.sealed_before);
        for (name, recipient) in runs.flat_map(|run| &run.to) {
            let mut known = people.iter();
            if !known.any(|one| one.name == *name && one.recipient == *recipient) {
                people.push(Person {
                    name: name.clone(),
                    recipient: *recipient,
                    standing: standing(name, recipient.as_ref(), newest),
                });
            }
        }
        people.sort_by_key(|person| person.standing);
        Self(people)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Person> {
        self.0.iter()
    }
}

fn standing(
    name: &CustodianName,
    recipient: Option<&Fingerprint>,
    newest: &Seen<CustodySeen>,
) -> Standing {
    let (Seen::Known(newest), Some(recipient)) = (newest, recipient) else {
        return Standing::Unknown;
    };
    let mut own = newest.recipients.iter().filter(|(who, _)| who == name);
    match own.next() {
        None => Standing::Left,
        Some((_, now)) if now == recipient => Standing::InForce,
        Some(_) => Standing::EarlierKey,
    }
}

impl Person {
    pub(super) fn is_in(&self, run: &SealedRun) -> bool {
        let mut to = run.to.iter();
        to.any(|(name, recipient)| *name == self.name && *recipient == self.recipient)
    }

    /// How many sealings they can open, and how many of them alone.
    pub(super) fn exposure(&self, past: &Past) -> (usize, usize) {
        let all = self.runs(past).map(|run| run.escrows).sum();
        let alone = self
            .runs(past)
            .filter(|run| run.custody.mode == CustodyMode::Any);
        (all, alone.map(|run| run.escrows).sum())
    }

    /// Until when a lock keeps copies of them.
    pub(super) fn locked_until(&self, past: &Past) -> Option<UtcTime> {
        self.runs(past).filter_map(|run| run.locked_until).max()
    }

    fn runs<'p>(&'p self, past: &'p Past) -> impl Iterator<Item = &'p SealedRun> {
        let runs = past.sealed.iter().chain(&past.sealed_before);
        runs.filter(|run| self.is_in(run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit::past::{Sealing, runs};
    use crate::model::manifest::Custody;

    fn custody(mode: CustodyMode) -> Custody {
        Custody { mode, k: None }
    }

    fn key(of: &str) -> Fingerprint {
        Fingerprint::of(of.as_bytes())
    }

    fn sealing(seq: u64, mode: CustodyMode, to: &[(&str, &str)]) -> Sealing {
        let to = to
            .iter()
            .map(|(who, of)| (who.parse().unwrap(), Some(key(of))));
        Sealing {
            seq,
            began: UtcTime::from_unix(0),
            custody: custody(mode),
            to: to.collect(),
            locked_until: Some(UtcTime::from_unix(i64::try_from(seq).unwrap())),
        }
    }

    #[test]
    fn who_left_and_who_changed_their_key_are_told_apart() {
        let past = Past {
            sealed: runs([
                sealing(1, CustodyMode::Any, &[("alice", "old"), ("bob", "bob")]),
                sealing(2, CustodyMode::KOfN, &[("alice", "new"), ("bob", "bob")]),
                sealing(3, CustodyMode::Any, &[("alice", "new")]),
            ]),
            ..Past::default()
        };
        let newest = Seen::Known(CustodySeen {
            custody: custody(CustodyMode::Any),
            recipients: vec![("alice".parse().unwrap(), key("new"))],
        });
        let people = People::of(&past, &newest);
        let told: Vec<_> = people
            .iter()
            .map(|one| (one.name.as_str(), one.standing, one.exposure(&past)))
            .collect();
        assert_eq!(
            told,
            [
                ("alice", Standing::InForce, (2, 1)),
                ("alice", Standing::EarlierKey, (1, 1)),
                ("bob", Standing::Left, (2, 1)),
            ]
        );
        let bob = people.iter().last().unwrap();
        assert_eq!(bob.locked_until(&past), Some(UtcTime::from_unix(2)));
    }

    #[test]
    fn where_the_newest_is_not_known_nobodys_standing_is() {
        let past = Past {
            sealed: runs([sealing(1, CustodyMode::Any, &[("alice", "a")])]),
            ..Past::default()
        };
        let people = People::of(&past, &Seen::unknown("gone"));
        assert!(people.iter().all(|one| one.standing == Standing::Unknown));
    }
}
