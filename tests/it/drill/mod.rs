//! Drills from the command line to the report in the store: a real PostgreSQL, a real bucket, what
//! running instances left.

mod application;
mod bed;
mod failed;
mod proven;
mod refused;
