//! The fence on a real PostgreSQL, with the metadata of running and of composed instances.

mod applied;
pub mod bed;
mod marker;
mod refused;
mod structural;
