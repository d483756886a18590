//! Imports of what running instances and composed cases have in their buckets.

mod bed;
mod command;
mod composed;
mod hostile;
mod physical;
mod real;
mod wal_v1;
