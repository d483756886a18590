//! `pitr restore`, from the command line to a directory that a server starts on.

mod bed;
mod chains;
mod damaged;
mod fixtures;
mod killed;
mod refused;
mod unreachable;
