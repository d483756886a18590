//! `close-fork`: somebody has looked into what the chain does not go on from.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::base::text::printable;
use crate::cli::args::{CloseFork, Global};
use crate::cli::author::Writer;
use crate::cli::confirm;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::ops::close_forks::{self, Claimant, OpenFork, Report};
use crate::store::Rights;

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    dry_run: bool,
    #[serde(flatten)]
    report: &'a Report,
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &CloseFork,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let writer = Writer::open(
        global,
        "a fork is closed by a signed manifest",
        Rights::Write,
        cancel,
    )?;
    let instance = &writer.config.instance;
    let look = || close_forks::look(writer.author(), writer.ports(cancel), &args.seqs);
    let mut report = look().map_err(hints::close_fork)?;
    if !args.dry_run && !report.forks.is_empty() {
        let what = format!(
            "{}This says that you know who made each of these manifests",
            text(&report.forks)
        );
        confirm::demand(instance, args.confirm.as_deref(), &what)?;
        let close = close_forks::close(writer.author(), writer.ports(cancel), &report.forks);
        report = close.map_err(hints::close_fork)?;
    }
    let exit = Exit::from(report.completeness());
    let document = Document {
        instance,
        dry_run: args.dry_run,
        report: &report,
        exit: exit.code(),
    };
    output.result(&document, || told(&report))?;
    for why in &report.lacking {
        output.complain(&format!(
            "the closing manifest is missing: {}",
            printable(why)
        ));
    }
    super::findings::complain(&report.findings, output);
    Ok(exit)
}

fn told(report: &Report) -> String {
    let mut out = match report.forks.as_slice() {
        [] => "No fork is open.\n".to_owned(),
        forks => text(forks),
    };
    if let Some(mark) = &report.closed_by {
        out.push_str(&format!("Manifest {} closes them.\n", mark.seq));
    }
    out.push_str(&super::findings::text(&report.findings));
    out
}

fn text(forks: &[OpenFork]) -> String {
    let heading = ["SEQ", "", "SIGNED", "BY", "KEY", "ESCROW", "MANIFEST"];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    for fork in forks {
        lines.extend(fork.claimants.iter().map(|one| line(fork.seq, one)));
    }
    table(&lines)
}

fn line(seq: u64, one: &Claimant) -> Vec<String> {
    let place = match one.followed {
        true => "the chain goes on from it",
        false => "beside the chain",
    };
    let escrow = one.escrow.as_ref().map(ToString::to_string);
    vec![
        seq.to_string(),
        place.to_owned(),
        one.created_at.to_string(),
        one.signer.to_string(),
        one.fingerprint.to_string(),
        escrow.unwrap_or_else(|| "none".to_owned()),
        one.manifest_sha256.to_string(),
    ]
}
