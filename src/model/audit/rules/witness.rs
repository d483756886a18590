//! What others have seen of the chain. One that contradicts it counts, demanded or not.

use crate::base::time::UtcTime;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{Facts, Fit, Seen, WitnessSeen, WitnessesSeen};
use crate::model::audit::policy::WitnessDemand;
use crate::model::finding::Severity;

pub(in crate::model::audit) fn judge(demand: Option<&WitnessDemand>, facts: &Facts) -> Vec<Check> {
    let seen = match (&facts.witnesses, demand) {
        (Seen::Known(seen), _) => seen,
        (Seen::Unknown(why), _) => return vec![Check::not_seen(Rule::Witness, "witnesses", why)],
    };
    let is_complete = facts
        .chain_for(Rule::Witness)
        .is_ok_and(|chain| chain.is_complete);
    let fits = seen
        .newest
        .iter()
        .filter_map(|one| misfit(one, is_complete));
    let told = seen.findings.iter().map(|finding| match finding.severity {
        // Anybody who can write to a store can plant something unsigned.
        Severity::Note => Check::warn(Rule::Witness, finding.id, finding.message.as_str()),
        _ => Check::taken_over(Rule::Witness, finding),
    });
    let demanded = match demand {
        Some(demand) => enough(demand, seen, facts.now),
        None => Check::off(Rule::Witness, "the policy demands no witness"),
    };
    fits.chain(told).chain([demanded]).collect()
}

fn misfit(one: &WitnessSeen, is_complete: bool) -> Option<Check> {
    let WitnessSeen { signer, mark, .. } = one;
    let seq = mark.seq;
    let check = match one.fits {
        Fit::Agrees => return None,
        Fit::Contradicts => {
            let message = format!("manifest {seq} is not the one that {signer} has seen");
            Check::tampering(Rule::Witness, "witness-contradicts", message)
        }
        Fit::Missing if is_complete => {
            let message = format!("manifest {seq}, which {signer} has seen, is not in the chain");
            Check::tampering(Rule::Witness, "witnessed-gone", message)
        }
        Fit::Missing => {
            let what = format!("manifest {seq}, which {signer} has seen");
            Check::not_seen(Rule::Witness, &what, "a store that failed may have it")
        }
    };
    Some(check.at(seq).on(mark.manifest_sha256))
}

fn enough(demand: &WitnessDemand, seen: &WitnessesSeen, now: UtcTime) -> Check {
    let counts = |one: &&WitnessSeen| {
        let is_named = demand.by.is_empty() || demand.by.contains(&one.signer);
        is_named && one.fits == Fit::Agrees && one.at >= demand.max_age.before(now)
    };
    let count = seen.newest.iter().filter(counts).count();
    let (wanted, age) = (demand.at_least, demand.max_age);
    match u32::try_from(count).is_ok_and(|count| count < wanted) {
        true => Check::fail(
            Rule::Witness,
            "witness-missing",
            format!("{count} of {wanted} witnesses have seen this chain in the last {age}"),
        ),
        false => Check::pass(
            Rule::Witness,
            format!("{count} witnesses have seen this chain in the last {age}"),
        ),
    }
}
