//! Where PostgreSQL's programs are: on this host, or in a container image.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::text::printable;

/// Debian's and Ubuntu's packages, and the Databasus image, keep each major in a folder of its own.
const DEBIAN: &str = "/usr/lib/postgresql";

/// How many releases above the recorded one are tried for a logical copy.
const LATER_RELEASES: u32 = 4;

/// A folder with the programs of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgBinaries {
    /// The folder.
    pub dir: PathBuf,
    /// `17.10`, as `postgres --version` says.
    pub version: String,
}

/// The `docker` client, or one that takes the same arguments (`podman`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Docker {
    /// The program.
    pub program: PathBuf,
    /// Its whole environment: which engine it talks to (`DOCKER_HOST`, `HOME`, `PATH`). Nothing
    /// else of this process' environment reaches it.
    pub environment: Vec<(OsString, OsString)>,
}

impl Docker {
    /// The client, ready for arguments, with nothing to read from.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }
}

/// How to start a PostgreSQL server of the wanted major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// With programs of this host.
    Local(PgBinaries),
    /// With those inside an image: `/usr/lib/postgresql/<major>/bin`.
    Docker {
        /// The client.
        docker: Docker,
        /// The image, as the manifest records it.
        image: String,
        /// The major release.
        major: u32,
    },
}

/// Where to look. Everything comes in from outside: the library reads no environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places<'a> {
    /// A folder that the operator named (`--pg-bin`); where there is one, nothing else is looked at.
    pub given: Option<&'a Path>,
    /// The environment's `PG_BIN`.
    pub pg_bin: Option<&'a Path>,
    /// The environment's `PATH`.
    pub path: Option<&'a OsStr>,
    /// The docker client, and the image that the manifest records.
    pub image: Option<(&'a Docker, &'a str)>,
}

/// Nothing that was looked at has the wanted release.
#[derive(Debug, thiserror::Error)]
#[error("no PostgreSQL {major} found: {}", list(looked_at))]
pub struct NoPostgres {
    /// The wanted major release.
    pub major: u32,
    /// Each place in order, and what was wrong with it.
    pub looked_at: Vec<(PathBuf, Unfit)>,
}

/// Why a folder does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It holds no program `postgres`.
    Absent,
    /// The program does not run.
    Broken(String),
    /// It is another release.
    Version(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("has no postgres"),
            Self::Broken(why) => write!(f, "has a postgres that does not run ({why})"),
            Self::Version(version) => write!(f, "has {}", printable(version)),
        }
    }
}

fn list(looked_at: &[(PathBuf, Unfit)]) -> String {
    let places = looked_at
        .iter()
        .map(|(place, unfit)| format!("{} {unfit}", printable(&place.to_string_lossy())));
    let mut places = places.collect::<Vec<_>>();
    places.push("no docker client with a recorded image".to_owned());
    places.join("; ")
}

impl Launcher {
    /// Finds PostgreSQL of `major` or one of the next few releases, the oldest first: what a
    /// logical copy can be restored into.
    pub fn find_at_least(major: u32, places: &Places<'_>) -> Result<Self, NoPostgres> {
        if let Some(dir) = places.given {
            let found = PgBinaries::inspect(dir);
            return match found {
                Ok(found) if found.major() >= Some(major) => Ok(Self::Local(found)),
                _ => Self::find(major, places),
            };
        }
        let exact = Self::find(major, places);
        let later =
            || (major + 1..=major + LATER_RELEASES).find_map(|m| Self::find(m, places).ok());
        exact.or_else(|none| later().ok_or(none))
    }

    /// Finds PostgreSQL of `major`: in the folder that was given, else in `PG_BIN`, in Debian's
    /// folder, on `PATH`, in the recorded image. The control file of another major is another
    /// format, so nothing but the same major will do.
    pub fn find(major: u32, places: &Places<'_>) -> Result<Self, NoPostgres> {
        let mut looked_at = Vec::new();
        for dir in folders(major, places) {
            match PgBinaries::inspect(&dir) {
                Ok(found) if found.major() == Some(major) => return Ok(Self::Local(found)),
                Ok(found) => looked_at.push((dir, Unfit::Version(found.version))),
                Err(unfit) => looked_at.push((dir, unfit)),
            }
        }
        match places.image {
            Some((docker, image)) if places.given.is_none() => Ok(Self::Docker {
                docker: docker.clone(),
                image: image.to_owned(),
                major,
            }),
            _ => Err(NoPostgres { major, looked_at }),
        }
    }

    /// The major release that this starts.
    pub fn major(&self) -> Option<u32> {
        match self {
            Self::Local(binaries) => binaries.major(),
            Self::Docker { major, .. } => Some(*major),
        }
    }
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(binaries) => write!(
                f,
                "PostgreSQL {} in {}",
                printable(&binaries.version),
                binaries.dir.display()
            ),
            Self::Docker { image, major, .. } => {
                write!(f, "PostgreSQL {major} in the image {}", printable(image))
            }
        }
    }
}

impl PgBinaries {
    /// Looks which release a folder holds.
    pub fn inspect(dir: &Path) -> Result<Self, Unfit> {
        // The server is started from elsewhere.
        let dir = std::path::absolute(dir).map_err(|error| Unfit::Broken(error.to_string()))?;
        let program = dir.join("postgres");
        if !program.is_file() {
            return Err(Unfit::Absent);
        }
        let output = Command::new(&program)
            .arg("--version")
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Unfit::Broken(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version_in(&text).filter(|_| output.status.success());
        Ok(Self {
            dir,
            version: version.ok_or_else(|| Unfit::Broken(output.status.to_string()))?,
        })
    }

    /// The major release.
    pub fn major(&self) -> Option<u32> {
        let digits = self.version.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// One of the programs: `postgres`, `pg_dump`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn folders(major: u32, places: &Places<'_>) -> Vec<PathBuf> {
    if let Some(given) = places.given {
        return vec![given.to_owned()];
    }
    let debian = Path::new(DEBIAN).join(major.to_string()).join("bin");
    let mut folders = Vec::from_iter(places.pg_bin.map(Path::to_owned));
    folders.push(debian);
    let on_path = places.path.map(std::env::split_paths).into_iter().flatten();
    // Without a slash it would be looked up relative to wherever this runs.
    folders.extend(on_path.filter(|dir| dir.is_absolute() && dir.join("postgres").is_file()));
    folders
}

/// The word after `postgres (PostgreSQL)`.
fn version_in(text: &str) -> Option<String> {
    let rest = text.strip_prefix("postgres (PostgreSQL) ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A folder whose `postgres` is a script that prints `version_line`.
    fn folder(version_line: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("postgres");
        // Written by another process: a program that is still open for writing anywhere,
        // even in a child that a parallel test has just forked, cannot be executed.
        let script = format!("#!/bin/sh\necho '{version_line}'");
        let status = Command::new("sh")
            .args(["-c", r#"printf '%s\n' "$2" > "$1""#, "write"])
            .arg(&program)
            .arg(script)
            .status();
        assert!(status.unwrap().success());
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        dir
    }

    fn docker() -> Docker {
        Docker {
            program: "/usr/bin/docker".into(),
            environment: Vec::new(),
        }
    }

    #[test]
    fn version_is_read_from_what_debian_and_others_print() {
        let debian = "postgres (PostgreSQL) 17.10 (Debian 17.10-1.pgdg12+1)\n";
        assert_eq!(version_in(debian).as_deref(), Some("17.10"));
        assert_eq!(
            version_in("postgres (PostgreSQL) 18beta1\n").as_deref(),
            Some("18beta1")
        );
        assert_eq!(version_in("psql (PostgreSQL) 17.10\n"), None);
        let beta = PgBinaries {
            dir: PathBuf::new(),
            version: "18beta1".into(),
        };
        assert_eq!(beta.major(), Some(18));
    }

    #[test]
    fn a_given_folder_is_the_only_one_looked_at() {
        let (wrong, right) = (
            folder("postgres (PostgreSQL) 16.4"),
            folder("postgres (PostgreSQL) 17.1"),
        );
        let docker = docker();
        let places = Places {
            given: Some(wrong.path()),
            pg_bin: Some(right.path()),
            path: None,
            image: Some((&docker, "databasus/databasus:v3.42.0")),
        };
        let error = Launcher::find(17, &places).unwrap_err();
        assert_eq!(
            error.looked_at,
            [(wrong.path().to_owned(), Unfit::Version("16.4".into()))]
        );
    }

    #[test]
    fn the_first_place_of_the_right_major_wins() {
        let (old, new) = (
            folder("postgres (PostgreSQL) 16.4"),
            folder("postgres (PostgreSQL) 917.1"),
        );
        let path = std::env::join_paths([Path::new("relative"), new.path()]).unwrap();
        let places = Places {
            pg_bin: Some(old.path()),
            path: Some(&path),
            ..Places::default()
        };
        let found = Launcher::find(917, &places).unwrap();
        let expected = PgBinaries {
            dir: new.path().to_owned(),
            version: "917.1".into(),
        };
        assert_eq!(found, Launcher::Local(expected));
    }

    #[test]
    fn the_recorded_image_is_the_last_resort() {
        let docker = docker();
        let places = Places {
            image: Some((&docker, "databasus/databasus:v3.42.0")),
            ..Places::default()
        };
        let found = Launcher::find(917, &places).unwrap();
        assert_eq!(found.major(), Some(917));
        assert!(matches!(found, Launcher::Docker { .. }));
    }

    #[test]
    fn the_error_names_every_place_and_what_is_wrong_with_it() {
        let empty = tempfile::tempdir().unwrap();
        let places = Places {
            pg_bin: Some(empty.path()),
            ..Places::default()
        };
        let text = Launcher::find(917, &places).unwrap_err().to_string();
        let first = format!(
            "no PostgreSQL 917 found: {} has no postgres; ",
            empty.path().display()
        );
        assert!(text.starts_with(&first), "{text}");
        assert!(
            text.contains("/usr/lib/postgresql/917/bin has no postgres"),
            "{text}"
        );
        assert!(
            text.ends_with("no docker client with a recorded image"),
            "{text}"
        );
    }
}
