//! Backup chains: which of the objects in a storage reach a point in time, with no catalogue at
//! all (DATABASUS.md §3.6).
//!
//! Nothing here reads a storage. What is known of each object comes in as a fact, and what comes
//! out is a chain, its window, its gaps, or the plan that reaches a target.

pub mod facts;
pub mod plan;
