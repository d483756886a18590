//! Custody in use: opening together, proving who still can, and who joins and leaves.

mod signed_object;
pub mod step;
pub mod unlock;
