//! `audit` and `policy` as people, cron and monitoring meet them.

mod command;
mod html;
#[cfg(feature = "s3")]
mod locked;
mod policies;
mod thousand;
