//! An audit, as far as it is thought: what a policy demands, what was seen, and what follows.
//!
//! No I/O and no clock: `ops::audit` looks, and gives [`facts::Facts`] in.

pub mod check;
pub mod controls;
pub mod drill_demands;
pub mod facts;
pub mod judge;
pub mod past;
pub mod policy;
pub mod report;
mod rules;
pub mod span;

#[cfg(test)]
mod tests;
