//! What an audit is evidence of, in the words of the frameworks that auditors work with.
//!
//! Each row names the rules it rests on; what came of their checks decides whether a run evidences
//! it. No row says that a control is met: that is for whoever audits the organisation.

mod table;

use super::check::{Check, Outcome, Rule};
use super::facts::{Facts, Seen};
use crate::model::manifest::CustodyMode;

pub use table::{CONTROLS, LIMITS};

/// One row of the mapping.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// The framework and its edition.
    pub framework: &'static str,
    /// Its own ids.
    pub ids: &'static str,
    /// Where the ids come from.
    pub source: Source,
    /// What is evidenced.
    pub evidence: &'static str,
    /// The rules whose checks show it. All of them must have passed.
    pub rules: &'static [Rule],
    /// What else has to be so.
    pub needs: Needs,
    /// What is not evidenced.
    pub limits: &'static str,
}

/// Where a row's ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The framework's text, or its own list of controls.
    Text,
    /// Other texts: nobody has compared them with the framework's, which takes a licence.
    Hearsay,
}

/// What a row needs beside its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// That it takes several custodians together.
    DualControl,
}

/// What a run says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Every check that it rests on passed.
    Evidenced,
    /// One of them did not.
    NotEvidenced,
    /// At least one of them was not made, or could not be.
    NotLookedAt,
}

impl Control {
    /// What these checks say of it.
    pub fn evidence_in(&self, checks: &[Check], facts: &Facts) -> Evidence {
        let worst = self.rules.iter().map(|rule| of_rule(*rule, checks));
        worst
            .chain([self.needs.are_met(facts)])
            .fold(Evidence::Evidenced, |worst, next| match (worst, next) {
                (Evidence::NotEvidenced, _) | (_, Evidence::NotEvidenced) => Evidence::NotEvidenced,
                (Evidence::NotLookedAt, _) | (_, Evidence::NotLookedAt) => Evidence::NotLookedAt,
                (Evidence::Evidenced, Evidence::Evidenced) => Evidence::Evidenced,
            })
    }
}

impl Needs {
    fn are_met(self, facts: &Facts) -> Evidence {
        match (self, &facts.custody) {
            (Self::Nothing, _) => Evidence::Evidenced,
            (Self::DualControl, Seen::Unknown(_)) => Evidence::NotLookedAt,
            (Self::DualControl, Seen::Known(seen)) => match seen.custody.mode {
                CustodyMode::KOfN => Evidence::Evidenced,
                CustodyMode::Any => Evidence::NotEvidenced,
            },
        }
    }
}

/// The worst that came of a rule's checks; none where it has none in this run.
pub fn outcome_of(rule: Rule, checks: &[Check]) -> Option<Outcome> {
    let own = checks.iter().filter(|check| check.rule == rule);
    own.map(|check| check.outcome).max()
}

/// A rule without a check that passed shows nothing, whatever is not wrong with it.
fn of_rule(rule: Rule, checks: &[Check]) -> Evidence {
    match outcome_of(rule, checks) {
        Some(Outcome::Fail) => Evidence::NotEvidenced,
        Some(Outcome::Pass | Outcome::Warn) if has_passed(rule, checks) => Evidence::Evidenced,
        _ => Evidence::NotLookedAt,
    }
}

fn has_passed(rule: Rule, checks: &[Check]) -> bool {
    let mut own = checks.iter().filter(|check| check.rule == rule);
    own.any(|check| check.outcome == Outcome::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UtcTime;
    use crate::model::audit::facts::{CustodySeen, Scope};
    use crate::model::manifest::Custody;

    fn facts(custody: Option<CustodyMode>) -> Facts {
        let mut facts = Facts::none(Scope::Full, UtcTime::from_unix(0));
        if let Some(mode) = custody {
            facts.custody = Seen::Known(CustodySeen {
                custody: Custody { mode, k: None },
                recipients: Vec::new(),
            });
        }
        facts
    }

    fn control(needs: Needs) -> Control {
        Control {
            framework: "",
            ids: "",
            source: Source::Text,
            evidence: "",
            rules: &[Rule::Chain, Rule::Drill],
            needs,
            limits: "",
        }
    }

    fn judged(drill: Option<Outcome>) -> Evidence {
        let drill = drill.map(|outcome| Check::new(Rule::Drill, "drill", outcome, ""));
        let checks: Vec<Check> = [Check::pass(Rule::Chain, "")]
            .into_iter()
            .chain(drill)
            .collect();
        control(Needs::Nothing).evidence_in(&checks, &facts(None))
    }

    #[test]
    fn a_row_is_evidenced_where_every_rule_passed() {
        assert_eq!(judged(Some(Outcome::Pass)), Evidence::Evidenced);
        assert_eq!(judged(Some(Outcome::Fail)), Evidence::NotEvidenced);
        for open in [
            None,
            Some(Outcome::Off),
            Some(Outcome::Unknown),
            Some(Outcome::Warn),
        ] {
            assert_eq!(judged(open), Evidence::NotLookedAt, "{open:?}");
        }
    }

    #[test]
    fn dual_control_takes_several_custodians() {
        let checks = [Check::pass(Rule::Chain, ""), Check::pass(Rule::Drill, "")];
        let judged = |mode| control(Needs::DualControl).evidence_in(&checks, &facts(mode));
        assert_eq!(judged(None), Evidence::NotLookedAt);
        assert_eq!(judged(Some(CustodyMode::Any)), Evidence::NotEvidenced);
        assert_eq!(judged(Some(CustodyMode::KOfN)), Evidence::Evidenced);
    }

    #[test]
    fn every_row_says_what_it_rests_on_and_where_it_ends() {
        for row in CONTROLS {
            assert!(!row.rules.is_empty(), "{}", row.ids);
            for text in [row.framework, row.ids, row.evidence, row.limits] {
                assert!(!text.is_empty() && text.trim() == text, "{}", row.ids);
            }
            let mut rules = row.rules.to_vec();
            rules.sort();
            rules.dedup();
            assert_eq!(rules.len(), row.rules.len(), "{}: a rule twice", row.ids);
        }
    }

    #[test]
    fn frameworks_stand_together() {
        let mut names: Vec<&str> = CONTROLS.iter().map(|row| row.framework).collect();
        names.dedup();
        let listed = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), listed);
    }
}
