//! What a proof came to: levels, with what was tried at each.

use serde::Serialize;

use crate::model::finding::Finding;
use crate::model::proof::{Level, Outcome, ProofRecord, Tally};

/// Details that a finding repeats.
const MOST_DETAILS: usize = 5;

/// The levels that were tried, from 0.
#[derive(Clone, Debug)]
pub struct Report {
    wanted: Level,
    levels: Vec<LevelReport>,
    server: Server,
}

/// Whether there was a server to be asked. A copy without one is somebody's choice, of which they
/// need not be told every night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Asked,
    Absent,
}

/// One level. It names databases and storages: nothing of it but the numbers may stand in the
/// open.
#[derive(Clone, Debug)]
pub struct LevelReport {
    /// Which.
    pub level: Level,
    /// How much was tried.
    pub tally: Tally,
    /// What failed, and what could not be tried.
    pub details: Vec<Detail>,
    /// What all of it says of the key.
    pub conclusion: Option<String>,
}

/// Something that is not proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Failed or unknown.
    pub outcome: Outcome,
    /// What it is and why, printable.
    pub message: String,
}

impl Report {
    pub(super) fn new(wanted: Level, key_id: Outcome) -> Self {
        let mut level = LevelReport::new(Level::KeyId);
        level.tally.count(key_id);
        if key_id == Outcome::Failed {
            level.conclude("secret.key is not the key that the manifest names");
        }
        Self {
            wanted,
            levels: vec![level],
            server: Server::Asked,
        }
    }

    pub(super) fn push(&mut self, level: LevelReport) {
        self.levels.push(level);
    }

    /// Makes every wanted level above 0 unknown.
    pub(super) fn without_server(&mut self) {
        self.server = Server::Absent;
        self.give_up("no server answers for the metadata database");
    }

    /// Makes every wanted level that was not tried unknown.
    pub(super) fn give_up(&mut self, why: &str) {
        for level in Level::ALL.into_iter().skip(self.levels.len()) {
            if level <= self.wanted {
                let mut unknown = LevelReport::new(level);
                unknown.tally.unknown = 1;
                unknown.say(Outcome::Unknown, why.to_owned());
                self.levels.push(unknown);
            }
        }
    }

    /// The levels that were tried, from 0 to the wanted one.
    pub fn levels(&self) -> &[LevelReport] {
        &self.levels
    }

    /// What a level came to; none where it was not wanted.
    pub fn outcome(&self, level: Level) -> Option<Outcome> {
        let mut levels = self.levels.iter();
        let found = levels.find(|one| one.level == level)?;
        Some(found.tally.outcome())
    }

    /// What a manifest says of it: numbers alone.
    pub fn record(&self) -> ProofRecord {
        let levels = self.levels.iter().map(|one| (one.level, one.tally));
        ProofRecord::new(self.wanted, &levels.collect::<Vec<_>>())
    }

    /// The sentence of the lowest level that is not proven; empty where all are.
    pub fn what_stands_in_the_way(&self) -> String {
        let mut levels = self.levels.iter();
        let first = levels.find(|level| level.tally.outcome() != Outcome::Proven);
        first.map(LevelReport::sentence).unwrap_or_default()
    }

    /// A warning for each level that failed (at level 0 a violation: the key is not the one that a
    /// signer named), and a note for the lowest that could not be told:
    /// nothing above it counts. They hold names.
    pub fn findings(&self) -> Vec<Finding> {
        let with = |outcome: Outcome| {
            let levels = self.levels.iter();
            levels.filter(move |level| level.tally.outcome() == outcome)
        };
        let failed = with(Outcome::Failed).map(|level| match level.level {
            Level::KeyId => Finding::violation("secret-key-mismatch", level.sentence()),
            _ => Finding::warning("proof-failed", level.sentence()),
        });
        let unknown = with(Outcome::Unknown)
            .filter(|_| self.server == Server::Asked)
            .take(1)
            .map(|level| Finding::note("proof-unknown", level.sentence()));
        failed.chain(unknown).collect()
    }
}

impl LevelReport {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            tally: Tally::default(),
            details: Vec::new(),
            conclusion: None,
        }
    }

    /// Adds a detail that is counted by the caller.
    pub(super) fn say(&mut self, outcome: Outcome, message: String) {
        self.details.push(Detail { outcome, message });
    }

    /// Counts a thing, and says why it is not proven.
    pub(super) fn count(&mut self, outcome: Outcome, message: impl FnOnce() -> String) {
        self.tally.count(outcome);
        if outcome != Outcome::Proven {
            self.say(outcome, message());
        }
    }

    pub(super) fn conclude(&mut self, conclusion: impl Into<String>) {
        self.conclusion = Some(conclusion.into());
    }

    /// `level 2 failed: CONCLUSION; DETAIL; DETAIL`, failures first.
    pub fn sentence(&self) -> String {
        let outcome = self.tally.outcome();
        let verdict = match outcome {
            Outcome::Proven => "is proven",
            Outcome::Failed => "failed",
            Outcome::Unknown => "could not be told",
        };
        let failed = |detail: &&Detail| detail.outcome == Outcome::Failed;
        let failures = self.details.iter().filter(failed);
        let others = self.details.iter().filter(|detail| !failed(detail));
        let mut reasons: Vec<&str> = self.conclusion.as_deref().into_iter().collect();
        let details = failures.chain(others).map(|detail| detail.message.as_str());
        reasons.extend(details.take(MOST_DETAILS));
        let more = self.details.len().saturating_sub(MOST_DETAILS);
        let mut sentence = format!("proof level {} {verdict}", self.level);
        if !reasons.is_empty() {
            sentence = format!("{sentence}: {}", reasons.join("; "));
        }
        if more > 0 {
            sentence = format!("{sentence}; and {more} more");
        }
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(details: usize) -> LevelReport {
        let mut level = LevelReport::new(Level::FirstChunks);
        level.count(Outcome::Unknown, || "unknown".to_owned());
        for number in 0..details {
            level.count(Outcome::Failed, || format!("failed {number}"));
        }
        level
    }

    #[test]
    fn failures_are_told_first_and_not_all_of_them() {
        let mut level = failed(1);
        level.conclude("it is another key");
        assert_eq!(
            level.sentence(),
            "proof level 2 failed: it is another key; failed 0; unknown"
        );
        assert!(failed(9).sentence().ends_with("failed 4; and 5 more"));
    }

    #[test]
    fn what_was_not_tried_is_unknown_and_no_warning() {
        let mut report = Report::new(Level::FirstChunks, Outcome::Proven);
        report.give_up("no server answers");
        let record = report.record();
        assert_eq!((record.reached, record.levels.len()), (Some(0), 3));
        let ids: Vec<_> = report.findings().iter().map(|found| found.id).collect();
        assert_eq!(ids, ["proof-unknown"]);
    }

    #[test]
    fn a_key_that_the_manifest_does_not_name_is_a_violation() {
        let report = Report::new(Level::KeyId, Outcome::Failed);
        let ids: Vec<_> = report.findings().iter().map(|found| found.id).collect();
        assert_eq!(ids, ["secret-key-mismatch"]);
    }

    #[test]
    fn a_copy_without_a_server_is_on_record_and_not_told_every_night() {
        let mut report = Report::new(Level::FirstChunks, Outcome::Proven);
        report.without_server();
        assert_eq!(report.findings(), []);
        assert_eq!(report.outcome(Level::Fields), Some(Outcome::Unknown));
    }

    #[test]
    fn the_record_holds_no_names() {
        let mut report = Report::new(Level::FirstChunks, Outcome::Proven);
        report.push(failed(1));
        let json = serde_json::to_string(&report.record()).unwrap();
        assert!(!json.contains("failed 0"), "{json}");
        assert!(report.record().has_failed());
    }
}
