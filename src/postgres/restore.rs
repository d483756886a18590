//! Stock `pg_restore`: a logical copy back into a running server.

use std::fs::File;

use super::binaries::PgBinaries;
use super::program::{self, ProgramError, User};
use super::socket::ServerAddress;
use crate::base::cancel::Cancel;

/// All or nothing, everything owned by the superuser who restores: Databasus knows no other
/// role, and a new cluster neither.
const ARGUMENTS: [&str; 5] = [
    "--single-transaction",
    "--no-owner",
    "--no-privileges",
    "--no-tablespaces",
    "--no-password",
];

/// Restores `dump` (`pg_dump -Fc`) into an empty database as superuser `postgres`. The program
/// runs as `user`, the server's own, who needs no right to the file.
pub fn pg_restore(
    binaries: &PgBinaries,
    user: Option<User>,
    server: &ServerAddress,
    database: &str,
    dump: File,
    cancel: &Cancel,
) -> Result<(), ProgramError> {
    let (host, port) = match server {
        ServerAddress::Tcp { host, port, .. } => (host.into(), port),
        ServerAddress::Unix { directory, port } => (directory.clone(), port),
    };
    let mut command = program::command(binaries, "pg_restore", user);
    command
        .arg("--host")
        .arg(&host)
        .arg(format!("--port={port}"))
        .arg("--username=postgres")
        .arg(format!("--dbname={database}"))
        .args(ARGUMENTS)
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(dump);
    program::run(command, is_its_own_word, cancel)
}

/// What PostgreSQL adds to an error (`DETAIL`, `CONTEXT`, the command) quotes rows of tables.
fn is_its_own_word(line: &str) -> bool {
    line.starts_with("pg_restore: ")
}
