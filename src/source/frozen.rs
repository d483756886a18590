//! A filesystem snapshot of the data directory.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use super::pgdata::{Pgdata, pgdata_of};
use super::{Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceError, refuse_clone};
use crate::base::cancel::Cancel;
use crate::base::text::printable;
use crate::base::time::{Clock, UtcTime};
use crate::postgres::stopped::{NotStopped, process_in};

/// Where the frozen tree is, and how it comes and goes.
#[derive(Clone, Debug, Default)]
pub struct FrozenSettings {
    /// The data directory inside of the frozen tree.
    pub data_dir: PathBuf,
    /// Makes the tree appear: program and arguments, run without a shell. Empty where somebody
    /// else does.
    pub prepare: Vec<String>,
    /// Lets the tree go. Run once `prepare` has been started, whatever happens afterwards.
    pub release: Vec<String>,
    /// The whole environment of both commands.
    pub environment: Vec<(OsString, OsString)>,
}

/// One of the two commands failed.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// It could not be run.
    #[error("cannot run the {purpose} command {program}")]
    Spawn {
        /// `prepare` or `release`.
        purpose: &'static str,
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error(
        "the {purpose} command {program} failed ({status}): {}",
        printable(last_words)
    )]
    Failed {
        /// `prepare` or `release`.
        purpose: &'static str,
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last line that it wrote to standard error.
        last_words: String,
    },
}

/// Copies a tree that an atomic snapshot of the filesystem holds still. To PostgreSQL such a
/// copy is what a power failure leaves, so it recovers by its log. Nothing can tell an atomic
/// snapshot from a slow copy; what can be told is checked: that no server works on the tree and
/// that nothing in it changes.
pub struct FrozenSource {
    settings: FrozenSettings,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    frozen_at: Option<UtcTime>,
    to_release: bool,
}

impl FrozenSource {
    /// A source whose tree has not been prepared yet.
    pub fn new(settings: FrozenSettings, clock: Arc<dyn Clock>, cancel: Cancel) -> Self {
        Self {
            settings,
            clock,
            cancel,
            frozen_at: None,
            to_release: false,
        }
    }

    fn run(&self, purpose: &'static str, argv: &[String]) -> Result<(), FrozenError> {
        let Some((program, arguments)) = argv.split_first() else {
            return Ok(());
        };
        let environment = self.settings.environment.iter();
        let output = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment.map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(|source| FrozenError::Spawn {
                purpose,
                program: program.clone(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(FrozenError::Failed {
            purpose,
            program: program.clone(),
            status: output.status,
            last_words: words
                .trim_end()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

impl Source for FrozenSource {
    fn method(&self) -> Method {
        Method::Frozen
    }

    /// Exists only after [`Source::begin`] where a `prepare` command makes it.
    fn data_dir(&self) -> &Path {
        &self.settings.data_dir
    }

    fn begin(&mut self) -> Result<u64, SourceError> {
        self.cancel.check()?;
        let made_now = !self.settings.prepare.is_empty();
        let before = self.clock.now();
        self.to_release = true;
        self.run("prepare", &self.settings.prepare)?;
        self.cancel.check()?;
        refuse_clone(&self.settings.data_dir)?;
        let pgdata = Pgdata::list(pgdata_of(&self.settings.data_dir))?;
        // A tree that somebody made at some time is as old as the newest thing in it.
        self.frozen_at = Some(if made_now {
            before
        } else {
            pgdata.last_write()
        });
        Ok(pgdata.bytes())
    }

    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError> {
        Ok(None)
    }

    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        let place = pgdata_of(&self.settings.data_dir);
        if let Some(pid) = process_in(&place)? {
            return Err(NotStopped::Process { pgdata: place, pid }.into());
        }
        let pgdata = Pgdata::list(place)?;
        let frozen_at = self.frozen_at.unwrap_or_else(|| pgdata.last_write());
        pgdata.copy(sink, &self.cancel, frozen_at)
    }

    fn copy_logical(
        &mut self,
        _consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError> {
        tracing::info!("no logical copy: a frozen tree has no server");
        Ok(false)
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        if std::mem::take(&mut self.to_release) {
            self.run("release", &self.settings.release)?;
        }
        Ok(())
    }
}

impl Drop for FrozenSource {
    /// For the case that nobody came to `finish`: a frozen tree keeps disk space from being freed.
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!("{error}");
        }
    }
}
