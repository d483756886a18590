//! `import`: a stopped catalogue, brought up to what the storages hold.

pub(super) mod text;

pub(super) use text::summary;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, Import};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::stopped::{self, local_files};
use crate::cli::storages::Storages;
use crate::databasus::schema::Schema;
use crate::databasus::secret_key::SecretKey;
use crate::ops::fence::original_storages;
use crate::ops::import::report::ImportReport;
use crate::ops::import::{self, ImportSettings, Ports};
use crate::ops::stopped_instance::Served;
use crate::ops::storages::BeforeFence;

#[derive(Serialize)]
struct Document<'a> {
    data_dir: &'a Path,
    #[serde(flatten)]
    report: &'a ImportReport,
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &Import,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let directory = &args.directory;
    let further = further_keys(&args.further_keys)?;
    let storages = stopped::storages(directory, cancel)?;
    let instance = stopped::open(directory)?;
    let served = instance.start(&stopped::launcher(directory, &instance)?, cancel);
    let served = served.map_err(hints::stopped_instance)?;
    let keys: Vec<&SecretKey> = std::iter::once(instance.key()).chain(&further).collect();
    let report = import(args, global, &served, &keys, &storages, cancel);
    // Its end is in good order whatever came of the import.
    let stopped = served.stop().map_err(hints::stopped_instance);
    let report = report?;
    stopped?;
    let exit = exit(&report);
    let document = Document {
        data_dir: &directory.data_dir,
        report: &report,
        exit: exit.code(),
    };
    output.result(&document, || text::finished(&report))?;
    if exit != Exit::Done {
        output.complain("not everything was imported: run it again with --dry-run to see what");
    }
    Ok(exit)
}

fn import(
    args: &Import,
    global: &Global,
    served: &Served<'_>,
    keys: &[&SecretKey],
    storages: &Storages,
    cancel: &Cancel,
) -> Result<ImportReport, CliError> {
    let mut session = served.session().map_err(CliError::failed)?;
    let schema = Schema::read(&mut session).map_err(CliError::failed)?;
    // A fence has taken the credentials out; what they were is on record.
    let before = original_storages(&mut session, &schema).map_err(CliError::failed)?;
    let progress = Progress::count(global, "objects listed:");
    let ports = Ports {
        session: &mut session,
        schema: &schema,
        keys,
        storages: &BeforeFence::new(storages, &before),
        cancel,
        on_progress: &|reached| progress.show(reached),
    };
    import::run(ports, &settings(args)).map_err(hints::import)
}

fn settings(args: &Import) -> ImportSettings {
    ImportSettings {
        assign: args.decisions.assign.clone(),
        create_placeholders: args.decisions.placeholders,
        dry_run: args.dry_run,
        local_files_left_out: local_files(&args.directory.data_dir).is_none(),
        moved_storages: Vec::new(),
    }
}

/// Keys are taken byte for byte, as Databasus takes them.
pub(super) fn further_keys(files: &[PathBuf]) -> Result<Vec<SecretKey>, CliError> {
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(|error| CliError::in_file(path, error))?;
        SecretKey::new(bytes).map_err(|error| CliError::in_file(path, error))
    };
    files.iter().map(read).collect()
}

/// How an import is to be taken.
pub(super) fn exit(report: &ImportReport) -> Exit {
    match (report.has_damage(), report.is_whole()) {
        (true, _) => Exit::Integrity,
        (false, false) => Exit::Partial,
        (false, true) => Exit::Done,
    }
}
