//! `audit`: what stores and signers say, held against a policy, without any key.

mod backups;
mod files;
mod plugin;
mod signing;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::StoreName;
use crate::base::time::{Clock, SystemClock};
use crate::cli::args::{Audit, Global};
use crate::cli::author::Signing;
use crate::cli::commands::policy::PolicyFile;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::wire::{self, Reader};
use crate::model::audit::check::{Outcome, Verdict};
use crate::model::audit::facts::Facts;
use crate::model::audit::policy::AuditPolicy;
use crate::model::audit::report::Report;
use crate::ops::audit::{self, Sampling, Testimony, observe};
use crate::store::Rights;

pub(in crate::cli) use plugin::{is_plugin, no_audit, not_understood};

/// What `--json` prints: the report, and what this run did beside looking.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// The word that was left; null where none was asked for.
    witness: Option<&'a Witnessed>,
    exit: u8,
}

/// A witness that was signed.
#[derive(Serialize)]
struct Witnessed {
    /// Its key in the stores.
    key: String,
    /// What each store did not take.
    lacking: BTreeMap<StoreName, String>,
}

/// What was seen, what follows from it, and what this run did beside looking.
struct Audited {
    policy: AuditPolicy,
    facts: Facts,
    report: Report,
    witness: Option<Witnessed>,
    /// The key that signs files of reports; none where nobody signs them.
    signing: Option<Signing>,
    exit: Exit,
}

impl Audited {
    fn document(&self) -> Document<'_> {
        Document {
            report: &self.report,
            witness: self.witness.as_ref(),
            exit: self.exit.code(),
        }
    }
}

pub(in crate::cli) fn run(
    args: &Audit,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    if args.nagios {
        return plugin::run(args, global, output, cancel);
    }
    let audited = audited(args, global, output, cancel)?;
    let document = audited.document();
    let told = output.result(&document, || text::of(&document, output.paints()));
    complain(&audited.report, output);
    let written = files::write(args, &audited);
    end(audited.exit, told.and(written))
}

/// What cannot be written hides no verdict but a pass: the error is told, the exit stays.
fn end(verdict: Exit, written: Result<(), CliError>) -> Result<Exit, CliError> {
    match (written, verdict) {
        (Ok(()), verdict) => Ok(verdict),
        (Err(error), Exit::Done) => Err(error),
        (Err(error), exit) => Err(CliError { exit, ..error }),
    }
}

fn audited(
    args: &Audit,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Audited, CliError> {
    files::check(args)?;
    let file = PolicyFile::read(&args.policy)?;
    let reader = Reader::open(&args.reading, global, cancel)?;
    let signing = signing::for_run(args, &reader)?;
    let facts = match args.head {
        true => reader.head(output)?,
        false => facts(args, &file.policy, &reader, global, output, cancel)?,
    };
    let report = Report::of(&reader.slug, &file.policy, file.sha256, &facts);
    let witness = match signing.as_ref().filter(|_| args.witness) {
        Some(signing) => witness(&reader, signing, &report, output, cancel)?,
        None => None,
    };
    Ok(Audited {
        policy: file.policy,
        facts,
        exit: exit(&report, args.witness, witness.as_ref()),
        report,
        witness,
        signing: signing.filter(|_| args.sign_report),
    })
}

fn facts(
    args: &Audit,
    policy: &AuditPolicy,
    reader: &Reader,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Facts, CliError> {
    let storages = backups::open(args, cancel)?;
    let (history, mark) = reader.history_since(output, cancel)?;
    let request = audit::Request {
        history: &history,
        stores: &reader.stores,
        mark,
        sampling: sampling(args, policy),
        seed: rand::random(),
        now: SystemClock.now(),
        cancel,
    };
    let mut facts = observe(&request).map_err(CliError::failed)?;
    facts.backups = backups::look(&storages, args, global, cancel)?;
    Ok(facts)
}

fn sampling(args: &Audit, policy: &AuditPolicy) -> Sampling {
    match (args.full, args.sample, policy.parts) {
        (true, _, _) => Sampling::Full,
        (_, Some(0), _) => Sampling::None,
        (_, Some(count), _) => Sampling::Some(count),
        (_, None, Some(parts)) if parts.full => Sampling::Full,
        (_, None, Some(parts)) => Sampling::Some(parts.sample),
        (_, None, None) => Sampling::None,
    }
}

/// Signs what was seen, unless it is not to be believed.
fn witness(
    reader: &Reader,
    signing: &Signing,
    report: &Report,
    output: &Output,
    cancel: &Cancel,
) -> Result<Option<Witnessed>, CliError> {
    let (Some(head), false) = (report.head, report.verdict == Verdict::Tampering) else {
        output.remark("nothing was witnessed: there is no chain that could be vouched for");
        return Ok(None);
    };
    let Some(config) = &reader.config else {
        return Ok(None);
    };
    let testimony = Testimony {
        slug: &reader.slug,
        signer: &signing.signer,
        key: &signing.key,
        head,
        now: report.audited_at,
    };
    let destinations = wire::destinations(config, Rights::Write, cancel)?;
    let (key, lacking) = audit::testify(&testimony, &destinations).map_err(CliError::failed)?;
    Ok(Some(Witnessed { key, lacking }))
}

fn exit(report: &Report, asked: bool, witness: Option<&Witnessed>) -> Exit {
    let incomplete = asked && witness.is_none_or(|witness| !witness.lacking.is_empty());
    match report.verdict {
        Verdict::Tampering => Exit::Integrity,
        Verdict::Fail => Exit::Unmet,
        Verdict::Unknown => Exit::Partial,
        Verdict::Pass if incomplete => Exit::Partial,
        Verdict::Pass => Exit::Done,
    }
}

fn complain(report: &Report, output: &Output) {
    let loud = report
        .checks
        .iter()
        .filter(|check| check.outcome >= Outcome::Unknown);
    for check in loud {
        let word = text::word(check);
        output.complain(&format!("{word}: {}: {}", check.id, check.message));
    }
}
