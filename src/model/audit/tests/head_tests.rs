//! What a look at the newest manifest alone comes to.

use super::*;

fn head_alone() -> Facts {
    Facts {
        chain: facts().chain,
        reached: Seen::Known(()),
        ..Facts::none(Scope::Head, at(0))
    }
}

#[test]
fn a_look_at_the_head_alone_says_what_it_left_out() {
    let checks = judge(&policy(), &head_alone());
    assert_eq!(Verdict::of(&checks), Verdict::Pass);
    assert!(
        checks
            .iter()
            .any(|c| c.rule == Rule::Drill && c.outcome == Outcome::Off)
    );
}

#[test]
fn a_look_at_the_head_alone_speaks_of_one_manifest() {
    let checks = judge(&policy(), &head_alone());
    let chain = checks.iter().find(|check| check.rule == Rule::Chain);
    let message = &chain.unwrap().message;
    assert_eq!(message, "the newest manifest has a good signature");
}

#[test]
fn where_no_store_answers_nothing_is_said_of_what_they_hold() {
    let mut facts = head_alone();
    facts.reached = Seen::unknown("no store answered");
    let chain = chain(&mut facts);
    (chain.head, chain.newest, chain.is_complete) = (None, Seen::Known(None), false);
    let checks = judge(&policy(), &facts);
    assert_eq!(Verdict::of(&checks), Verdict::Unknown);
    let told = told(&checks);
    assert!(
        told.iter().all(|one| one.ends_with("/not-seen unknown")),
        "{told:?}"
    );
    let rules = ["chain", "mark", "signers", "freshness"];
    assert!(
        rules
            .iter()
            .all(|rule| told.iter().any(|one| one.starts_with(rule)))
    );
}

#[test]
fn the_signer_of_an_escrow_that_nobody_saw_is_unknown() {
    let mut facts = head_alone();
    chain(&mut facts).newest = Seen::unknown("x");
    assert_eq!(
        told(&judge(&policy(), &facts)),
        ["signers/not-seen unknown", "freshness/not-seen unknown"]
    );
}
