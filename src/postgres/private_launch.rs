//! How a private server is launched: as whom, with which folder and which arguments, on this
//! host or in a container.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::binaries::{Docker, Launcher};
use super::container::{self, Confined};
use super::log_tail::LogTail;
use super::program::User;
use crate::base::file_error::{FileError, failed};

/// Where the directories lie inside a container.
const CONTAINER_PGDATA: &str = "/escrow/pgdata";
const CONTAINER_RUN: &str = "/escrow/run";
const CONTAINER_WAL: &str = "/escrow/wal";

/// A server could not be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// PostgreSQL refuses to run as root, and on a directory that its user does not own.
    #[error("{pgdata} belongs to user {uid}, so PostgreSQL cannot run on it")]
    Owner {
        /// The directory.
        pgdata: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Something around the server could not be prepared.
    #[error(transparent)]
    Prepare(#[from] FileError),
}

impl LaunchError {
    pub(super) fn prepare(action: &'static str, path: &Path, source: io::Error) -> Self {
        failed(action, path)(source).into()
    }
}

/// Whom the server runs as.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The owner of a data directory, if this process may run a server as such.
    pub(super) fn of(pgdata: &Path) -> Result<Self, LaunchError> {
        let metadata = fs::metadata(pgdata).map_err(|e| LaunchError::prepare("open", pgdata, e))?;
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let me = rustix::process::geteuid();
        if uid == 0 || (!me.is_root() && me.as_raw() != uid) {
            let pgdata = pgdata.to_owned();
            return Err(LaunchError::Owner { pgdata, uid });
        }
        Ok(Self { uid, gid })
    }

    /// Makes an empty file that tells the server something.
    pub(super) fn signal(self, path: &Path) -> Result<(), LaunchError> {
        fs::write(path, "").map_err(|e| LaunchError::prepare("write", path, e))?;
        give(path, self)
    }
}

/// A folder that only the server's user may enter, with the three files of settings that the
/// server reads instead of the directory's own.
pub(super) fn runtime_folder(
    scratch: &Path,
    owner: Owner,
) -> Result<tempfile::TempDir, LaunchError> {
    let folder = tempfile::Builder::new()
        .prefix("escrow-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(scratch)
        .map_err(|e| LaunchError::prepare("make a folder in", scratch, e))?;
    let files = [
        ("postgresql.conf", ""),
        ("pg_hba.conf", "local all all trust\n"),
        ("pg_ident.conf", ""),
    ];
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::write(&path, text).map_err(|e| LaunchError::prepare("write", &path, e))?;
        give(&path, owner)?;
    }
    give(folder.path(), owner)?;
    Ok(folder)
}

fn give(path: &Path, owner: Owner) -> Result<(), LaunchError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))
        .map_err(|e| LaunchError::prepare("give away", path, e))
}

/// Where a server works.
pub(super) struct Place<'a> {
    pub(super) pgdata: &'a Path,
    /// The folder that [`runtime_folder`] made.
    pub(super) run: &'a Path,
    /// The folder beside the data directory that WAL comes from (`wal_spool`), where it does.
    pub(super) wal: Option<&'a Path>,
    pub(super) owner: Owner,
}

/// A server that has been launched, ready or not.
pub(super) struct Launched {
    /// The postmaster, or the docker client in front of it.
    pub(super) child: Child,
    pub(super) log: LogTail,
    /// The container to remove afterwards.
    pub(super) container: Option<(Docker, String)>,
}

impl Place<'_> {
    /// Launches a server with `settings` (`name=value`).
    pub(super) fn launch(
        &self,
        launcher: &Launcher,
        settings: &[String],
    ) -> Result<Launched, LaunchError> {
        let (mut command, container) = match launcher {
            Launcher::Local(binaries) => {
                (self.local(&binaries.program("postgres"), settings), None)
            }
            Launcher::Docker {
                docker,
                image,
                major,
            } => self.in_container(docker, image, *major, settings),
        };
        let (child, log) = spawn(&mut command)?;
        Ok(Launched {
            child,
            log,
            container,
        })
    }

    fn in_container(
        &self,
        docker: &Docker,
        image: &str,
        major: u32,
        settings: &[String],
    ) -> (Command, Option<(Docker, String)>) {
        let name = container_name(self.run);
        let Owner { uid, gid } = self.owner;
        let mut mounts = vec![(self.pgdata, CONTAINER_PGDATA), (self.run, CONTAINER_RUN)];
        mounts.extend(self.wal.map(|wal| (wal, CONTAINER_WAL)));
        let confined = Confined {
            name: &name,
            user: User { uid, gid },
            mounts: &mounts,
            within: CONTAINER_RUN,
        };
        let mut command = container::command(docker, image, major, "postgres", &confined);
        let (pgdata, run) = (Path::new(CONTAINER_PGDATA), Path::new(CONTAINER_RUN));
        command.args(arguments(pgdata, run, settings));
        (command, Some((docker.clone(), name)))
    }

    fn local(&self, postgres: &Path, settings: &[String]) -> Command {
        let mut command = Command::new(postgres);
        command.env_clear().env("LC_ALL", "C").current_dir(self.run);
        if rustix::process::geteuid().is_root() {
            command.uid(self.owner.uid).gid(self.owner.gid);
        }
        command.args(arguments(self.pgdata, self.run, settings));
        command
    }
}

/// Unique on the host, as the folder is.
fn container_name(run: &Path) -> String {
    let folder = run.file_name().unwrap_or_default().to_string_lossy();
    format!("databasus-{folder}")
}

fn arguments(pgdata: &Path, run: &Path, settings: &[String]) -> Vec<String> {
    let (pgdata, run) = (pgdata.display(), run.display());
    let mut arguments = vec!["-D".to_owned(), pgdata.to_string()];
    let places = [
        format!("data_directory={pgdata}"),
        format!("config_file={run}/postgresql.conf"),
        format!("hba_file={run}/pg_hba.conf"),
        format!("ident_file={run}/pg_ident.conf"),
        // A list, in which quotes keep a comma or a blank.
        format!("unix_socket_directories=\"{run}\""),
    ];
    for setting in places.iter().chain(settings) {
        arguments.extend(["-c".to_owned(), setting.clone()]);
    }
    arguments
}

fn spawn(command: &mut Command) -> Result<(Child, LogTail), LaunchError> {
    let program = PathBuf::from(command.get_program());
    let failed = |source| LaunchError::prepare("run", &program, source);
    let (log, writer) = LogTail::new().map_err(failed)?;
    let errors = writer.try_clone().map_err(failed)?;
    // A terminal's interrupt is for this process, which then stops the server in its own time.
    command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .process_group(0);
    let child = command.spawn();
    // The command owns ends of the pipe: while it lives, the log has no end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((child.map_err(failed)?, log))
}
