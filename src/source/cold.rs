//! The files of a stopped server.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pgdata::{Pgdata, pgdata_of};
use super::{Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceError, refuse_clone};
use crate::base::cancel::Cancel;
use crate::base::time::Clock;
use crate::postgres::stopped::{Container, prove_stopped};

/// Copies the files of a server that is proven to be stopped, before and after, and fails if
/// anything changed meanwhile. The cluster is as a crash left it where the container was stopped
/// under it, so the log is part of the copy and replay is needed.
pub struct ColdSource {
    data_dir: PathBuf,
    container: Option<Container>,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
}

impl ColdSource {
    /// A source for the data directory; `container` is the one that mounts it, where its engine
    /// is to be asked.
    pub fn new(
        data_dir: PathBuf,
        container: Option<Container>,
        clock: Arc<dyn Clock>,
        cancel: Cancel,
    ) -> Self {
        Self {
            data_dir,
            container,
            clock,
            cancel,
        }
    }

    fn prove_stopped(&self) -> Result<(), SourceError> {
        Ok(prove_stopped(
            &pgdata_of(&self.data_dir),
            self.container.as_ref(),
        )?)
    }
}

impl Source for ColdSource {
    fn method(&self) -> Method {
        Method::Cold
    }

    fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn begin(&mut self) -> Result<u64, SourceError> {
        refuse_clone(&self.data_dir)?;
        self.prove_stopped()?;
        Ok(Pgdata::list(pgdata_of(&self.data_dir))?.bytes())
    }

    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError> {
        Ok(None)
    }

    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        self.prove_stopped()?;
        let snapshot_at = self.clock.now();
        let pgdata = Pgdata::list(pgdata_of(&self.data_dir))?;
        let facts = pgdata.copy(sink, &self.cancel, snapshot_at)?;
        self.prove_stopped()?;
        Ok(facts)
    }

    fn copy_logical(
        &mut self,
        _consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError> {
        tracing::info!("no logical copy: the server is stopped");
        Ok(false)
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}
