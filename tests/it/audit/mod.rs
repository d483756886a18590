//! `audit` and `policy` as people, cron and monitoring meet them.

mod backups;
mod by_hand;
mod command;
mod head;
mod html;
#[cfg(feature = "s3")]
mod locked;
mod outputs;
mod policies;
mod thousand;
