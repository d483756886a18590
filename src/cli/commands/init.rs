//! `init` and `init --join`: the files that everything else begins with.

use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::fingerprint::Fingerprint;
use crate::base::text::printable;
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Global, Init};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::{Output, table};
use crate::cli::{hints, wire};
use crate::model::allowed_signers::AllowedSigners;
use crate::model::config::{self, Answers, Reach, Schedule, Signing, Source};
use crate::model::finding::Finding;
use crate::model::recipients::Recipients;
use crate::model::store_spec::StoreSpec;
use crate::ops::card::{self, CardRequest, TrustCard};
use crate::ops::init::{self, InitPlan, InitRequest, StoreProbe};
use crate::ops::join::{self, JoinRequest, NewerManifests};
use crate::ops::state::State;
use crate::store::probe::Outcome;
use crate::store::{Rights, Store};

#[derive(Serialize)]
struct Document {
    written: Vec<std::path::PathBuf>,
    probes: Vec<StoreProbe>,
    continued: Option<Continued>,
    /// Null after a join: nothing is signed with the new key before the next snapshot.
    card: Option<TrustCard>,
}

#[derive(Serialize)]
struct Continued {
    head_seq: u64,
    retired: Vec<Fingerprint>,
    findings: Vec<Finding>,
}

pub(in crate::cli) fn run(
    args: &Init,
    _: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let specs = wire::parse_stores(&args.stores)?;
    let recipients = recipients(args)?;
    let stores = specs
        .iter()
        .map(|spec| wire::open_store(spec, Rights::Write, &|path| args.dir.join(path), cancel))
        .collect::<Result<Vec<_>, _>>()?;
    let answers = answers(args, specs);
    let now = SystemClock.now();
    let plan = |recipients: Recipients| {
        init::plan(InitRequest {
            dir: args.dir.clone(),
            answers: answers.clone(),
            recipients,
            now,
        })
        .map_err(hints::init)
    };
    // What would be refused anyway is refused before any store is touched.
    let planned = match (args.join, &recipients) {
        (true, _) => None,
        (false, Some(recipients)) => Some(plan(recipients.clone())?),
        (false, None) => {
            return Err(
                CliError::usage("nobody could open the escrows: --recipient is missing")
                    .hint("--recipient NAME=age1…, once per custodian; `age-keygen` makes a pair"),
            );
        }
    };
    let probes = init::probe_all(&stores, &args.instance);
    if !args.skip_probe {
        init::refuse_unusable(&probes).map_err(hints::init)?;
    }
    let document = match planned {
        Some(plan) => begin(args, &plan, probes, now)?,
        None => join(args, answers, recipients, &stores, probes, cancel)?,
    };
    output.result(&document, || text(&document))?;
    Ok(Exit::Done)
}

/// Writes the files of a new instance.
fn begin(
    args: &Init,
    plan: &InitPlan,
    probes: Vec<StoreProbe>,
    now: UtcTime,
) -> Result<Document, CliError> {
    init::refuse_chains(&args.instance, &probes).map_err(hints::init)?;
    let written = init::apply(plan).map_err(hints::init)?;
    let card = card::from_config(CardRequest {
        config: plan.config(),
        recipients: plan.recipients_text(),
        allowed_signers: plan.allowed_signers_text(),
        head: None,
        tool_sha256: wire::own_digest(),
        now,
    });
    Ok(Document {
        written: written.paths,
        probes,
        continued: None,
        card: Some(card.map_err(CliError::failed)?),
    })
}

/// Writes the files of a host that continues a chain.
fn join(
    args: &Init,
    answers: Answers,
    recipients: Option<Recipients>,
    stores: &[Arc<dyn Store>],
    probes: Vec<StoreProbe>,
    cancel: &Cancel,
) -> Result<Document, CliError> {
    let state = State::new(args.dir.join(config::State::default().dir));
    let plan = join::plan(JoinRequest {
        dir: args.dir.clone(),
        answers,
        recipients,
        stores,
        allowed_signers: allowed_signers(args)?,
        pinned: args.trust.clone(),
        mark: args.mark,
        newer: match args.ignore_newer {
            true => NewerManifests::Ignore,
            false => NewerManifests::Refuse,
        },
        state: &state,
        now: SystemClock.now(),
        cancel,
    })
    .map_err(hints::join)?;
    let written = join::apply(&plan, &state).map_err(hints::join)?;
    Ok(Document {
        written: written.paths,
        probes,
        continued: Some(Continued {
            head_seq: plan.head().seq,
            retired: plan.retired().to_vec(),
            findings: plan.findings().to_vec(),
        }),
        card: None,
    })
}

fn recipients(args: &Init) -> Result<Option<Recipients>, CliError> {
    if args.recipients.is_empty() {
        return Ok(None);
    }
    Recipients::from_arguments(&args.recipients)
        .map(Some)
        .map_err(|error| hints::recipients(None, error))
}

fn allowed_signers(args: &Init) -> Result<AllowedSigners, CliError> {
    let Some(file) = &args.allowed_signers else {
        return Ok(AllowedSigners::default());
    };
    AllowedSigners::parse(&wire::read_text(file)?)
        .map_err(|error| hints::allowed_signers(file, error))
}

fn answers(args: &Init, stores: Vec<StoreSpec>) -> Answers {
    Answers {
        instance: args.instance.clone(),
        source: Some(Source {
            data_dir: args.data_dir.clone(),
            host: args.pg_host.clone(),
            port: args.pg_port,
            reach: args.container.clone().map(Reach::Container),
            image: args.image.clone(),
            version: args.databasus_version.clone(),
            ..Source::default()
        }),
        signing: Some(Signing {
            key_file: "signing.key".into(),
            signer: args.signer.clone(),
        }),
        open: None,
        schedule: Schedule::default(),
        stores,
    }
}

fn text(document: &Document) -> String {
    let mut out = String::from("Written:\n");
    for path in &document.written {
        out.push_str(&format!("  {}\n", path.display()));
    }
    if let Some(continued) = &document.continued {
        out.push_str(&format!(
            "\nThe chain goes on after number {}; {} lost key(s) retired.\n",
            continued.head_seq,
            continued.retired.len()
        ));
        out.push_str(&super::findings::text(&continued.findings));
    }
    out.push_str("\nStores:\n");
    out.push_str(&probes_text(&document.probes));
    // The configuration is written last.
    let config = document
        .written
        .last()
        .map(|path| path.display().to_string());
    let config = config.unwrap_or_default();
    out.push_str(&format!(
        "\nNext: databasus-escrow --config {config} snapshot\n"
    ));
    match &document.card {
        Some(card) => {
            out.push_str(
                "Print the trust card below, and again with `card` after the first snapshot; keep \
                 it off this host.\n\n",
            );
            out.push_str(&card.text());
        }
        None => out.push_str(&format!(
            "Then print the new trust card, and throw the old one away:\n      \
             databasus-escrow --config {config} card\n"
        )),
    }
    out
}

fn probes_text(probes: &[StoreProbe]) -> String {
    let rows: Vec<Vec<String>> = probes
        .iter()
        .flat_map(|probe| {
            probe.report.checks.iter().map(|check| {
                let outcome = match check.outcome {
                    Outcome::Yes => "yes",
                    Outcome::No => "no",
                    Outcome::Unknown => "unknown",
                };
                vec![
                    format!("  {}", probe.store),
                    check.name.to_owned(),
                    outcome.to_owned(),
                    printable(&check.detail).into_owned(),
                ]
            })
        })
        .collect();
    table(&rows)
}
