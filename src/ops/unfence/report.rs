//! What an unfence did.

use crate::databasus::fence::side_schema::FenceRecord;

use super::held_back::{Decision, Preview};
use super::leftover::{Leftover, SetAside};
use super::production::Evidence;

/// A finished unfence, or what one would do.
pub struct UnfenceReport {
    /// The fence that it was.
    pub record: FenceRecord,
    /// What was looked at for signs of life, and what it said.
    pub evidence: Vec<Evidence>,
    /// What the fresh import did; none where there was none.
    pub import: Option<String>,
    /// Values given back.
    pub cells: u64,
    /// Links to notifiers given back.
    pub links: u64,
    /// Rows that never come back: work in progress when the copy was taken, ghosts.
    pub work_in_progress: Vec<SetAside>,
    /// What was not given back, and why.
    pub leftover: Vec<Leftover>,
    /// What retention would delete at the first tick, by database.
    pub retention: Vec<Preview>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl UnfenceReport {
    /// Whether everything is as it was, so that nobody has to look after it.
    pub fn is_whole(&self) -> bool {
        let held_back = |preview: &Preview| preview.decision == Decision::HeldBack;
        self.leftover.is_empty() && !self.retention.iter().any(held_back)
    }
}
