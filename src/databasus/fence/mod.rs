//! The fence: what keeps a rehydrated Databasus from touching production.
//!
//! Rules as data ([`rules`], [`credentials`]), applied by what a schema has and not by what a
//! release should have; the tasks of Databasus that they stop ([`task`]); what no rule covers
//! ([`unknown`]); and the side schema that keeps every original ([`side_schema`]). All of it
//! rests on DATABASUS.md §5.

pub mod credentials;
pub mod marker;
pub mod rules;
pub mod side_schema;
pub mod statements;
pub mod task;
pub mod unknown;

/// What hosts are set to: a name that RFC 2606 keeps from ever resolving.
pub const FENCED_HOST: &str = "fenced.invalid";
