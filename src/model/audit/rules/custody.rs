//! To whom the newest escrow is sealed.

use std::collections::BTreeSet;

use crate::model::audit::check::{Check, Rule};
use crate::model::audit::facts::{CustodySeen, Facts, HeaderSeen};
use crate::model::audit::policy::{CustodyDemand, NamedRecipient};
use crate::model::manifest::{Custody, CustodyMode};

use super::or_pass;

/// What is not as it was signed counts without a demand, too.
pub(in crate::model::audit) fn judge(demand: Option<&CustodyDemand>, facts: &Facts) -> Vec<Check> {
    let signed = [header(facts), objects(facts)].into_iter().flatten();
    match demand {
        Some(demand) => sealed_to(demand, facts).into_iter().chain(signed).collect(),
        None => {
            let tampered = signed.filter(|check| check.is_tampering).collect();
            or_pass(tampered, || {
                Check::off(Rule::Custody, "the policy does not demand it")
            })
        }
    }
}

fn sealed_to(demand: &CustodyDemand, facts: &Facts) -> Vec<Check> {
    match facts
        .custody
        .or_unknown(Rule::Custody, "the newest escrow's recipients")
    {
        Ok(seen) => [recipients(demand, seen), Some(mode(demand, &seen.custody))]
            .into_iter()
            .flatten()
            .collect(),
        Err(unknown) => unknown,
    }
}

fn recipients(demand: &CustodyDemand, seen: &CustodySeen) -> Option<Check> {
    let demanded: BTreeSet<NamedRecipient> = demand.recipients.iter().cloned().collect();
    if demanded.is_empty() {
        return None;
    }
    let sealed = seen
        .recipients
        .iter()
        .map(|(custodian, fingerprint)| NamedRecipient {
            custodian: custodian.clone(),
            fingerprint: *fingerprint,
        });
    let sealed: BTreeSet<NamedRecipient> = sealed.collect();
    let more = names(sealed.difference(&demanded));
    let fewer = names(demanded.difference(&sealed));
    let message = match (more.is_empty(), fewer.is_empty()) {
        (true, true) => {
            let message = format!("sealed to the {} recipients of the policy", sealed.len());
            return Some(Check::pass(Rule::Custody, message));
        }
        (false, true) => format!("sealed to {more}, whom the policy does not name"),
        (true, false) => format!("not sealed to {fewer}, whom the policy names"),
        (false, false) => format!("sealed to {more} instead of {fewer}"),
    };
    let message = format!("the newest escrow is {message}");
    Some(Check::fail(Rule::Custody, "recipients-differ", message))
}

fn names<'a>(recipients: impl Iterator<Item = &'a NamedRecipient>) -> String {
    let each = recipients.map(|one| format!("{} ({})", one.custodian, one.fingerprint));
    each.collect::<Vec<_>>().join(", ")
}

fn mode(demand: &CustodyDemand, seen: &Custody) -> Check {
    let fits = demand.mode == seen.mode && seen.k >= demand.k;
    let message = match (seen.mode, seen.k) {
        (CustodyMode::KOfN, Some(k)) => format!("{k} custodians open an escrow together"),
        _ => "each custodian opens an escrow alone".to_owned(),
    };
    match fits {
        true => Check::pass(Rule::Custody, message),
        false => Check::fail(
            Rule::Custody,
            "custody-mode-differs",
            format!("{message}; the policy demands another mode, or more of them"),
        ),
    }
}

fn header(facts: &Facts) -> Vec<Check> {
    match facts
        .header
        .or_unknown(Rule::Custody, "the newest escrow's age header")
    {
        Ok(seen) => vec![judge_header(seen)],
        Err(unknown) => unknown,
    }
}

fn judge_header(seen: &HeaderSeen) -> Check {
    if !seen.is_as_signed {
        let message = "the newest payload begins with another age header than the signed one";
        return Check::tampering(Rule::Custody, "age-header-differs", message);
    }
    let (there, wanted) = (seen.stanzas.len(), seen.expected.len());
    match seen.fits() {
        true => Check::pass(
            Rule::Custody,
            format!("the age header has {there} stanzas, of the recipients' types"),
        ),
        false => Check::fail(
            Rule::Custody,
            "age-header-differs",
            format!("the age header has {there} stanzas, which do not fit {wanted} recipients"),
        ),
    }
}

impl HeaderSeen {
    /// As many stanzas as recipients, and each known type as often as it should be. Stanzas of
    /// age's own type are anonymous: more cannot be told without an identity.
    fn fits(&self) -> bool {
        let mut left: Vec<&str> = self.stanzas.iter().map(String::as_str).collect();
        for expected in self.expected.iter().flatten() {
            let Some(at) = left.iter().position(|tag| tag == expected) else {
                return false;
            };
            left.swap_remove(at);
        }
        left.len() == self.expected.iter().filter(|kind| kind.is_none()).count()
    }
}

fn objects(facts: &Facts) -> Vec<Check> {
    let seen = facts
        .custody_objects
        .or_unknown(Rule::Custody, "unlock files and canaries");
    match seen {
        Ok(found) => {
            let found = found.iter();
            found
                .map(|finding| Check::taken_over(Rule::Custody, finding))
                .collect()
        }
        Err(unknown) => unknown,
    }
}
