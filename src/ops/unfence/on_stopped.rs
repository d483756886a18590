//! The same on a data directory whose server is stopped.

use super::{Ports, UnfenceError, UnfenceReport, UnfenceSettings, run};
use crate::base::cancel::Cancel;
use crate::databasus::fence::marker::{Marker, MarkerError};
use crate::ops::stopped_instance::{StoppedInstance, StoppedInstanceError};
use crate::postgres::binaries::Launcher;

/// How it ended.
pub enum Ended {
    /// The fence is gone, or would be.
    Unfenced(Box<UnfenceReport>),
    /// There was no fence in the database, only the marker of one, left by a run that was killed
    /// after the change was made. It is gone now.
    OnlyMarker,
}

/// It was not unfenced, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum OnStoppedError {
    /// The directory cannot be worked on.
    #[error(transparent)]
    Instance(#[from] StoppedInstanceError),
    /// The fence stays.
    #[error(transparent)]
    Unfence(#[from] UnfenceError),
    /// The database is unfenced; run it again to finish.
    #[error("the database is unfenced, but the directory is still marked as a clone")]
    Marker(#[from] MarkerError),
}

/// Starts a private server on the directory, unfences the database and shuts the server down in
/// good order, whatever came of it: Databasus' start script must not meet a directory that needs
/// recovery.
pub fn on_stopped(
    instance: &StoppedInstance,
    launcher: &Launcher,
    settings: &UnfenceSettings<'_>,
    ports: Ports<'_>,
    cancel: &Cancel,
) -> Result<Ended, OnStoppedError> {
    let served = instance.start(launcher, cancel)?;
    let outcome = served
        .session()
        .map_err(UnfenceError::from)
        .and_then(|mut session| run(&mut session, instance.key(), settings, ports));
    served.stop()?;
    let ended = match outcome {
        Ok(report) => Ended::Unfenced(Box::new(report)),
        Err(UnfenceError::NotFenced) if is_its_marker(instance, settings) => Ended::OnlyMarker,
        Err(error) => return Err(error.into()),
    };
    if !settings.dry_run {
        Marker::remove(instance.data_dir())?;
    }
    Ok(ended)
}

/// Whether the directory is marked as a copy of the instance whose name was typed.
fn is_its_marker(instance: &StoppedInstance, settings: &UnfenceSettings<'_>) -> bool {
    let marker = Marker::read(instance.data_dir());
    let marker = marker.ok().flatten();
    marker.is_some_and(|marker| settings.confirmed == Some(marker.instance.as_str()))
}
