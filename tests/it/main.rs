//! Every integration test, in one binary.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "tests fail by panicking, say why they skip, and document themselves by name"
)]

mod age_interop;
mod attacks;
mod audit;
mod backup_file;
mod cli;
mod close_fork;
mod cold_source;
mod crash_sweep;
mod custody;
#[cfg(feature = "s3")]
mod drill;
mod fence;
mod fetching;
mod floors;
mod format_vectors;
mod from_key;
mod import;
mod init;
mod online;
mod pitr;
mod private_server;
mod proof;
mod prune;
mod races;
mod recover;
mod rehydrate;
mod rekey;
mod replicate;
mod restore_md;
mod risks;
mod runbooks;
mod ssh_interop;
mod store_contract;
mod store_dir;
#[cfg(feature = "s3")]
mod store_s3;
mod store_versions;
mod support;
mod unfence;
