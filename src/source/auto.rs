//! The running server if it answers, else its files if it is proven to be stopped.

use std::io::Read;
use std::path::Path;

use super::{Catalogue, EntrySink, Method, PgFacts, SinkError, Source, SourceError};
use crate::postgres::wire::{Connection, PgError};

/// Neither way is open.
#[derive(Debug, thiserror::Error)]
#[error("the server does not answer ({online}), and its files cannot be taken either")]
pub struct NeitherWay {
    /// Why not from the running server.
    pub online: Box<SourceError>,
    /// Why not from its files.
    #[source]
    pub files: Box<SourceError>,
}

/// Takes `online` if its server answers, else `cold`, which brings its own proof that no server
/// runs. A server that answers and then refuses or fails is never passed by.
pub fn auto(online: Box<dyn Source>, cold: Box<dyn Source>) -> Box<dyn Source> {
    Box::new(Auto {
        chosen: online,
        other: Some(cold),
    })
}

struct Auto {
    chosen: Box<dyn Source>,
    other: Option<Box<dyn Source>>,
}

impl Source for Auto {
    fn method(&self) -> Method {
        self.chosen.method()
    }

    fn data_dir(&self) -> &Path {
        self.chosen.data_dir()
    }

    fn begin(&mut self) -> Result<u64, SourceError> {
        let online = match self.chosen.begin() {
            Err(error) if is_unreachable(&error) => error,
            answered => return answered,
        };
        let Some(cold) = self.other.take() else {
            return Err(online);
        };
        tracing::info!("the server does not answer: trying its files");
        self.chosen.finish()?;
        self.chosen = cold;
        self.chosen.begin().map_err(|files| match files {
            SourceError::Interrupted(signal) => signal.into(),
            // Whatever the server would have said.
            SourceError::MarkedClone(marker) => SourceError::MarkedClone(marker),
            files => SourceError::NeitherWay(NeitherWay {
                online: Box::new(online),
                files: Box::new(files),
            }),
        })
    }

    fn catalogue(&mut self) -> Result<Option<Catalogue>, SourceError> {
        self.chosen.catalogue()
    }

    fn metadata_session(&mut self) -> Option<&mut Connection> {
        self.chosen.metadata_session()
    }

    fn copy_pgdata(&mut self, sink: &mut dyn EntrySink) -> Result<PgFacts, SourceError> {
        self.chosen.copy_pgdata(sink)
    }

    fn copy_logical(
        &mut self,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), SinkError>,
    ) -> Result<bool, SourceError> {
        self.chosen.copy_logical(consume)
    }

    fn finish(&mut self) -> Result<(), SourceError> {
        self.chosen.finish()
    }
}

/// Nothing answers, or the network namespace that it would answer in is gone with its container.
fn is_unreachable(error: &SourceError) -> bool {
    matches!(
        error,
        SourceError::Postgres(PgError::Unreachable { .. } | PgError::Namespace { .. })
    )
}
