//! `doctor lock-probe`: whether stores keep to their locks.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::{Slug, StoreName};
use crate::base::text::printable;
use crate::base::time::SystemClock;
use crate::cli::args::{Global, LockProbe};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::cli::wire;
use crate::model::config::Config;
use crate::model::lock::{LockMode, LockVerdict};
use crate::model::store_spec::StoreSpec;
use crate::ops::lock_probe::{self, LockReport, Outcome, Request, Step};
use crate::ops::state::State;
use crate::store::Rights;

use super::named;

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    stores: &'a [LockReport],
    exit: u8,
}

pub(super) fn run(
    args: &LockProbe,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let config = wire::need_config(global)?;
    let specs = chosen(&config, &args.stores)?;
    let state = State::new(config.resolve(&config.state.dir));
    let _lock = state.lock(&config.instance).map_err(hints::state)?;
    let mut reports = Vec::new();
    for spec in specs {
        let store = wire::open_store(spec, Rights::Delete, &|path| config.resolve(path), cancel)?;
        let mode = spec.lock.map_or(LockMode::Compliance, |lock| lock.mode);
        let request = Request {
            slug: &config.instance,
            store: store.as_ref(),
            mode,
            clock: &SystemClock,
            random: rand::random(),
        };
        let report = lock_probe::run(&request, &state).map_err(hints::state)?;
        cancel.check().map_err(CliError::failed)?;
        reports.push(report);
    }
    let exit = verdict(&reports);
    let document = Document {
        instance: &config.instance,
        stores: &reports,
        exit: exit.code(),
    };
    output.result(&document, || text(&reports))?;
    for report in reports
        .iter()
        .filter(|one| one.verdict != LockVerdict::Enforced)
    {
        output.complain(&summary(report));
    }
    Ok(exit)
}

fn chosen<'c>(config: &'c Config, names: &[StoreName]) -> Result<Vec<&'c StoreSpec>, CliError> {
    let stores = config.stores.iter();
    if names.is_empty() {
        let locked: Vec<&StoreSpec> = stores.filter(|spec| spec.lock.is_some()).collect();
        return match locked.is_empty() {
            false => Ok(locked),
            true => Err(
                CliError::usage("no store of the configuration has a `lock`")
                    .hint("name a store to try it all the same: doctor lock-probe NAME"),
            ),
        };
    }
    named(&config.stores, names)
}

fn verdict(reports: &[LockReport]) -> Exit {
    let any = |verdict| reports.iter().any(|report| report.verdict == verdict);
    if any(LockVerdict::NotEnforced) {
        Exit::Integrity
    } else if any(LockVerdict::Unknown) {
        Exit::Partial
    } else {
        Exit::Done
    }
}

fn text(reports: &[LockReport]) -> String {
    let mut rows = vec![
        ["STORE", "TRIED", "ANSWER", "LOCK", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for report in reports {
        rows.extend(report.steps.iter().map(|step| row(&report.store, step)));
    }
    let mut out = table(&rows);
    for report in reports {
        out.push_str(&format!("\n{}\n", summary(report)));
        out.extend(report.leftover().map(|left| format!("{left}\n")));
    }
    out
}

fn row(store: &StoreName, step: &Step) -> Vec<String> {
    let answer = match step.outcome {
        Outcome::Refused => "refused",
        Outcome::Allowed => "allowed",
        Outcome::Unknown => "UNKNOWN",
    };
    let stands = match step.stands {
        Some(true) => "holds",
        Some(false) => "BROKEN",
        None => "-",
    };
    let detail = printable(&step.detail).into_owned();
    vec![
        store.to_string(),
        step.name.to_owned(),
        answer.to_owned(),
        stands.to_owned(),
        detail,
    ]
}

fn summary(report: &LockReport) -> String {
    let LockReport {
        store,
        mode,
        verdict,
        why,
        ..
    } = report;
    format!("store {store}: {mode} {verdict}: {}", printable(why))
}
