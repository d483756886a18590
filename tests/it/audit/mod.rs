//! `audit` and `policy` as people, cron and monitoring meet them.

mod backups;
mod command;
#[cfg(feature = "s3")]
mod locked;
mod policies;
mod thousand;
