//! An audit, as far as it is thought: what a policy demands, what was seen, and what follows.
//!
//! No I/O and no clock: `ops::audit` looks, and gives [`facts::Facts`] in.

pub mod check;
pub mod facts;
pub mod judge;
pub mod policy;
mod rules;
pub mod span;

#[cfg(test)]
mod tests;
//! What an audit and a drill demand.

pub mod drill_demands;
