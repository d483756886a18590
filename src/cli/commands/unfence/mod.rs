//! `unfence`: a fenced copy becomes production.

mod text;

use std::path::Path;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::{EscrowId, Slug};
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Global, Unfence};
use crate::cli::confirm;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::stopped::{self, local_files};
use crate::cli::storages::Storages;
use crate::cli::wire::{Reader, find_config};
use crate::databasus::fence::marker::Marker;
use crate::databasus::schema::Schema;
use crate::databasus::secret_key::SecretKey;
use crate::ops::history::History;
use crate::ops::import::{self, ImportSettings};
use crate::ops::stopped_instance::StoppedInstance;
use crate::ops::storages::OpenStorage;
use crate::ops::unfence::{
    self, Chain, Ended, Evidence, ImportFailed, Imported, Leftover, Ports, Preview, SetAside,
    UnfenceReport, UnfenceSettings,
};
use crate::postgres::wire::Connection;

const WHAT_IT_DOES: &str = "unfence lets this copy act as production: it will back up, delete, \
     notify and stream as production did. Production must be proven dead: switched off, and unable \
     to come back";

#[derive(Serialize)]
struct Document<'a> {
    data_dir: &'a Path,
    instance: &'a Slug,
    escrow_id: &'a EscrowId,
    fenced_at: UtcTime,
    dry_run: bool,
    production: &'a [Evidence],
    import: Option<&'a Imported>,
    values_given_back: u64,
    links_given_back: u64,
    never_given_back: &'a [SetAside],
    leftover: &'a [Leftover],
    retention: &'a [Preview],
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &Unfence,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let storages = stopped::storages(&args.directory, cancel)?;
    let instance = stopped::open(&args.directory)?;
    let marker = Marker::read(&args.directory.data_dir).map_err(CliError::failed)?;
    let named = marker.map(|marker| marker.instance);
    let confirmed = confirmed(args, named.as_ref())?;
    let chain = chain(args, global, named.as_ref(), output, cancel)?;
    let settings = UnfenceSettings {
        confirmed: confirmed.as_deref(),
        production_is_dead: args.production_is_dead,
        accept_deletions: &args.accept_deletions,
        dry_run: args.dry_run,
        now: SystemClock.now(),
    };
    match unfence(args, &instance, &settings, &storages, &chain, cancel)? {
        Ended::Unfenced(report) => tell(args, &report, output),
        Ended::OnlyMarker => {
            output.remark(ONLY_MARKER);
            Ok(Exit::Done)
        }
    }
}

const ONLY_MARKER: &str = "the database was unfenced by a run that did not come to its end; the \
     marker that it left is gone now";

fn unfence(
    args: &Unfence,
    instance: &StoppedInstance,
    settings: &UnfenceSettings<'_>,
    storages: &Storages,
    chain: &Result<History, String>,
    cancel: &Cancel,
) -> Result<Ended, CliError> {
    let launcher = stopped::launcher(&args.directory, instance)?;
    let mut import =
        |session: &mut Connection, schema: &Schema, key: &SecretKey, storages: &dyn OpenStorage| {
            import(args, session, schema, key, storages, cancel)
        };
    let ports = Ports {
        storages,
        chain: match chain {
            Ok(history) => Chain::Read(history),
            Err(why) => Chain::NotRead(why.clone()),
        },
        import: match args.importing.no_import {
            true => None,
            false => Some(&mut import),
        },
    };
    unfence::on_stopped(instance, &launcher, settings, ports, cancel).map_err(hints::unfence)
}

/// The name as it was typed. What a marked directory is a copy of is known before a server runs.
fn confirmed(args: &Unfence, named: Option<&Slug>) -> Result<Option<String>, CliError> {
    match (args.dry_run, named) {
        (true, _) => {}
        (false, Some(instance)) => {
            confirm::demand(instance, args.confirm.as_deref(), WHAT_IT_DOES)?;
            return Ok(Some(instance.to_string()));
        }
        (false, None) if args.confirm.is_none() => {
            return Err(CliError {
                exit: Exit::Refused,
                message: format!("{WHAT_IT_DOES}; that was not confirmed"),
                hint: Some("give the instance's name with --confirm".to_owned()),
            });
        }
        (false, None) => {}
    }
    Ok(args.confirm.clone())
}

/// The chain of escrows, or why it cannot be read: that is unknown, and no error yet.
fn chain(
    args: &Unfence,
    global: &Global,
    named: Option<&Slug>,
    output: &Output,
    cancel: &Cancel,
) -> Result<Result<History, String>, CliError> {
    if args.reading.stores.is_empty() && find_config(global)?.is_none() {
        return Ok(Err("no store of escrows was named".to_owned()));
    }
    let mut reading = args.reading.clone();
    if !reading.stores.is_empty() && reading.instance.is_none() {
        reading.instance = named.cloned();
    }
    let reader = Reader::open(&reading, global, cancel)?;
    match reader.history(output, cancel) {
        Ok(history) => Ok(Ok(history)),
        Err(error) if cancel.signal().is_some() => Err(error),
        Err(error) => Ok(Err(error.message)),
    }
}

fn import(
    args: &Unfence,
    session: &mut Connection,
    schema: &Schema,
    key: &SecretKey,
    storages: &dyn OpenStorage,
    cancel: &Cancel,
) -> Result<Imported, ImportFailed> {
    let ports = import::Ports {
        session,
        schema,
        keys: &[key],
        storages,
        cancel,
        on_progress: &|_| {},
    };
    let settings = ImportSettings {
        assign: args.importing.decisions.assign.clone(),
        create_placeholders: args.importing.decisions.placeholders,
        dry_run: args.dry_run,
        local_files_left_out: local_files(&args.directory.data_dir).is_none(),
        moved_storages: Vec::new(),
    };
    let report = import::run(ports, &settings)?;
    Ok(Imported {
        summary: super::import::summary(&report),
        is_whole: report.is_whole(),
    })
}

fn tell(args: &Unfence, report: &UnfenceReport, output: &Output) -> Result<Exit, CliError> {
    let exit = match report.is_whole() {
        true => Exit::Done,
        false => Exit::Partial,
    };
    let document = Document {
        data_dir: &args.directory.data_dir,
        instance: &report.record.instance,
        escrow_id: &report.record.escrow_id,
        fenced_at: report.record.made_at,
        dry_run: report.dry_run,
        production: &report.evidence,
        import: report.import.as_ref(),
        values_given_back: report.cells,
        links_given_back: report.links,
        never_given_back: &report.work_in_progress,
        leftover: &report.leftover,
        retention: &report.retention,
        exit: exit.code(),
    };
    output.result(&document, || {
        text::finished(&args.directory.data_dir, report)
    })?;
    if exit != Exit::Done {
        output.complain("unfenced, but not everything is as it was; the JSON says what");
    }
    Ok(exit)
}
