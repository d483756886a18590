//! What an audit and a drill demand.

pub mod drill_demands;
