//! A directory that replays to the point when it is started for the first time: for a host
//! without PostgreSQL. Nothing is proven by it.

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::file_error::{FileError, failed};
use crate::base::parallel;
use crate::databasus::backup_chain::facts::Segment;
use crate::databasus::backup_chain::plan::Plan;
use crate::postgres::history_file;
use crate::postgres::program::User;
use crate::target::ownership;

use super::disarm::{self, Armed, Finished};
use super::open::Storage;
use super::replay::{DATA, Ground, ReplayError, of_fetching, recovery};
use super::wal_fetch::{FetchError, Fetcher};

/// Segments on their way at the same time.
const THREADS: usize = 8;

/// What was prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// What of the source's files could have acted. Catalogues were not looked at.
    pub armed: Vec<Armed>,
    /// How many segments lie in `pg_wal`.
    pub segments: u64,
    /// Objects that were passed over, because another one of the same segment was sound.
    pub passed_over: Vec<String>,
    /// Of the cluster.
    pub pg_major: u32,
    /// Whom the files belong to.
    pub owner: (u32, u32),
}

impl Prepared {
    /// The commands that start a server on the directory, once it is at `dir`; each will do.
    pub fn commands(&self, dir: &Path) -> Vec<String> {
        let (major, (uid, gid)) = (self.pg_major, self.owner);
        let dir = shell_word(&dir.display().to_string());
        let who = match ownership::gives_away() {
            true => format!("setpriv --reuid={uid} --regid={gid} --clear-groups "),
            false => String::new(),
        };
        let postgres = format!("/usr/lib/postgresql/{major}/bin/postgres");
        vec![
            format!("{who}{postgres} -D {dir}"),
            format!(
                "docker run --rm --network=none --user={uid}:{gid} --volume={dir}:/data \
                 --entrypoint={postgres} postgres:{major} -D /data"
            ),
        ]
    }
}

/// A word of a shell's command line.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Puts all of a plan's WAL into the directory `data` of `folder`, checked, and tells it where to
/// stop. The first failure ends it, whether the point lies before it or not: nobody replays here
/// who could tell.
pub fn prepare(
    storage: Storage<'_>,
    plan: &Plan,
    folder: &Path,
    cancel: &Cancel,
) -> Result<Prepared, ReplayError> {
    let data = &folder.join(DATA);
    let ground = Ground::of(data)?;
    let armed = disarm::files(data)?;
    let fetcher = Fetcher {
        storage,
        cluster: ground.cluster,
        cancel,
    };
    let wal = PgWal {
        folder: data.join("pg_wal"),
        owner: ground.owner,
    };
    for history in &plan.histories {
        let text = fetcher.history(history).map_err(of_fetching)?;
        let name = history_file::file_name(history.timeline);
        let (path, mut file) = wal.new_file(&name)?;
        file.write_all(&text).map_err(failed("write", &path))?;
    }
    let passed_over = wal.fill(&fetcher, &plan.wal).map_err(of_fetching)?;
    let finished = Finished::Prepared(recovery(plan));
    let settings = &ground.control.settings;
    disarm::configure(data, ground.owner, ground.major, settings, finished)?;
    disarm::write_signal(data, ground.owner)?;
    Ok(Prepared {
        armed,
        segments: plan.wal.len() as u64,
        passed_over,
        pg_major: ground.major,
        owner: (ground.owner.uid, ground.owner.gid),
    })
}

/// The directory's own folder for WAL.
struct PgWal {
    folder: PathBuf,
    owner: User,
}

impl PgWal {
    /// Takes the place of what the backup itself has under that name.
    fn new_file(&self, name: &str) -> Result<(PathBuf, File), FileError> {
        let path = self.folder.join(name);
        let _ = fs::remove_file(&path);
        let file = ownership::new_file(&path).map_err(failed("create", &path))?;
        ownership::give(&file, self.owner).map_err(failed("give away", &path))?;
        Ok((path, file))
    }

    fn fill(
        &self,
        fetcher: &Fetcher<'_>,
        segments: &[Vec<Segment>],
    ) -> Result<Vec<String>, FetchError> {
        let stop = AtomicBool::new(false);
        let mut passed_over = Vec::new();
        let mut failure = None;
        let job = |place: usize| {
            let copies = segments.get(place).map_or(&[][..], Vec::as_slice);
            self.fetch(fetcher, copies, &|| stop.load(Ordering::Relaxed))
        };
        parallel::for_each(segments.len(), THREADS, job, |_, fetched| match fetched {
            Ok(more) => {
                passed_over.extend(more);
                ControlFlow::Continue(())
            }
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                failure = Some(error);
                ControlFlow::Break(())
            }
        });
        failure.map_or(Ok(passed_over), Err)
    }

    fn fetch(
        &self,
        fetcher: &Fetcher<'_>,
        copies: &[Segment],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<String>, FetchError> {
        let name = copies
            .first()
            .map_or_else(String::new, |first| first.name.to_string());
        let temporary = || self.new_temporary(&name);
        let fetched = fetcher.segment(copies, temporary, stopped)?;
        let place = self.folder.join(&name);
        fs::rename(&fetched.file, &place).map_err(failed("rename onto", &place))?;
        Ok(fetched.passed_over)
    }

    fn new_temporary(&self, name: &str) -> Result<(PathBuf, File), FileError> {
        let free = (0..).map(|copy| format!(".{name}.{copy}"));
        let mut free = free.filter(|name| !self.folder.join(name).exists());
        self.new_file(&free.next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let prepared = Prepared {
            armed: Vec::new(),
            segments: 0,
            passed_over: Vec::new(),
            pg_major: 17,
            owner: (999, 999),
        };
        let commands = prepared.commands(Path::new("/srv/it's here"));
        assert!(
            commands[0].ends_with(r"/usr/lib/postgresql/17/bin/postgres -D '/srv/it'\''s here'")
        );
        assert!(commands[1].ends_with("postgres:17 -D /data"));
        assert_eq!(shell_word("/srv/x"), "/srv/x");
    }
}
