//! An audit that was made, for whoever shows it: the document that `audit --json` prints.

use serde::Serialize;

use super::check::{Check, Verdict};
use super::facts::{ChainFacts, Facts, Scope, Seen};
use super::judge::judge;
use super::policy::AuditPolicy;
use crate::base::digest::Digest;
use crate::base::names::Slug;
use crate::base::time::UtcTime;
use crate::model::manifest::Tool;
use crate::model::mark::Mark;

/// The format of the document. A later version that takes something away or changes a meaning
/// has another one.
pub const FORMAT: &str = "databasus-escrow-audit/1";

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The program that audited.
    pub tool: Tool,
    /// Whose escrows.
    pub instance: Slug,
    /// How far it was to look.
    pub scope: Scope,
    /// When it looked.
    pub audited_at: UtcTime,
    /// Digest of the policy file.
    pub policy_sha256: Digest,
    /// The newest manifest that was known before; null at first contact.
    pub known_before: Option<Mark>,
    /// The newest manifest; null where there is none.
    pub head: Option<Mark>,
    /// What the checks come to.
    pub verdict: Verdict,
    /// Each demand, and what became of it.
    pub checks: Vec<Check>,
}

impl Report {
    /// Judges what was seen.
    pub fn of(instance: &Slug, policy: &AuditPolicy, policy_sha256: Digest, facts: &Facts) -> Self {
        let checks = judge(policy, facts);
        let chain = match &facts.chain {
            Seen::Known(chain) => Some(chain),
            Seen::Unknown(_) => None,
        };
        Self {
            format: FORMAT,
            tool: Tool::this(),
            instance: instance.clone(),
            scope: facts.scope,
            audited_at: facts.now,
            policy_sha256,
            known_before: chain.and_then(|chain| chain.mark),
            head: chain.and_then(ChainFacts::head_mark),
            verdict: Verdict::of(&checks),
            checks,
        }
    }
}

impl ChainFacts {
    fn head_mark(&self) -> Option<Mark> {
        self.head.as_ref().map(|head| head.mark)
    }
}
