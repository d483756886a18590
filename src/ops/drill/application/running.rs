//! Waiting for Databasus to answer, and for its end.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::base::cancel::Cancel;
use crate::base::text::printable;
use crate::base::time::span;
use crate::databasus::api::FALLBACK_VERSION;
use crate::postgres::stopped::{NotStopped, prove_stopped};

use super::command::Started;
use super::trouble::{ApplicationTrouble, CallError};
use super::{Asked, Proving};

/// How often it is asked whether it is there.
const POLL: Duration = Duration::from_millis(500);

/// How long its processes may be there after it was stopped.
const GRACE: Duration = Duration::from_secs(30);

/// A Databasus that answers.
pub(super) struct Running<'a> {
    /// What it says that it is.
    pub(super) version: String,
    proving: &'a Proving<'a>,
    started: Option<Started<'a>>,
}

impl<'a> Running<'a> {
    /// Has it started, or waits until somebody has.
    pub(super) fn start(proving: &'a Proving<'a>) -> Result<Self, ApplicationTrouble> {
        let Asked {
            application,
            client,
            was_running,
        } = proving.asked;
        let mut started = match (application.commands, was_running) {
            (Some(_), true) => return Err(ApplicationTrouble::Occupied),
            (Some(commands), false) => {
                let url = application.address.to_string();
                Some(Started::start(commands, proving.data_dir, url)?)
            }
            (None, false) => {
                (proving.ports.on_wait)(&proving.invitation());
                None
            }
            (None, true) => None,
        };
        let deadline = Instant::now() + application.wait;
        let version = loop {
            match client.version() {
                Ok(version) => break version,
                Err(last) if Instant::now() >= deadline => {
                    return Err(ApplicationTrouble::TooLate(application.wait, last));
                }
                Err(_) => {}
            }
            if let Some(started) = &mut started {
                started.check()?;
            }
            pause(proving.work.cancel)?;
        };
        Ok(Self {
            version,
            proving,
            started,
        })
    }

    /// Stops what was started, or waits until somebody has: what it runs on is removed next.
    pub(super) fn stop(self) -> Result<(), ApplicationTrouble> {
        let Self {
            proving, started, ..
        } = self;
        let patience = match started {
            Some(started) => {
                started.stop()?;
                GRACE
            }
            None if !proving.is_used() => return Ok(()),
            None => {
                (proving.ports.on_wait)("Databasus is not needed any more: stop it now");
                proving.asked.application.wait
            }
        };
        let deadline = Instant::now() + patience;
        while proving.is_used() {
            if Instant::now() >= deadline {
                return Err(ApplicationTrouble::StillRunning);
            }
            pause(proving.work.cancel)?;
        }
        Ok(())
    }
}

impl Proving<'_> {
    /// What a person has to do now.
    fn invitation(&self) -> String {
        let Self {
            asked, data_dir, ..
        } = self;
        let source = &self.request.manifest.source;
        let image = source.image.as_deref().map(printable);
        let image = image.map_or_else(String::new, |image| format!(" ({image})"));
        format!(
            "Start Databasus{image} on {} now, with no network but its storages: the drill asks {} \
             for {} until it answers",
            data_dir.display(),
            asked.application.address,
            span(asked.application.wait.as_secs())
        )
    }

    /// Whether a process works on what this drill rehydrated.
    pub(super) fn is_used(&self) -> bool {
        is_used(self.data_dir)
    }
}

/// Where that cannot be told, nobody waits for it, and it proves nothing.
fn is_used(data_dir: &Path) -> bool {
    let proof = prove_stopped(&data_dir.join("pgdata"), None);
    matches!(proof, Err(NotStopped::Process { .. }))
}

fn pause(cancel: &Cancel) -> Result<(), ApplicationTrouble> {
    cancel.check().map_err(CallError::from)?;
    std::thread::sleep(POLL);
    cancel.check().map_err(CallError::from)?;
    Ok(())
}

/// Whether it says that it is what the manifest says.
pub(super) fn same_release(answers: &str, recorded: &str) -> Result<(), ApplicationTrouble> {
    let recorded = recorded.trim_start_matches('v');
    match answers == recorded {
        true => Ok(()),
        false if answers == FALLBACK_VERSION => {
            Err(ApplicationTrouble::NoVersion(recorded.to_owned()))
        }
        false => Err(ApplicationTrouble::OtherVersion {
            answers: answers.to_owned(),
            recorded: recorded.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_and_the_fallback_says_nothing() {
        assert!(same_release("3.49.0", "v3.49.0").is_ok());
        assert!(same_release("3.26.0", "3.26.0").is_ok());
        assert!(matches!(
            same_release("3.26.0", "3.49.0"),
            Err(ApplicationTrouble::NoVersion(_))
        ));
        assert!(matches!(
            same_release("3.50.0", "3.49.0"),
            Err(ApplicationTrouble::OtherVersion { .. })
        ));
    }
}
