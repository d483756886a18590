//! Backups straight from their storage: what Databasus wrote, what it never finished, and what
//! somebody has damaged since.

pub mod bed;
mod escrowed;
mod fixtures;
mod lists;
mod outputs;
mod refused;
#[cfg(feature = "s3")]
mod s3;
