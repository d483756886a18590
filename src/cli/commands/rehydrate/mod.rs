//! `rehydrate`: from an escrow to a data directory.

mod from_key;
mod text;

use std::path::Path;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, StoreName};
use crate::base::text::{bytes, printable};
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Global, Rehydrate};
use crate::cli::confirm;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::identities;
use crate::cli::opening::Opening;
use crate::cli::output::Output;
use crate::cli::programs::{self, Wanted};
use crate::cli::progress::Progress;
use crate::cli::storages::{Haste, Storages};
use crate::cli::wire::Reader;
use crate::databasus::compose::{Isolation, start_instructions};
use crate::model::finding::{Finding, Severity};
use crate::model::manifest::Manifest;
use crate::ops::fence::FenceReport;
use crate::ops::history::{Entry, History};
use crate::ops::import::ImportSettings;
use crate::ops::import::report::ImportReport;
use crate::ops::rehydrate::{self, Credentials, Handover, Mode, Outcome, Ports, Proof, Report};
use crate::ops::select::{Selection, passed_over, select};
use crate::target::StagedTarget;

#[derive(Serialize)]
struct Document<'a> {
    escrow_id: &'a EscrowId,
    seq: u64,
    manifest_sha256: Digest,
    snapshot_at: UtcTime,
    target: &'a Path,
    dry_run: bool,
    /// Whether nothing in it can touch production.
    fenced: bool,
    /// What the fence did.
    fence: Option<&'a FenceReport>,
    /// What the catalogue import did.
    import: Option<&'a ImportReport>,
    plan: Vec<String>,
    proofs: &'a [Proof],
    seconds: u64,
    /// Whether PostgreSQL has been up on it, and was shut down cleanly.
    recovered: bool,
    /// What was remarkable on the night the escrow was taken.
    warnings: &'a [String],
    /// Null where Databasus must not be started on the target yet.
    start: Option<Start>,
    findings: &'a [Finding],
    exit: u8,
}

#[derive(Serialize)]
struct Start {
    compose: String,
    docker_run: String,
}

pub(in crate::cli) fn run(
    args: &Rehydrate,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let Some(target) = &args.target else {
        return from_key::run(args, global, output, cancel);
    };
    let began = SystemClock.now();
    // Cheap refusals come first: nothing is fetched for a target that cannot be made.
    StagedTarget::check(target)
        .map_err(|error| hints::rehydrate(rehydrate::RehydrateError::Target(error)))?;
    let reader = Reader::open(&args.reading, global, cancel)?;
    identities::refuse_on_the_source(
        reader.config.as_ref(),
        "rehydrate on another box, or give --instance, --store and --trust as the trust card has \
         them",
    )?;
    let unlock = args.unlock.as_deref();
    let opening = Opening::of(&args.identities, unlock, reader.config.as_ref())?;
    let storages = storages(args, cancel)?;
    let history = reader.history(output, cancel)?;
    let (entry, _) = select(&history, &selection(args)).map_err(hints::select)?;
    if let Some(remark) = passed_over(&history, entry) {
        output.remark(&remark);
    }
    let manifest = history.load(entry).map_err(hints::history)?;
    let mode = mode(args, &manifest)?;
    let job = Job {
        args,
        target,
        manifest: &manifest,
        entry,
        mode: &mode,
        plan: plan(args, target, &manifest, &mode, &reader),
    };
    if args.dry_run {
        return job.dry_run(&history, output);
    }
    if args.fencing.live {
        confirm::demand(&reader.slug, args.fencing.confirm.as_deref(), LIVE)?;
    }
    let opening = opening.ok_or_else(identities::none_given)?;
    let identities = opening.identities(&manifest, &reader, output, cancel)?;
    let counting = Progress::count(global, "objects listed:");
    let restore_tool = programs::restore_tool();
    let handover = Handover {
        proof: args.proof,
        restore_tool: restore_tool.as_ref(),
        fence: credentials(args),
        head: head(&history, entry),
        storages: &storages,
        import: imports(args),
        on_progress: &|reached| counting.show(reached),
        now: began,
    };
    let progress = Progress::new(global, "restoring", Some(manifest.payload.size));
    let counter = progress.clone();
    let ports = Ports {
        stores: &reader.stores,
        identities: &identities,
        handover: &handover,
        cancel,
        on_bytes: Box::new(move |count| counter.add(count)),
    };
    let report = rehydrate::run(&manifest, target, &mode, ports).map_err(hints::rehydrate)?;
    drop(progress);
    job.tell(&report, &history, began, output)
}

const LIVE: &str = "--live leaves the clone unfenced: started with a network, it backs up, deletes \
     and notifies as production does";

/// One rehydrate, as it was asked for.
struct Job<'a> {
    args: &'a Rehydrate,
    target: &'a Path,
    manifest: &'a Manifest,
    entry: &'a Entry,
    mode: &'a Mode,
    plan: Vec<String>,
}

impl Job<'_> {
    fn tell(
        self,
        report: &Report,
        history: &History,
        began: UtcTime,
        output: &Output,
    ) -> Result<Exit, CliError> {
        let findings: Vec<Finding> = [history.findings.as_slice(), &report.findings].concat();
        let exit = exit(report, &findings);
        let isolation = isolation(report);
        let document = Document {
            target: &report.target,
            fenced: isolation == Isolation::Fenced && !self.args.fencing.keep_storage_credentials,
            fence: report.fence.as_ref(),
            import: report.import.as_ref(),
            proofs: &report.proofs,
            recovered: !matches!(self.mode, Mode::FilesOnly),
            warnings: &report.index.warnings,
            seconds: (SystemClock.now().unix() - began.unix()).unsigned_abs(),
            start: start(
                self.args,
                self.manifest,
                self.mode,
                &report.target,
                isolation,
            ),
            findings: &findings,
            exit: exit.code(),
            ..self.document()
        };
        output.result(&document, || text::finished(&document))?;
        for proof in &report.proofs {
            if proof.outcome == Outcome::Failed {
                output.complain(&format!("{} FAILED: {}", proof.what, proof.detail));
            }
        }
        super::findings::complain(&findings, output);
        Ok(exit)
    }

    fn dry_run(self, history: &History, output: &Output) -> Result<Exit, CliError> {
        let exit = super::findings::exit_beside(&history.findings);
        let document = Document {
            dry_run: true,
            findings: &history.findings,
            exit: exit.code(),
            ..self.document()
        };
        output.result(&document, || text::planned(&document))?;
        Ok(exit)
    }

    /// What is known before anything is done.
    fn document(&self) -> Document<'_> {
        Document {
            escrow_id: &self.manifest.escrow_id,
            seq: self.manifest.seq,
            manifest_sha256: self.entry.link.digest,
            snapshot_at: self.manifest.snapshot_at,
            target: self.target,
            dry_run: false,
            fenced: false,
            fence: None,
            import: None,
            plan: self.plan.clone(),
            proofs: &[],
            seconds: 0,
            recovered: false,
            warnings: &[],
            start: None,
            findings: &[],
            exit: 0,
        }
    }
}

fn storages(args: &Rehydrate, cancel: &Cancel) -> Result<Storages, CliError> {
    // Backups in LOCAL storages are in no escrow.
    Storages::new(
        Haste::Need,
        None,
        &args.fencing.read_only_credentials,
        cancel,
    )
}

fn credentials(args: &Rehydrate) -> Option<Credentials> {
    match (args.fencing.live, args.fencing.keep_storage_credentials) {
        (true, _) => None,
        (false, true) => Some(Credentials::Keep),
        (false, false) => Some(Credentials::ReadOnlyOrBlank),
    }
}

fn imports(args: &Rehydrate) -> Option<ImportSettings> {
    (!args.importing.no_import).then(|| ImportSettings {
        assign: args.importing.decisions.assign.clone(),
        create_placeholders: args.importing.decisions.placeholders,
        // They are in no escrow.
        local_files_left_out: true,
        ..ImportSettings::default()
    })
}

/// The newest manifest that is known, for the fence's record.
fn head(history: &History, chosen: &Entry) -> (u64, Digest) {
    let head = history.mark();
    head.map_or((chosen.link.seq, chosen.link.digest), |mark| {
        (mark.seq, mark.manifest_sha256)
    })
}

/// What keeps the clone from touching production.
fn isolation(report: &Report) -> Isolation {
    match &report.fence {
        Some(fence) if fence.is_whole() => Isolation::Fenced,
        Some(_) => Isolation::PartlyFenced,
        None => Isolation::NoNetwork,
    }
}

fn selection(args: &Rehydrate) -> Selection {
    match args.at {
        Some(time) => Selection::At(time),
        None => args.escrow.selection(),
    }
}

fn image<'a>(args: &'a Rehydrate, manifest: &'a Manifest) -> Option<&'a str> {
    let recorded = manifest.source.image.as_deref();
    args.image.as_deref().or(recorded)
}

fn version(manifest: &Manifest) -> Option<&str> {
    manifest.source.databasus_version.as_deref()
}

/// How to start Databasus on the target, if it may be: not before PostgreSQL has recovered it,
/// and not with an image whose PostgreSQL is of another major.
fn start(
    args: &Rehydrate,
    manifest: &Manifest,
    mode: &Mode,
    target: &Path,
    isolation: Isolation,
) -> Option<Start> {
    let ready = match mode {
        Mode::FilesOnly => false,
        Mode::Full(_) => true,
        Mode::FromLogical(launcher) => launcher.major() == major(manifest).ok(),
    };
    let start = start_instructions(image(args, manifest), version(manifest), target, isolation);
    ready.then_some(Start {
        compose: start.compose_yaml,
        docker_run: start.docker_run,
    })
}

/// PostgreSQL's major release, as the manifest records it.
fn major(manifest: &Manifest) -> Result<u32, CliError> {
    let recorded = &manifest.source.pg_version;
    let digits = recorded.split(|c: char| !c.is_ascii_digit()).next();
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            CliError::usage(format!(
                "the manifest names PostgreSQL {:?}, which is no version",
                printable(recorded)
            ))
        })
}

/// Finds the PostgreSQL that is needed before anything is fetched.
fn mode(args: &Rehydrate, manifest: &Manifest) -> Result<Mode, CliError> {
    if args.files_only {
        return Ok(Mode::FilesOnly);
    }
    let wanted = Wanted {
        major: major(manifest)?,
        pg_bin: args.pg_bin.as_deref(),
        image: image(args, manifest),
    };
    let hint = "; --files-only goes without";
    Ok(if args.from_logical {
        Mode::FromLogical(wanted.launcher_or_later().map_err(|e| e.add_hint(hint))?)
    } else {
        Mode::Full(wanted.launcher().map_err(|e| e.add_hint(hint))?)
    })
}

fn plan(
    args: &Rehydrate,
    target: &Path,
    manifest: &Manifest,
    mode: &Mode,
    reader: &Reader,
) -> Vec<String> {
    let stores: Vec<&str> = reader
        .stores
        .iter()
        .map(|store| store.name())
        .map(StoreName::as_str)
        .collect();
    let mut steps = vec![
        format!(
            "fetch {} in {} parts from {}, each compared with the signed manifest before it is \
             decrypted",
            bytes(manifest.payload.size),
            manifest.payload.parts.len(),
            stores.join(", else ")
        ),
        "decrypt, decompress and unpack beside the target; compare every file with the index"
            .to_owned(),
        "set modes, and as root owners (pgdata 999:999, the rest 65532:65532)".to_owned(),
    ];
    match mode {
        Mode::FilesOnly => steps.push("start nothing (--files-only)".to_owned()),
        Mode::Full(launcher) => steps.push(format!(
            "recover with {launcher} on a private socket; compare row counts; amcheck; shut down \
             cleanly, proven in pg_control"
        )),
        Mode::FromLogical(launcher) => steps.push(format!(
            "build a new cluster with {launcher} from the logical copy; compare row counts; \
             amcheck; shut down cleanly, proven in pg_control"
        )),
    }
    steps.extend(handover_steps(args, mode));
    steps.push(format!(
        "sync, and rename the result to {}",
        target.display()
    ));
    steps
}

fn handover_steps(args: &Rehydrate, mode: &Mode) -> Vec<String> {
    if matches!(mode, Mode::FilesOnly) {
        return Vec::new();
    }
    let fence = match (args.fencing.live, args.fencing.keep_storage_credentials) {
        (true, _) => "leave the metadata LIVE (--live): unfenced".to_owned(),
        (false, true) => "fence the metadata; KEEP the storages' credentials".to_owned(),
        (false, false) => {
            "fence the metadata; put read-only storage credentials in place of the real ones, or \
             blank them"
                .to_owned()
        }
    };
    let import = match args.importing.no_import {
        true => "leave the catalogue as old as the snapshot (--no-import)",
        false => "bring the catalogue up to what the backups' storages hold now",
    };
    vec![fence, import.to_owned()]
}

/// A finished rehydrate is partial when a check failed, or when anything is wrong elsewhere.
fn exit(report: &Report, findings: &[Finding]) -> Exit {
    let wrong = findings
        .iter()
        .any(|finding| finding.severity >= Severity::Warning);
    if wrong || !report.is_whole() {
        Exit::Partial
    } else {
        Exit::Done
    }
}
