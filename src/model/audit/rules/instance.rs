//! Whether it is still the same Databasus: its key, and its cluster.

use crate::base::text::printable;
use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::Facts;
use crate::model::audit::policy::InstanceDemand;

pub(in crate::model::audit) fn judge(demand: &InstanceDemand, facts: &Facts) -> Vec<Check> {
    let chain = match facts.chain_for(Rule::Instance) {
        Ok(chain) => chain,
        Err(unknown) => return unknown,
    };
    if let Err(unknown) = facts.newest_for(Rule::Instance) {
        return unknown;
    }
    let (keys, clusters) = (&chain.secret_key_ids, &chain.system_identifiers);
    let set_back = judge_set_backs(&chain.set_backs, &demand.set_backs);
    let ids = [
        judge_ids(
            "secret-key-changed",
            "secret.key",
            keys,
            &demand.secret_key_ids,
        ),
        judge_ids(
            "source-changed",
            "the cluster",
            clusters,
            &demand.system_identifiers,
        ),
    ];
    ids.into_iter().chain(set_back).collect()
}

/// The newest that the policy does not name.
fn judge_set_backs(seen: &[u64], acknowledged: &[u64]) -> Option<Check> {
    let mut open = seen.iter().filter(|seq| !acknowledged.contains(seq));
    let seq = open.next_back()?;
    let message = format!(
        "the copy of manifest {seq} begins earlier in the log than the one before: the cluster was \
         set back, or another copy of it is escrowed"
    );
    Some(Check::fail(Rule::Instance, "source-set-back", message).at(*seq))
}

/// One id all along is fine; after a change, and where the policy names any, the newest must be
/// one of those.
fn judge_ids(
    id: &'static str,
    what: &str,
    seen: &[(u64, String)],
    acknowledged: &[String],
) -> Check {
    let Some((seq, newest)) = seen.last() else {
        return Check::not_seen(Rule::Instance, what, "no manifest names its id");
    };
    let is_same = seen.len() == 1 && acknowledged.is_empty();
    let newest_shown = printable(newest);
    let check = if is_same {
        Check::pass(
            Rule::Instance,
            format!("{what} is the same in every escrow: {newest_shown}"),
        )
    } else if acknowledged.contains(newest) {
        Check::pass(
            Rule::Instance,
            format!("{what} has an id that the policy names"),
        )
    } else {
        let message = format!(
            "{what} has the id {newest_shown} since manifest {seq}, which the policy does not name"
        );
        Check::fail(Rule::Instance, id, message)
    };
    check.at(*seq)
}
