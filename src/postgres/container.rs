//! One of PostgreSQL's programs in a container of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use super::binaries::Docker;
use super::program::User;

/// What a program in a container may see and do.
pub(super) struct Confined<'a> {
    /// Of the container; unique on this host.
    pub(super) name: &'a str,
    /// Whom it runs as.
    pub(super) user: User,
    /// What it sees of this host, and where it sees it.
    pub(super) mounts: &'a [(&'a Path, &'a str)],
    /// Where it works.
    pub(super) within: &'a str,
}

/// One of the programs in an image of PostgreSQL, ready for arguments: no network, no capability,
/// nothing writable but what is mounted.
pub(super) fn command(
    docker: &Docker,
    image: &str,
    major: u32,
    program: &str,
    confined: &Confined<'_>,
) -> Command {
    let User { uid, gid } = confined.user;
    let mut command = docker.command();
    command.args(["run", "--rm", "--network=none", "--read-only"]);
    command.args(["--cap-drop=ALL", "--security-opt=no-new-privileges"]);
    command.arg(format!("--name={}", confined.name));
    command.arg(format!("--user={uid}:{gid}"));
    for (from, to) in confined.mounts {
        command.arg(format!("--volume={}:{to}", from.display()));
    }
    command.arg(format!("--workdir={}", confined.within));
    let place = format!("/usr/lib/postgresql/{major}/bin/{program}");
    command.arg(format!("--entrypoint={place}")).arg(image);
    command
}

/// Removes a container whose client was killed: it is not gone with that.
pub(super) fn remove(docker: &Docker, name: &str) {
    let mut remove = docker.command();
    remove.args(["rm", "--force", "--volumes", name]);
    let _ = remove.stdout(Stdio::null()).stderr(Stdio::null()).status();
}
