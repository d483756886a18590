//! A new cluster from the logical copy, for another PostgreSQL major or a damaged `pgdata`.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::base::cancel::Cancel;
use crate::base::file_error::failed;
use crate::model::manifest::Manifest;
use crate::postgres::binaries::{Launcher, PgBinaries};
use crate::postgres::initdb::initdb;
use crate::postgres::private_server::PrivateServer;
use crate::postgres::restore::pg_restore;

use super::preflight::{major_of, programs};
use super::recover::{DATABASE, RecoverError};
use super::write::DUMP_FILE;
use super::{Proof, RehydrateError};
use crate::target::ownership::{POSTGRES, gives_away};

/// Builds `pgdata` below `data_dir` from the logical copy, which is gone afterwards, and leaves
/// a server running on it.
pub(super) fn rebuild(
    launcher: &Launcher,
    data_dir: &Path,
    manifest: &Manifest,
    cancel: &Cancel,
) -> Result<(PrivateServer, Proof), RehydrateError> {
    let dump_path = data_dir.join(DUMP_FILE);
    let dump = open_dump(&dump_path)?;
    let binaries = programs(launcher)?;
    let pgdata = data_dir.join("pgdata");
    let owner = gives_away().then_some(POSTGRES);
    initdb(binaries, &pgdata, owner, cancel).map_err(RecoverError::from)?;
    let server = PrivateServer::start(launcher, &pgdata, cancel).map_err(RecoverError::from)?;
    create_database(&server)?;
    pg_restore(binaries, owner, &server.address(), DATABASE, dump, cancel)
        .map_err(RecoverError::from)?;
    fs::remove_file(&dump_path).map_err(failed("remove", &dump_path))?;
    let proof = Proof::proven("logical copy", restored(binaries, manifest));
    Ok((server, proof))
}

fn restored(binaries: &PgBinaries, manifest: &Manifest) -> String {
    let mut detail = format!(
        "restored into a new cluster of PostgreSQL {}",
        binaries.version
    );
    if binaries.major() != major_of(&manifest.source.pg_version) {
        detail.push_str(&format!(
            "; the image of the escrow's time has {}, which cannot run it",
            manifest.source.pg_version
        ));
    }
    detail
}

fn open_dump(path: &Path) -> Result<File, RehydrateError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RehydrateError::NoLogicalCopy,
        _ => failed("open", path)(error).into(),
    })
}

fn create_database(server: &PrivateServer) -> Result<(), RecoverError> {
    let mut session = server.connect("postgres")?;
    session.simple_query(&format!("CREATE DATABASE {DATABASE}"))?;
    Ok(())
}
