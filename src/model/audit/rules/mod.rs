//! One file for each rule: a demand and what was seen, to checks.

pub(super) mod backups;
pub(super) mod chain;
pub(super) mod checkins;
pub(super) mod clock;
pub(super) mod custody;
pub(super) mod drill;
pub(super) mod freshness;
pub(super) mod instance;
pub(super) mod locks;
pub(super) mod mark;
pub(super) mod parts;
pub(super) mod proof;
pub(super) mod signers;
pub(super) mod stores;
pub(super) mod witness;

use super::check::{Check, Rule};
use super::facts::{ChainFacts, EscrowSeen, Facts, Seen};

impl<T> Seen<T> {
    /// What was seen, or a check that says that it was not.
    fn or_unknown(&self, rule: Rule, what: &str) -> Result<&T, Vec<Check>> {
        match self {
            Self::Known(known) => Ok(known),
            Self::Unknown(why) => Err(vec![Check::not_seen(rule, what, why)]),
        }
    }
}

impl Facts {
    fn chain_for(&self, rule: Rule) -> Result<&ChainFacts, Vec<Check>> {
        self.chain.or_unknown(rule, "the chain")
    }

    /// The newest escrow, or a check that says why there is none to judge.
    fn newest_for(&self, rule: Rule) -> Result<&EscrowSeen, Vec<Check>> {
        let chain = self.chain_for(rule)?;
        let newest = chain.newest.or_unknown(rule, "the newest escrow")?;
        newest.as_ref().ok_or_else(|| vec![no_escrow(rule, chain)])
    }
}

/// None is there; or a store that did not give what it holds may have one.
fn no_escrow(rule: Rule, chain: &ChainFacts) -> Check {
    match chain.is_complete {
        true => Check::fail(rule, "no-escrow", "there is no verified escrow"),
        false => Check::not_seen(rule, "the newest escrow", NOT_ALL_GIVEN),
    }
}

/// Why nothing follows from what is not there.
const NOT_ALL_GIVEN: &str = "not every store gave what it holds";

/// `passed`, unless there is something else to say.
fn or_pass(found: Vec<Check>, passed: impl FnOnce() -> Check) -> Vec<Check> {
    match found.is_empty() {
        true => vec![passed()],
        false => found,
    }
}
