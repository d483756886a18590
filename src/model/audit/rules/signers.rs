//! Whose keys sign.

use crate::base::fingerprint::Fingerprint;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{ChainFacts, Facts, Seen};
use crate::model::audit::policy::SignersDemand;

use super::{no_escrow, or_pass};

pub(in crate::model::audit) fn judge(demand: &SignersDemand, facts: &Facts) -> Vec<Check> {
    let chain = match facts.chain_for(Rule::Signers) {
        Ok(chain) => chain,
        Err(unknown) => return unknown,
    };
    if chain.head.is_none() {
        return vec![no_escrow(Rule::Signers, chain)];
    }
    let stranger = |(_, key): &(u64, Fingerprint)| !demand.keys.contains(key);
    let strangers = newest(chain).into_iter().filter(stranger);
    let found = strangers.map(|(seq, key)| {
        let message = format!("manifest {seq} is signed by {key}, which the policy does not list");
        Check::fail(Rule::Signers, "signer-not-listed", message).at(seq)
    });
    let found = found.chain(not_seen(chain));
    or_pass(found.collect(), || {
        Check::pass(
            Rule::Signers,
            "the newest manifests are signed by keys that the policy lists",
        )
    })
}

fn not_seen(chain: &ChainFacts) -> Option<Check> {
    match &chain.newest {
        Seen::Known(_) => None,
        Seen::Unknown(why) => Some(Check::not_seen(Rule::Signers, "the newest escrow", why)),
    }
}

/// The newest manifest and that of the newest escrow, which may be one.
fn newest(chain: &ChainFacts) -> Vec<(u64, Fingerprint)> {
    let head = chain.head.iter().map(|head| (head.mark.seq, head.key));
    let escrow = match &chain.newest {
        Seen::Known(Some(escrow)) => Some((escrow.mark.seq, escrow.key)),
        Seen::Known(None) | Seen::Unknown(_) => None,
    };
    let mut newest: Vec<(u64, Fingerprint)> = head.chain(escrow).collect();
    newest.dedup();
    newest
}
