//! `drill`: an escrow and the backups behind it, brought back and thrown away.

mod databasus;
mod programs;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, StoreName};
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Drill, Global};
use crate::cli::author::Signing;
use crate::cli::commands::policy::PolicyFile;
use crate::cli::exit::{CliError, Exit};
use crate::cli::identities;
use crate::cli::opening::Opening;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::storages::{Haste, Storages};
use crate::cli::wire::{self, Reader};
use crate::cli::{hints, programs as found};
use crate::model::audit::drill_demands::DrillDemands;
use crate::model::config::Config;
use crate::model::drill::DrillReport;
use crate::model::finding::{Finding, Severity};
use crate::model::namespace::Namespace;
use crate::ops::drill::{self, Drilled, Entry, Kept, Outlook, Ports, Request, Verdict};
use crate::ops::history::{Entry as ChainEntry, History};
use crate::ops::select::{passed_over, select};
use crate::store::Rights;

use programs::Programs;

/// The document's version: what a script can rely on.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    escrow_id: &'a EscrowId,
    snapshot_at: UtcTime,
    dry_run: bool,
    scratch: &'a Path,
    plan: &'a [String],
    outlook: Outlook,
    /// As it was signed; none after `--dry-run`.
    report: Option<&'a DrillReport>,
    /// The steps with names and figures, which the report holds none of.
    told: Vec<Told<'a>>,
    stored: Option<Stored<'a>>,
    findings: &'a [Finding],
    exit: u8,
}

#[derive(Serialize)]
struct Told<'a> {
    step: &'a str,
    subject: Option<&'a str>,
    verdict: Verdict,
    words: &'a str,
}

#[derive(Serialize)]
struct Stored<'a> {
    key: &'a str,
    sha256: Digest,
    /// What each store did not take.
    lacking: &'a BTreeMap<StoreName, String>,
}

/// One drill, as it was asked for.
struct Job<'a> {
    args: &'a Drill,
    request: Request<'a>,
    history: &'a History,
    plan: Vec<String>,
    outlook: Outlook,
}

pub(in crate::cli) fn run(
    args: &Drill,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let demands = demands(&args.policy)?;
    let config = wire::need_config(global)?;
    identities::refuse_on_the_source(Some(&config), ANOTHER_BOX)?;
    let reader = Reader::open(&args.reading, global, cancel)?;
    let signing = Signing::read(&config, "a drill ends in a signed report")?;
    let history = reader.history(output, cancel)?;
    may_sign(&history, &signing)?;
    let (entry, _) = select(&history, &args.escrow.selection()).map_err(hints::select)?;
    if let Some(remark) = passed_over(&history, entry) {
        output.remark(&remark);
    }
    let manifest = history.load(entry).map_err(hints::history)?;
    let programs = Programs::new(&args.pg_bin);
    let hidden = databasus::credentials();
    let request = Request {
        manifest: &manifest,
        manifest_sha256: entry.link.digest,
        head: head(&history, entry),
        demands: &demands,
        scratch: &scratch(args)?,
        launcher: &programs.metadata(&manifest)?,
        signer: &signing.signer,
        application: databasus::application(args, &hidden),
    };
    let job = Job {
        args,
        plan: plan(&request),
        outlook: request.look().map_err(hints::drill)?,
        request,
        history: &history,
    };
    if args.dry_run {
        return job.dry_run(output);
    }
    output.remark(job.told().trim_end());
    let drilled = job.drill(&reader, &programs, global, output, cancel)?;
    let kept = keep(&drilled.report, &signing, &config, &history, cancel)?;
    job.tell(&drilled, &kept, output)
}

const ANOTHER_BOX: &str = "drill on another box, with a signing key of its own that allowed_signers \
     permits for escrow-drill@databasus";

/// The newest manifest that is known, for the fence's record.
fn head(history: &History, chosen: &ChainEntry) -> (u64, Digest) {
    let head = history.mark();
    head.map_or((chosen.link.seq, chosen.link.digest), |mark| {
        (mark.seq, mark.manifest_sha256)
    })
}

impl Job<'_> {
    fn drill(
        &self,
        reader: &Reader,
        programs: &Programs<'_>,
        global: &Global,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<Drilled, CliError> {
        let (args, manifest) = (self.args, self.request.manifest);
        let unlock = args.unlock.as_deref();
        let opening = Opening::of(&args.identities, unlock, reader.config.as_ref())?;
        let opening = opening.ok_or_else(identities::none_given)?;
        let opened = opening.identities(manifest, reader, output, cancel)?;
        let storages = Storages::new(Haste::Need, None, &args.read_only_credentials, cancel)?;
        let progress = Progress::new(global, drill::FIRST_STEP, Some(manifest.payload.size));
        let counter = progress.clone();
        let restore_tool = found::restore_tool();
        let ports = Ports {
            stores: &reader.stores,
            identities: &opened,
            storages: &storages,
            programs,
            restore_tool: restore_tool.as_ref(),
            clock: &SystemClock,
            cancel,
            on_step: &|step| {
                if step != drill::FIRST_STEP {
                    progress.turn(step);
                }
            },
            on_wait: &|words| output.remark(words),
            on_bytes: Box::new(move |count| counter.add(count)),
        };
        drill::run(self.request, ports).map_err(hints::drill)
    }

    fn dry_run(&self, output: &Output) -> Result<Exit, CliError> {
        let findings = &self.history.findings;
        let exit = super::findings::exit_beside(findings);
        let document = Document {
            exit: exit.code(),
            ..self.document()
        };
        output.result(&document, || {
            format!("{}Nothing was done (--dry-run).\n", self.told())
        })?;
        Ok(exit)
    }

    fn tell(&self, drilled: &Drilled, kept: &Kept, output: &Output) -> Result<Exit, CliError> {
        let findings = &self.history.findings;
        let exit = exit(drilled.verdict, kept, findings);
        let document = Document {
            report: Some(&drilled.report),
            told: drilled.entries.iter().map(Told::of).collect(),
            stored: Some(Stored {
                key: &kept.key,
                sha256: kept.sha256,
                lacking: &kept.lacking,
            }),
            exit: exit.code(),
            ..self.document()
        };
        output.result(&document, || text::finished(&document, &drilled.entries))?;
        for line in text::complaints(&drilled.report, kept) {
            output.complain(&line);
        }
        super::findings::complain(findings, output);
        Ok(exit)
    }

    fn document(&self) -> Document<'_> {
        Document {
            version: VERSION,
            escrow_id: &self.request.manifest.escrow_id,
            snapshot_at: self.request.manifest.snapshot_at,
            dry_run: self.args.dry_run,
            scratch: self.request.scratch,
            plan: &self.plan,
            outlook: self.outlook,
            report: None,
            told: Vec::new(),
            stored: None,
            findings: &self.history.findings,
            exit: 0,
        }
    }

    /// The plan, in words.
    fn told(&self) -> String {
        text::planned(&self.request, &self.plan, &self.outlook)
    }
}

impl<'a> Told<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            step: &entry.step.name,
            subject: entry.step.subject.as_deref(),
            verdict: entry.verdict,
            words: &entry.words,
        }
    }
}

fn demands(policy: &Path) -> Result<DrillDemands, CliError> {
    PolicyFile::read(policy)?.policy.drill.ok_or_else(|| {
        CliError::usage(format!("{} has no [drill]", policy.display())).hint(
            "runbooks/quarterly-drill.md shows the table [drill] with [[drill.database]], \
             [[drill.cluster]] and their sentinels",
        )
    })
}

fn may_sign(history: &History, signing: &Signing) -> Result<(), CliError> {
    let (key, now) = (signing.key.public(), SystemClock.now());
    let may = history
        .trust
        .may_sign(key, Namespace::Drill, &signing.signer, now);
    may.map_err(|error| {
        CliError::new(Exit::Usage, error).hint(format!(
            "a report that nobody would count is not worth a drill: add `{} \
             namespaces=\"escrow-drill@databasus\" {}` to allowed_signers, here and on the host \
             that takes snapshots",
            signing.signer,
            signing.key.public_openssh()
        ))
    })
}

fn scratch(args: &Drill) -> Result<PathBuf, CliError> {
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::canonicalize(&scratch).map_err(|error| {
        CliError::usage(format!("cannot use {}: {error}", scratch.display()))
            .hint("--scratch names a folder that exists, on a disk with room")
    })
}

fn plan(request: &Request<'_>) -> Vec<String> {
    let Request {
        demands,
        launcher,
        signer,
        ..
    } = request;
    let rehydrate = format!(
        "rehydrate with {launcher}, fenced; prove up to level {}",
        demands.level.min(3)
    );
    let mut steps = vec![rehydrate];
    steps.extend(demands.subjects.iter().map(text::subject));
    steps.extend(request.application.as_ref().map(databasus::plan));
    steps.push("remove everything that was brought back".to_owned());
    steps.push(format!(
        "sign the report as {signer}, and store it beside the escrows"
    ));
    steps
}

fn keep(
    report: &DrillReport,
    signing: &Signing,
    config: &Config,
    history: &History,
    cancel: &Cancel,
) -> Result<Kept, CliError> {
    let destinations = wire::destinations(config, Rights::Write, cancel)?;
    let kept = drill::keep(report, &signing.key, history.layout(), &destinations);
    let kept = kept.map_err(CliError::failed)?;
    if kept.lacking.len() == destinations.len() {
        return Err(CliError::new(
            Exit::Failed,
            NotKept(text::lacking(&kept.lacking)),
        ));
    }
    Ok(kept)
}

/// A drill that nobody will ever know of.
#[derive(Debug, thiserror::Error)]
#[error("no store took the drill's report: {0}")]
struct NotKept(String);

/// The worst of what was found, of a store that lacks the report, and of a chain that is damaged.
fn exit(verdict: Verdict, kept: &Kept, findings: &[Finding]) -> Exit {
    let is_wrong = |finding: &Finding| finding.severity >= Severity::Warning;
    let partial = !kept.lacking.is_empty() || findings.iter().any(is_wrong);
    match verdict {
        Verdict::Integrity => Exit::Integrity,
        Verdict::NoIdentity => Exit::NoIdentity,
        Verdict::Unmet => Exit::Unmet,
        Verdict::Unknown => Exit::Partial,
        Verdict::Fine if partial => Exit::Partial,
        Verdict::Fine => Exit::Done,
    }
}
