//! Custody in use: opening together, proving who still can, and who joins and leaves.

pub mod challenge;
pub mod change;
pub mod checkin;
pub mod exposure;
pub mod signed_object;
pub mod status;
pub mod step;
pub mod stored_checkins;
pub mod submission;
pub mod unlock;
