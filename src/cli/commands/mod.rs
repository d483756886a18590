//! One file per command: arguments to ports, the job, its report.

pub(super) mod audit;
pub(super) mod card;
pub(super) mod close_fork;
pub(super) mod custody;
pub(super) mod doctor;
pub(super) mod drill;
mod fenced;
mod findings;
pub(super) mod import;
pub(super) mod init;
pub(super) mod key;
pub(super) mod list;
pub(super) mod manual;
pub(super) mod pitr;
pub(super) mod policy;
pub(super) mod prune;
pub(super) mod recover;
pub(super) mod rehydrate;
pub(super) mod rekey;
pub(super) mod replicate;
pub(super) mod show;
pub(super) mod snapshot;
pub(super) mod unfence;
pub(super) mod verify;
