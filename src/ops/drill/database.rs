//! A database out of its newest dump, into a server that nobody else reaches.

use std::fs::File;
use std::path::Path;

use crate::base::file_error::failed;
use crate::databasus::newest_dumps::NewestDump;
use crate::databasus::objects::content::Content;
use crate::databasus::objects::name::ObjectName;
use crate::ops::recover::find::{Wanted, find};
use crate::ops::recover::{self, OpenBackup, Recovered, Unrecognised};
use crate::postgres::binaries::{Launcher, PgBinaries};
use crate::postgres::initdb::initdb;
use crate::postgres::private_server::PrivateServer;
use crate::postgres::restore::pg_restore;
use crate::target::access::free_room;
use crate::target::ownership::{POSTGRES, gives_away, new_file};

use super::throwaway::{LetThrough, Passing};
use super::trouble::Trouble;
use super::work::Work;

/// What the database is called in its private server.
pub(super) const RESTORED: &str = "restored";

/// A dump that was fetched whole.
pub(super) struct Dump {
    file: Passing,
    /// The oldest major that it can be restored into.
    major: u32,
    pub(super) recovered: Recovered,
}

/// A database that came back.
pub(super) struct Restored {
    // The server ends before its folder goes.
    pub(super) server: PrivateServer,
    _folder: Passing,
}

/// Opens the dump of a database called `name`.
pub(super) fn open(work: &Work<'_>, name: &str, dump: &NewestDump) -> Result<OpenBackup, Trouble> {
    let store = work.opened.get(dump.storage);
    let store = store.ok_or_else(|| Trouble::Storage(name.to_owned()))?;
    let wanted = ObjectName::parse(&dump.object).map(Wanted::Name);
    let wanted = wanted.ok_or_else(|| Trouble::Name(dump.object.clone()))?;
    let target = find(store.as_ref(), &wanted, work.cancel, &mut |_| {})?;
    Ok(recover::open(
        &store,
        &target,
        &work.keys,
        Unrecognised::Refuse,
        work.threads,
    )?)
}

/// Fetches the dump of a database called `name`, every byte authenticated where it is encrypted.
pub(super) fn fetch(work: &Work<'_>, name: &str, dump: &NewestDump) -> Result<Dump, Trouble> {
    let backup = open(work, name, dump)?;
    let major = major_of(name, &backup)?;
    check_room(work.place, backup.size, dump.raw_size)?;
    let file = Passing(work.place.join("dump"));
    let mut out = new_file(&file.0).map_err(failed("write", &file.0))?;
    let recovered = backup.copy_to(&mut out, work.cancel, &|_| {})?;
    Ok(Dump {
        file,
        major,
        recovered,
    })
}

/// A dump goes into a server that is no older than the one that it is of, nor than its `pg_dump`.
fn major_of(name: &str, backup: &OpenBackup) -> Result<u32, Trouble> {
    let not_a_dump = || Trouble::NotADump {
        name: name.to_owned(),
        what: backup.content.words(),
    };
    let Content::PgDump(header) = &backup.content else {
        return Err(not_a_dump());
    };
    let major = |version: &str| {
        let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u32>().ok()
    };
    let versions = [&header.server_version, &header.dump_version];
    let majors = versions.into_iter().filter_map(|version| major(version));
    majors.max().ok_or_else(not_a_dump)
}

/// The dump is compressed, so its rows take at least as much again.
fn check_room(place: &Path, dump: u64, raw: Option<u64>) -> Result<(), Trouble> {
    let needed = dump.saturating_add(raw.unwrap_or(dump).max(dump));
    let free = free_room(place)?;
    match needed > free {
        true => Err(Trouble::Room { free, needed }),
        false => Ok(()),
    }
}

/// Restores it into a new cluster.
pub(super) fn restore(work: &Work<'_>, dump: &Dump) -> Result<Restored, Trouble> {
    let launcher = work.programs.at_least(dump.major);
    let launcher = launcher.map_err(Trouble::NoPrograms)?;
    let binaries = local(&launcher)?;
    let folder = Passing(work.place.join("restored"));
    let owner = gives_away().then_some(POSTGRES);
    let opened = LetThrough::into(work.place)?;
    initdb(binaries, &folder.0, owner, work.cancel)?;
    drop(opened);
    let server = PrivateServer::start(&launcher, &folder.0, work.cancel)?;
    let mut session = server.connect("postgres")?;
    session.simple_query(&format!("CREATE DATABASE {RESTORED}"))?;
    drop(session);
    let file = File::open(&dump.file.0).map_err(failed("open", &dump.file.0))?;
    let address = server.address();
    pg_restore(binaries, owner, &address, RESTORED, file, work.cancel)?;
    Ok(Restored {
        server,
        _folder: folder,
    })
}

/// `pg_restore` and the server have to see each other.
fn local(launcher: &Launcher) -> Result<&PgBinaries, Trouble> {
    match launcher {
        Launcher::Local(binaries) => Ok(binaries),
        Launcher::Docker { .. } => Err(Trouble::NoPrograms(
            "a dump is restored with PostgreSQL's programs on this host, not with an image's"
                .to_owned(),
        )),
    }
}
