//! Backup chains: which of the objects in a storage reach a point in time, with no catalogue at
//! all (DATABASUS.md §3.6).
//!
//! Nothing here reads a storage. What is known of each object comes in as a fact, and what comes
//! out is a chain, its window, its gaps, or the plan that reaches a target.

pub mod chain;
mod choose;
pub mod cluster;
pub mod facts;
mod family;
pub mod log;
pub mod loose;
mod path;
pub mod plan;
mod reach;
pub mod unreachable;
pub mod which;

pub use choose::plan;
pub use family::Obstacle;
pub use reach::Moment;

#[cfg(test)]
mod tests;
