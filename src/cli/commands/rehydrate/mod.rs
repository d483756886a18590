//! `rehydrate`: from an escrow to a data directory.

mod text;

use std::path::Path;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, StoreName};
use crate::base::text::{bytes, printable};
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Global, Rehydrate};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::programs::Wanted;
use crate::cli::progress::Progress;
use crate::cli::wire::{self, Reader};
use crate::databasus::compose::{Isolation, start_instructions};
use crate::model::finding::{Finding, Severity};
use crate::model::manifest::Manifest;
use crate::ops::history::{Entry, History};
use crate::ops::rehydrate::{self, Mode, Outcome, Ports, Proof, Report};
use crate::ops::select::{Selection, select};
use crate::target::StagedTarget;

#[derive(Serialize)]
struct Document<'a> {
    escrow_id: &'a EscrowId,
    seq: u64,
    manifest_sha256: Digest,
    snapshot_at: UtcTime,
    target: &'a Path,
    dry_run: bool,
    fenced: bool,
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
    let began = SystemClock.now();
    // Cheap refusals come first: nothing is fetched for a target that cannot be made.
    StagedTarget::check(&args.target)
        .map_err(|error| hints::rehydrate(rehydrate::RehydrateError::Target(error)))?;
    let reader = Reader::open(&args.reading, global, cancel)?;
    refuse_on_the_source(&reader)?;
    let identities = wire::identities(&args.identities, reader.config.as_ref())?;
    let history = reader.history(output, cancel)?;
    let (entry, _) = select(&history, &selection(args)).map_err(hints::select)?;
    let manifest = history.load(entry).map_err(hints::history)?;
    let mode = mode(args, &manifest)?;
    let plan = plan(args, &manifest, &mode, &reader);
    if args.dry_run {
        return dry_run(args, &manifest, entry, &history, plan, output);
    }
    let identities = identities.ok_or_else(|| {
        CliError::usage("no identity is given")
            .hint("--identity FILE; `databasus-escrow show` names the custodians who hold one")
    })?;
    let progress = Progress::new(global, "restoring", Some(manifest.payload.size));
    let counter = progress.clone();
    let report = rehydrate::run(
        &manifest,
        &args.target,
        &mode,
        Ports {
            stores: &reader.stores,
            identities: &identities,
            cancel,
            on_bytes: Box::new(move |count| counter.add(count)),
        },
    )
    .map_err(hints::rehydrate)?;
    drop(progress);
    let findings: Vec<Finding> = [history.findings.as_slice(), &report.findings].concat();
    let exit = exit(&report, &findings);
    let start = start(args, &manifest, &mode, &report.target);
    let document = Document {
        escrow_id: &manifest.escrow_id,
        seq: manifest.seq,
        manifest_sha256: entry.link.digest,
        snapshot_at: manifest.snapshot_at,
        target: &report.target,
        dry_run: false,
        fenced: false,
        plan,
        proofs: &report.proofs,
        recovered: !matches!(mode, Mode::FilesOnly),
        warnings: &report.index.warnings,
        seconds: (SystemClock.now().unix() - began.unix()).unsigned_abs(),
        start,
        findings: &findings,
        exit: exit.code(),
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

/// Drills and disasters belong on another box than the source's: there must never be a place
/// that holds both the source and an identity.
fn refuse_on_the_source(reader: &Reader) -> Result<(), CliError> {
    let is_source = reader
        .config
        .as_ref()
        .is_some_and(|config| config.source.is_some());
    if is_source {
        return Err(CliError {
            exit: Exit::Refused,
            message: "this configuration is the source's own: it takes snapshots".to_owned(),
            hint: Some(
                "rehydrate on another box, or give --instance, --store and --trust as the trust \
                 card has them"
                    .to_owned(),
            ),
        });
    }
    Ok(())
}

fn selection(args: &Rehydrate) -> Selection {
    match args.at {
        Some(time) => Selection::At(time),
        None => super::show::selection(&args.escrow),
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
fn start(args: &Rehydrate, manifest: &Manifest, mode: &Mode, target: &Path) -> Option<Start> {
    let ready = match mode {
        Mode::FilesOnly => false,
        Mode::Full(_) => true,
        Mode::FromLogical(launcher) => launcher.major() == major(manifest).ok(),
    };
    let start = start_instructions(
        image(args, manifest),
        version(manifest),
        target,
        Isolation::NoNetwork,
    );
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

fn plan(args: &Rehydrate, manifest: &Manifest, mode: &Mode, reader: &Reader) -> Vec<String> {
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
    steps.push("no fence and no catalogue import: this release has neither".to_owned());
    steps.push(format!(
        "sync, and rename the result to {}",
        args.target.display()
    ));
    steps
}

fn dry_run(
    args: &Rehydrate,
    manifest: &Manifest,
    entry: &Entry,
    history: &History,
    plan: Vec<String>,
    output: &Output,
) -> Result<Exit, CliError> {
    let exit = super::findings::exit_beside(&history.findings);
    let document = Document {
        escrow_id: &manifest.escrow_id,
        seq: manifest.seq,
        manifest_sha256: entry.link.digest,
        snapshot_at: manifest.snapshot_at,
        target: &args.target,
        dry_run: true,
        fenced: false,
        plan,
        proofs: &[],
        recovered: false,
        warnings: &[],
        seconds: 0,
        start: None,
        findings: &history.findings,
        exit: exit.code(),
    };
    output.result(&document, || text::planned(&document))?;
    Ok(exit)
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
