//! The Databasus that a drill asks.

use std::ffi::OsString;
use std::time::Duration;

use crate::base::time::span;
use crate::cli::args::Drill;
use crate::ops::drill::{Application, Commands};

/// What everything begins with that this program reads from its environment.
const OURS: &str = "ESCROW_";

/// As the command line names it.
pub(super) fn application<'a>(args: &'a Drill, hidden: &'a [OsString]) -> Option<Application<'a>> {
    let start = args.application_start.as_deref();
    Some(Application {
        address: args.application.as_ref()?,
        wait: Duration::from_secs(args.application_wait.whole_seconds()),
        commands: start.map(|start| Commands {
            start,
            stop: args.application_stop.as_deref(),
            hidden,
        }),
    })
}

/// Names of variables that no command may see.
pub(super) fn credentials() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names
        .filter(|name| name.to_string_lossy().starts_with(OURS))
        .collect()
}

/// A line of the plan.
pub(super) fn plan(application: &Application<'_>) -> String {
    let Application { address, wait, .. } = application;
    let wait = span(wait.as_secs());
    let begin = match application.commands {
        Some(_) => format!("start Databasus with the command, and wait up to {wait} for {address}"),
        None => format!("wait up to {wait} for Databasus at {address}"),
    };
    format!(
        "{begin}; compare what it lists with its catalogue, and what it serves with the storages"
    )
}
