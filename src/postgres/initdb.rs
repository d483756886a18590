//! An empty cluster, made and configured as Databasus' start script makes its own.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Dir, FileType, Gid, Mode, OFlags, Uid, fchown, fstat, openat};

use super::binaries::PgBinaries;
use super::program::{self, ProgramError, User};
use crate::base::cancel::{Cancel, Interrupted};
use crate::base::file_error::{FileError, failed};

/// `initdb` as in Databasus' start script, run there by a user `postgres` under the default
/// rules. What it writes is made durable by whoever makes the directory appear.
const ARGUMENTS: [&str; 5] = [
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--username=postgres",
    "--auth=trust",
    "--no-sync",
];

/// What the start script appends to the files of a cluster that it has just made.
const APPENDED: [(&str, &str); 2] = [
    (
        "pg_hba.conf",
        "host all all 127.0.0.1/32 md5\nlocal all all trust\n",
    ),
    (
        "postgresql.conf",
        "port = 5437\nlisten_addresses = 'localhost'\nshared_buffers = 256MB\nmax_connections = 100\n",
    ),
];

/// There is no new cluster.
#[derive(Debug, thiserror::Error)]
pub enum InitdbError {
    /// The program failed.
    #[error(transparent)]
    Program(ProgramError),
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Nobody may run the program.
    #[error(
        "initdb runs neither as root nor as a user that /etc/passwd does not know, and it knows \
         no user nobody; run this as another user"
    )]
    Nobody,
    /// The filesystem said no.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl From<ProgramError> for InitdbError {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::Interrupted(signal) => Self::Interrupted(signal),
            other => Self::Program(other),
        }
    }
}

/// Makes a cluster in `pgdata`, which must not exist. Where this process runs as root the cluster
/// is `owner`'s in the end; on the way it is made by `nobody`, for `initdb` looks its user up.
pub fn initdb(
    binaries: &PgBinaries,
    pgdata: &Path,
    owner: Option<User>,
    cancel: &Cancel,
) -> Result<(), InitdbError> {
    let maker = owner.map(|_| nobody()).transpose()?;
    let mut builder = DirBuilder::new();
    let made = builder.mode(0o700).create(pgdata);
    made.map_err(failed("make", pgdata))?;
    if let Some(maker) = maker {
        give(pgdata, maker)?;
    }
    let mut command = program::command(binaries, "initdb", maker);
    command.arg("--pgdata").arg(pgdata).args(ARGUMENTS);
    program::run(command, |_| true, cancel)?;
    if let Some(owner) = owner {
        give(pgdata, owner)?;
    }
    for (name, lines) in APPENDED {
        append(&pgdata.join(name), lines)?;
    }
    Ok(())
}

fn append(path: &Path, lines: &str) -> Result<(), FileError> {
    let file = OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes()))
        .map_err(failed("append to", path))
}

fn nobody() -> Result<User, InitdbError> {
    let path = Path::new("/etc/passwd");
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    user_in(&text, "nobody").ok_or(InitdbError::Nobody)
}

/// A user in the text of a `passwd` file (passwd(5)), unless it is another name for root.
fn user_in(passwd: &str, name: &str) -> Option<User> {
    let mut users = passwd.lines().map(|line| line.split(':').collect());
    let fields: Vec<&str> = users.find(|fields: &Vec<&str>| fields.first() == Some(&name))?;
    let number = |at: usize| fields.get(at)?.parse().ok();
    let user = User {
        uid: number(2)?,
        gid: number(3)?,
    };
    (user.uid != 0).then_some(user)
}

fn give(tree: &Path, to: User) -> Result<(), FileError> {
    let root = File::open(tree).map_err(failed("open", tree))?;
    let given = give_tree(OwnedFd::from(root), to);
    given.map_err(|error| failed("give away", tree)(error.into()))
}

/// Gives a tree of directories and files away. It goes from descriptor to descriptor and follows
/// no link: other processes of the tree's first owner could put one into root's way.
fn give_tree(directory: OwnedFd, to: User) -> rustix::io::Result<()> {
    let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let hand_over = |file: &OwnedFd| {
        fchown(
            file,
            Some(Uid::from_raw(to.uid)),
            Some(Gid::from_raw(to.gid)),
        )
    };
    hand_over(&directory)?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let child = openat(&directory, entry.file_name(), open, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&child)?.st_mode) {
            FileType::Directory => give_tree(child, to)?,
            FileType::RegularFile => hand_over(&child)?,
            _ => return Err(rustix::io::Errno::INVAL),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        nobodyelse:x:7:7::/:/bin/false\n\
        # comment\n\
        nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
        toor:x:0:0::/root:/bin/sh\n\
        short:x:1\n";

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let nobody = User {
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(user_in(PASSWD, "nobody"), Some(nobody));
        for name in ["nob", "toor", "short", "ghost", ""] {
            assert_eq!(user_in(PASSWD, name), None, "{name}");
        }
    }

    fn me() -> User {
        User {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    #[test]
    fn a_whole_tree_is_given_away() {
        let tree = tempfile::tempdir().unwrap();
        let deep = tree.path().join("base/1");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("1259"), "x").unwrap();
        let root = rustix::process::geteuid().is_root();
        let to = if root {
            User { uid: 999, gid: 998 }
        } else {
            me()
        };
        give(tree.path(), to).unwrap();
        for path in [tree.path(), deep.as_path(), &deep.join("1259")] {
            let metadata = fs::metadata(path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (to.uid, to.gid));
        }
    }

    #[test]
    fn a_link_in_the_tree_is_neither_followed_nor_given_away() {
        let (tree, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(elsewhere.path(), tree.path().join("pg_wal")).unwrap();
        assert!(give(tree.path(), me()).is_err());
    }
}
