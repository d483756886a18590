//! Whose the files of a target are.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;

use crate::postgres::program::User;
use crate::sealing::payload::POSTGRES_OWNER;

/// Whom the images of Databasus and of PostgreSQL run PostgreSQL as.
pub const POSTGRES: User = user(POSTGRES_OWNER);

/// A user by the numbers that the format records.
pub const fn user((uid, gid): (u64, u64)) -> User {
    User {
        uid: uid as u32,
        gid: gid as u32,
    }
}

/// Only root can give files away; anybody else keeps them.
pub fn gives_away() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a file or directory to a user, where this process can.
pub fn give(file: &File, to: User) -> io::Result<()> {
    if !gives_away() {
        return Ok(());
    }
    fchown(file, Some(to.uid), Some(to.gid))
}

/// Creates a file that was not there, for its owner alone.
pub fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}
