//! k-of-n custody: which custodians open an escrow together.

use crate::base::names::CustodianName;

use super::recipients::{RecipientSpec, Recipients};

/// The most sets of custodians, and with that the most unlock files of one escrow: any 3 of 10.
pub const MAX_SETS: usize = 120;

/// The most custodians that an escrow can take: with each a layer more lies around its unlock files,
/// and a name more in theirs.
pub const MAX_TOGETHER: usize = 16;

/// The longest name of an object that every store takes, in bytes.
const MAX_NAME: usize = 255;

/// Every set of k custodians that is to open an escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    k: u32,
    custodians: usize,
    sets: Vec<Vec<RecipientSpec>>,
}

/// A number of custodians that cannot be asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// One is no quorum.
    #[error("k = {0} is no quorum; leave it out, and every custodian opens an escrow alone")]
    TooFew(u32),
    /// Nobody could open anything.
    #[error("k = {k} custodians are to open an escrow, and there are {n}: nobody could")]
    TooMany {
        /// How many it takes.
        k: u32,
        /// How many there are.
        n: usize,
    },
    /// Nobody gets that many people together on the day.
    #[error(
        "k = {k} custodians would have to come together for every escrow; take {MAX_TOGETHER} or fewer"
    )]
    Absurd {
        /// How many it takes.
        k: u32,
    },
    /// The escrow would have too many unlock files.
    #[error("{k} of {n} custodians make more than {MAX_SETS} sets; take fewer custodians")]
    TooManySets {
        /// How many it takes.
        k: u32,
        /// How many there are.
        n: usize,
    },
    /// The identity that an escrow is sealed to is X25519, and must not be the weakest link.
    #[error(
        "{0} has a post-quantum recipient, and the identity that custodians share in k-of-n \
         custody is X25519, which would undo that: take X25519 recipients, or leave k out"
    )]
    PostQuantum(CustodianName),
    /// No store takes an object of that name.
    #[error("the names of {0} and the others are too long for the name of their unlock file")]
    Names(CustodianName),
}

impl Quorum {
    /// Any `k` of these recipients, each set in the order of the recipients file.
    pub fn new(k: u32, recipients: &Recipients) -> Result<Self, QuorumError> {
        let specs: Vec<RecipientSpec> = recipients.iter().cloned().collect();
        let n = specs.len();
        let size = usize::try_from(k).unwrap_or(usize::MAX);
        if k < 2 {
            return Err(QuorumError::TooFew(k));
        }
        if size > n {
            return Err(QuorumError::TooMany { k, n });
        }
        if size > MAX_TOGETHER {
            return Err(QuorumError::Absurd { k });
        }
        if binomial(n, size) > MAX_SETS {
            return Err(QuorumError::TooManySets { k, n });
        }
        check_post_quantum(&specs)?;
        let sets = combinations(&specs, size);
        check_names(&sets)?;
        Ok(Self {
            k,
            custodians: n,
            sets,
        })
    }

    /// How many custodians it takes.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// How many custodians may be lost before nobody opens anything.
    pub fn spare(&self) -> usize {
        let k = usize::try_from(self.k).unwrap_or(usize::MAX);
        self.custodians.saturating_sub(k)
    }

    /// Every set of k custodians, the one who opens first in front.
    pub fn sets(&self) -> &[Vec<RecipientSpec>] {
        &self.sets
    }
}

fn check_post_quantum(specs: &[RecipientSpec]) -> Result<(), QuorumError> {
    let mut specs = specs.iter();
    match specs.find(|spec| spec.kind.is_post_quantum() == Some(true)) {
        Some(spec) => Err(QuorumError::PostQuantum(spec.custodian.clone())),
        None => Ok(()),
    }
}

fn check_names(sets: &[Vec<RecipientSpec>]) -> Result<(), QuorumError> {
    let length = |set: &[RecipientSpec]| {
        let names = set.iter().map(|spec| spec.custodian.as_str().len() + 1);
        names.sum::<usize>() + "age".len()
    };
    match sets.iter().find(|set| length(set) > MAX_NAME) {
        Some(set) => Err(QuorumError::Names(set[0].custodian.clone())),
        None => Ok(()),
    }
}

/// How many sets of `k` there are among `n`, where that is not beyond all measure.
fn binomial(n: usize, k: usize) -> usize {
    let k = k.min(n - k);
    (0..k).fold(1_usize, |sets, i| sets.saturating_mul(n - i) / (i + 1))
}

/// Every set of `k` items, in the items' order.
fn combinations<T: Clone>(items: &[T], k: usize) -> Vec<Vec<T>> {
    if k == 0 {
        return vec![Vec::new()];
    }
    let mut sets = Vec::new();
    // Too few are left after the last of these to make a set of.
    let firsts = (items.len() + 1).saturating_sub(k);
    for (at, first) in items.iter().enumerate().take(firsts) {
        for rest in combinations(&items[at + 1..], k - 1) {
            let mut set = vec![first.clone()];
            set.extend(rest);
            sets.push(set);
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::recipients::RecipientKind;
    use proptest::prelude::*;

    fn recipients(names: &[&str]) -> Recipients {
        let argument = |name: &&str| format!("{name}={}", x25519());
        let arguments: Vec<String> = names.iter().map(argument).collect();
        Recipients::from_arguments(&arguments).unwrap()
    }

    fn x25519() -> String {
        age::x25519::Identity::generate().to_public().to_string()
    }

    fn names(quorum: &Quorum) -> Vec<String> {
        let name = |set: &Vec<RecipientSpec>| {
            let names: Vec<&str> = set.iter().map(|spec| spec.custodian.as_str()).collect();
            names.join("+")
        };
        quorum.sets().iter().map(name).collect()
    }

    #[test]
    fn two_of_three_make_three_sets_in_the_files_order() {
        let quorum = Quorum::new(2, &recipients(&["carol", "alice", "bob"])).unwrap();
        assert_eq!(names(&quorum), ["carol+alice", "carol+bob", "alice+bob"]);
        assert_eq!(quorum.spare(), 1);
    }

    #[test]
    fn a_quorum_takes_two_at_least_and_no_more_than_there_are() {
        let two = recipients(&["alice", "bob"]);
        for k in [0, 1] {
            assert_eq!(Quorum::new(k, &two), Err(QuorumError::TooFew(k)));
        }
        assert_eq!(Quorum::new(2, &two).unwrap().spare(), 0);
        let refused = QuorumError::TooMany { k: 3, n: 2 };
        assert_eq!(Quorum::new(3, &two), Err(refused));
        assert!(Quorum::new(u32::MAX, &two).is_err());
    }

    #[test]
    fn more_sets_than_an_escrow_should_have_files_are_refused() {
        let eleven: Vec<String> = (0..11).map(|n| format!("c{n}")).collect();
        let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
        assert_eq!(
            Quorum::new(3, &recipients(&eleven[..10]))
                .unwrap()
                .sets()
                .len(),
            120
        );
        let refused = Quorum::new(3, &recipients(&eleven));
        assert_eq!(refused, Err(QuorumError::TooManySets { k: 3, n: 11 }));
    }

    #[test]
    fn quorums_that_never_come_together_are_refused_at_once() {
        let many: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let sixteen = Quorum::new(16, &recipients(&many[..17])).unwrap();
        assert_eq!(sixteen.sets().len(), 17);
        for (k, n) in [(17, 17), (27, 28), (39, 40), (40, 40)] {
            let refused = Quorum::new(k, &recipients(&many[..n]));
            assert_eq!(refused, Err(QuorumError::Absurd { k }));
        }
    }

    #[test]
    fn custodians_who_are_safe_from_quantum_computers_stay_so() {
        let hardware = |name: &str| RecipientSpec {
            kind: RecipientKind::TagPq,
            ..RecipientSpec::parse(name, &x25519()).unwrap()
        };
        let (first, second) = (hardware("alice"), hardware("bob"));
        let recipients = Recipients::new(vec![first, second]).unwrap();
        let refused = Quorum::new(2, &recipients).unwrap_err();
        assert_eq!(refused, QuorumError::PostQuantum("alice".parse().unwrap()));
    }

    #[test]
    fn names_that_no_store_takes_are_refused() {
        let long: Vec<String> = (0..4).map(|n| format!("{n}{}", "x".repeat(62))).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        assert!(Quorum::new(3, &recipients(&long)).is_ok());
        let refused = Quorum::new(4, &recipients(&long)).unwrap_err();
        assert!(matches!(refused, QuorumError::Names(_)));
    }

    /// Without looking where too few are left, this would take until the end of time.
    #[test]
    fn nearly_everybody_of_many_is_made_at_once() {
        let items: Vec<usize> = (0..40).collect();
        assert_eq!(combinations(&items, 39).len(), 40);
        assert_eq!(combinations(&items, 40), [items]);
    }

    proptest! {
        #[test]
        fn every_set_is_there_once(n in 1_usize..9, k in 0_usize..9) {
            let items: Vec<usize> = (0..n).collect();
            let sets = combinations(&items, k);
            let sorted = sets.iter().all(|set| set.len() == k && set.is_sorted());
            let mut different = sets.clone();
            different.dedup();
            prop_assert!(sorted);
            prop_assert_eq!(different.len(), sets.len());
            if k <= n {
                prop_assert_eq!(sets.len(), binomial(n, k));
            }
        }
    }
}
