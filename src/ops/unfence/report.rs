//! What an unfence did.

use crate::databasus::fence::side_schema::FenceRecord;

use super::Imported;
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
    pub import: Option<Imported>,
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
        let imported = self.import.as_ref().is_none_or(|import| import.is_whole);
        imported && self.leftover.is_empty() && self.held_back().next().is_none()
    }

    /// Databases that are spared what retention would delete.
    pub fn held_back(&self) -> impl Iterator<Item = &Preview> {
        let previews = self.retention.iter();
        previews.filter(|preview| preview.decision == Decision::HeldBack)
    }
}
