//! What a drill did, step by step, with how long each step took by a clock that nobody sets.

use std::time::{Duration, Instant};

use crate::base::error_chain::error_chain;
use crate::base::text::printable;
use crate::model::drill::{Outcome, Step};

use super::trouble::Trouble;
use super::verdict::Verdict;

/// A step, and what is told of it here and not in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the report has it.
    pub step: Step,
    /// Figures and reasons with names in them, printable; empty where there are none.
    pub words: String,
    /// How bad it is.
    pub verdict: Verdict,
}

/// The steps of a drill.
pub(super) struct Journal<'a> {
    began: Instant,
    entries: Vec<Entry>,
    all_back: Option<u64>,
    on_step: &'a dyn Fn(&'static str),
}

impl<'a> Journal<'a> {
    /// Begins now.
    pub(super) fn begin(on_step: &'a dyn Fn(&'static str)) -> Self {
        Self {
            began: Instant::now(),
            entries: Vec::new(),
            all_back: None,
            on_step,
        }
    }

    /// Does a step, and notes how it ended; none where it did not end well.
    pub(super) fn time<T>(
        &mut self,
        name: &'static str,
        subject: Option<&str>,
        level: Option<u8>,
        work: impl FnOnce() -> Result<T, Trouble>,
    ) -> Option<T> {
        (self.on_step)(name);
        let began = Instant::now();
        let ended = work();
        let step = Step {
            name: name.to_owned(),
            subject: subject.map(str::to_owned),
            level,
            outcome: Outcome::Proven,
            seconds: Some(seconds(began.elapsed())),
            detail: String::new(),
        };
        match ended {
            Ok(made) => {
                self.note(step, "", Verdict::Fine);
                Some(made)
            }
            Err(trouble) => {
                let step = Step {
                    outcome: trouble.outcome(),
                    detail: trouble.sentence().to_owned(),
                    ..step
                };
                self.note(step, &error_chain(&trouble), trouble.verdict());
                None
            }
        }
    }

    /// Adds a step that was part of another.
    pub(super) fn note(&mut self, step: Step, words: &str, verdict: Verdict) {
        self.entries.push(Entry {
            step,
            words: printable(words).into_owned(),
            verdict,
        });
    }

    /// Adds to what is told here of the last step.
    pub(super) fn say(&mut self, words: &str) {
        if let Some(last) = self.entries.last_mut() {
            last.words = printable(words).into_owned();
        }
    }

    /// Notes that a step cannot be done, for another did not end well.
    pub(super) fn leave_out(&mut self, name: &str, subject: Option<&str>, level: u8, why: &str) {
        let step = Step {
            name: name.to_owned(),
            subject: subject.map(str::to_owned),
            level: Some(level),
            outcome: Outcome::NotDone,
            seconds: None,
            detail: why.to_owned(),
        };
        self.note(step, "", Verdict::Unknown);
    }

    /// Notes that everything is back that is going to be.
    pub(super) fn all_back(&mut self) {
        self.all_back = Some(seconds(self.began.elapsed()));
    }

    /// Seconds from the beginning until everything was back.
    pub(super) fn until_all_back(&self) -> u64 {
        let so_far = || seconds(self.began.elapsed());
        self.all_back.unwrap_or_else(so_far)
    }

    /// So far.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All of them.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The steps as the report has them.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.entries
            .iter()
            .map(|entry| entry.step.clone())
            .collect()
    }
}

/// Rounded up: a drill never claims to have been faster than it was.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_nanos(1)), 1);
        assert_eq!(seconds(Duration::from_millis(2_001)), 3);
    }

    #[test]
    fn a_step_that_ends_badly_is_noted_with_a_sentence_and_told_with_names() {
        let mut journal = Journal::begin(&|_| {});
        let done = journal.time("fetch", Some("orders"), Some(4), || {
            Err::<(), _>(Trouble::NoDump("shop".to_owned()))
        });
        assert_eq!(done, None);
        let [entry] = journal.entries() else {
            panic!("{:?}", journal.entries());
        };
        assert_eq!(entry.step.outcome, Outcome::Failed);
        assert!(!entry.step.detail.contains("shop"), "{entry:?}");
        assert!(entry.words.contains("shop"), "{entry:?}");
    }
}
