//! What the steps of a drill come to together.

use super::{DrillReport, LevelReached, Outcome, Step};

/// The highest level of proof there is: Databasus itself serves a backup.
pub const HIGHEST_LEVEL: u8 = 5;

/// The highest level such that it and all below it are proven. A level without a step is not.
pub fn reached(steps: &[Step]) -> Option<u8> {
    let is_proven = |level: &u8| {
        let own = steps.iter().filter(|step| step.level == Some(*level));
        let mut outcomes = own.map(|step| step.outcome).peekable();
        outcomes.peek().is_some() && outcomes.all(|outcome| outcome == Outcome::Proven)
    };
    (0..=HIGHEST_LEVEL).take_while(is_proven).last()
}

impl LevelReached {
    /// Whether it came as far as it was to go.
    pub fn is_met(&self) -> bool {
        self.reached.is_some_and(|reached| reached >= self.wanted)
    }
}

impl DrillReport {
    /// What its parts come to: one failure fails all, and nothing is proven while the level that
    /// was wanted is not, or a limit has nothing to be held against.
    pub fn judged(&self) -> Outcome {
        let sentinels = self.subjects.iter().flat_map(|subject| &subject.sentinels);
        let mut outcomes = self
            .steps
            .iter()
            .map(|step| step.outcome)
            .chain(sentinels.map(|sentinel| sentinel.outcome));
        let limits = [self.rto, self.rpo];
        let failed = outcomes.any(|outcome| outcome == Outcome::Failed);
        if failed || self.failure.is_some() || limits.iter().any(|limit| limit.exceeds()) {
            return Outcome::Failed;
        }
        match self.level.is_met() && !limits.iter().any(|limit| limit.is_unknown()) {
            true => Outcome::Proven,
            false => Outcome::Unknown,
        }
    }
}
