//! What an audit says of one demand.

use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::names::StoreName;
use crate::model::finding::{Finding, Severity};

/// What became of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The policy does not demand it, or this run was not to look.
    Off,
    /// It was looked at, and holds.
    Pass,
    /// It holds; somebody should look all the same.
    Warn,
    /// It could not be looked at.
    Unknown,
    /// It does not hold.
    Fail,
}

/// The group of demands that a check belongs to, as the policy names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Signatures, and manifests that follow each other.
    Chain,
    /// What was seen before.
    Mark,
    /// What others have seen.
    Witness,
    /// Who signs.
    Signers,
    /// How old the newest escrow is.
    Freshness,
    /// Where escrows lie.
    Stores,
    /// What the bytes are.
    Parts,
    /// How long copies are kept from being deleted.
    Locks,
    /// To whom escrows are sealed.
    Custody,
    /// Who has shown that they can open them.
    Checkins,
    /// Which Databasus it is.
    Instance,
    /// How far the key is proven to open backups.
    Proof,
    /// Whether a restore was tried.
    Drill,
    /// Whether Databasus' backup chains reach the present.
    Backups,
    /// Whether clocks agree.
    Clock,
}

/// One demand, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable, kebab-case: the rule's name where it passed or is off, else a heading in the
    /// runbook of findings.
    pub id: &'static str,
    /// To what it belongs.
    pub rule: Rule,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether something is not what a signer said it was, which is worse than a demand that is
    /// not met.
    pub is_tampering: bool,
    /// The same in a sentence.
    pub message: String,
    /// What it rests on.
    pub basis: Basis,
}

/// What a check rests on, as far as it is one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Basis {
    /// The manifest's sequence number.
    pub seq: Option<u64>,
    /// Its digest, or that of another document.
    pub sha256: Option<Digest>,
    /// The store.
    pub store: Option<StoreName>,
}

/// What the checks of an audit come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was demanded holds.
    Pass,
    /// Something could not be looked at.
    Unknown,
    /// A demand is not met.
    Fail,
    /// Something is not what a signer said it was.
    Tampering,
}

impl Rule {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 15] = [
        Self::Chain,
        Self::Mark,
        Self::Signers,
        Self::Freshness,
        Self::Witness,
        Self::Stores,
        Self::Parts,
        Self::Locks,
        Self::Custody,
        Self::Checkins,
        Self::Instance,
        Self::Proof,
        Self::Drill,
        Self::Backups,
        Self::Clock,
    ];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Mark => "mark",
            Self::Witness => "witness",
            Self::Signers => "signers",
            Self::Freshness => "freshness",
            Self::Stores => "stores",
            Self::Parts => "parts",
            Self::Locks => "locks",
            Self::Custody => "custody",
            Self::Checkins => "checkins",
            Self::Instance => "instance",
            Self::Proof => "proof",
            Self::Drill => "drill",
            Self::Backups => "backups",
            Self::Clock => "clock",
        }
    }
}

impl Check {
    /// A check that came out like this.
    pub fn new(rule: Rule, id: &'static str, outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            id,
            rule,
            outcome,
            is_tampering: false,
            message: message.into(),
            basis: Basis::default(),
        }
    }

    /// Something holds.
    pub fn pass(rule: Rule, message: impl Into<String>) -> Self {
        Self::new(rule, rule.name(), Outcome::Pass, message)
    }

    /// A demand is not met.
    pub fn fail(rule: Rule, id: &'static str, message: impl Into<String>) -> Self {
        Self::new(rule, id, Outcome::Fail, message)
    }

    /// Something could not be looked at.
    pub fn unknown(rule: Rule, id: &'static str, message: impl Into<String>) -> Self {
        Self::new(rule, id, Outcome::Unknown, message)
    }

    /// What a demand rests on could not be looked at.
    pub fn not_seen(rule: Rule, what: &str, why: &str) -> Self {
        Self::unknown(rule, "not-seen", format!("{what}: {why}"))
    }

    /// Something holds, and somebody should look.
    pub fn warn(rule: Rule, id: &'static str, message: impl Into<String>) -> Self {
        Self::new(rule, id, Outcome::Warn, message)
    }

    /// Something was not demanded, or not to be looked at.
    pub fn off(rule: Rule, message: impl Into<String>) -> Self {
        Self::new(rule, rule.name(), Outcome::Off, message)
    }

    /// Something is not what a signer said it was.
    pub fn tampering(rule: Rule, id: &'static str, message: impl Into<String>) -> Self {
        Self {
            is_tampering: true,
            ..Self::fail(rule, id, message)
        }
    }

    /// A finding of the jobs that read, with the outcome that its kind has.
    pub fn taken_over(rule: Rule, finding: &Finding) -> Self {
        let message = finding.message.as_str();
        let check = match finding.severity {
            Severity::Note => Self::warn(rule, finding.id, message),
            Severity::Warning if LEFT_OPEN.contains(&finding.id) => {
                Self::unknown(rule, finding.id, message)
            }
            Severity::Warning => Self::fail(rule, finding.id, message),
            Severity::Violation => Self::tampering(rule, finding.id, message),
        };
        match &finding.store {
            Some(store) => check.in_store(store),
            None => check,
        }
    }

    /// Rests on this manifest.
    pub fn at(mut self, seq: u64) -> Self {
        self.basis.seq = Some(seq);
        self
    }

    /// Rests on the document of this digest.
    pub fn on(mut self, sha256: Digest) -> Self {
        self.basis.sha256 = Some(sha256);
        self
    }

    /// Rests on this store.
    pub fn in_store(mut self, store: &StoreName) -> Self {
        self.basis.store = Some(store.clone());
        self
    }
}

/// Warnings that say that something could not be looked at. Any other warning says that
/// something is missing.
const LEFT_OPEN: [&str; 14] = [
    "store-unreachable",
    "manifest-unreadable",
    "versions-left-out",
    "chain-gap",
    "rollback",
    "history-rewritten",
    "checkin-unreadable",
    "custody-object-unreadable",
    "drill-unreadable",
    "head-too-far",
    "witness-unreadable",
    "copy-unreadable",
    "lock-unknown",
    "policy-missing",
];

impl Verdict {
    /// The worst of the checks. That none was made is no pass.
    pub fn of(checks: &[Check]) -> Self {
        let any = |outcome| checks.iter().any(|check| check.outcome == outcome);
        if checks.iter().any(|check| check.is_tampering) {
            return Self::Tampering;
        }
        match (any(Outcome::Fail), any(Outcome::Unknown)) {
            (true, _) => Self::Fail,
            (false, true) => Self::Unknown,
            (false, false) if any(Outcome::Pass) => Self::Pass,
            (false, false) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcomes: &[Outcome]) -> Verdict {
        let check = |outcome: &Outcome| Check::new(Rule::Chain, "x", *outcome, "");
        Verdict::of(&outcomes.iter().map(check).collect::<Vec<_>>())
    }

    #[test]
    fn the_worst_check_decides() {
        use Outcome::{Fail, Off, Pass, Unknown, Warn};
        assert_eq!(verdict(&[Pass, Warn, Off]), Verdict::Pass);
        assert_eq!(verdict(&[Pass, Unknown]), Verdict::Unknown);
        assert_eq!(verdict(&[Unknown, Fail]), Verdict::Fail);
        let tampering = [Check::tampering(Rule::Chain, "x", "")];
        assert_eq!(Verdict::of(&tampering), Verdict::Tampering);
    }

    #[test]
    fn nothing_looked_at_is_no_pass() {
        assert_eq!(verdict(&[]), Verdict::Unknown);
        assert_eq!(verdict(&[Outcome::Off, Outcome::Warn]), Verdict::Unknown);
    }
}
