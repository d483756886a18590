//! `snapshot`: the nightly job.

use std::sync::Arc;

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, StoreName};
use crate::base::text::{bytes, printable};
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Global, Snapshot};
use crate::cli::author::Signing;
use crate::cli::custodians::Custodians;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::cli::progress::Progress;
use crate::cli::storages::{Haste, Storages};
use crate::cli::{source, wire};
use crate::model::config::Config;
use crate::model::finding::Finding;
use crate::model::proof::{Level, ProofRecord};
use crate::ops::replicate;
use crate::ops::snapshot::{self, Ports, ProofSettings, Settings};
use crate::ops::state::State;
use crate::postgres::restore_tool::RestoreTool;
use crate::store::Rights;

#[derive(Serialize)]
struct Document<'a> {
    escrow_id: &'a EscrowId,
    seq: u64,
    manifest_sha256: Digest,
    snapshot_at: UtcTime,
    next_due: UtcTime,
    size: u64,
    seconds: u64,
    stores: Vec<StoreRow<'a>>,
    proof: Option<&'a ProofRecord>,
    replicated: Option<&'a replicate::Report>,
    findings: &'a [Finding],
    exit: u8,
}

#[derive(Serialize)]
struct StoreRow<'a> {
    name: &'a StoreName,
    required: bool,
    failure: Option<&'a str>,
}

pub(in crate::cli) fn run(
    args: &Snapshot,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let began = SystemClock.now();
    let config = wire::need_config(global)?;
    let settings = settings(&config, args)?;
    let destinations = wire::destinations(&config, Rights::Write, cancel)?;
    let progress = Progress::new(global, "sealing", None);
    let counter = progress.clone();
    let on_bytes = Arc::new(move |count| counter.add(count));
    let mut source = source::open(&config, on_bytes, cancel)?;
    let report = snapshot::run(
        &settings,
        Ports {
            source: source.as_mut(),
            destinations: &destinations,
            storages: &storages(&config, cancel)?,
            state: &State::new(config.resolve(&config.state.dir)),
            clock: &SystemClock,
            cancel,
            random: rand::random(),
        },
    )
    .map_err(hints::snapshot)?;
    drop(progress);
    let exit = Exit::from(report.completeness());
    let seconds = SystemClock.now().unix() - began.unix();
    let document = Document {
        escrow_id: &report.manifest.escrow_id,
        seq: report.manifest.seq,
        manifest_sha256: report.digest,
        snapshot_at: report.manifest.snapshot_at,
        next_due: report.manifest.next_due,
        size: report.manifest.payload.size,
        seconds: seconds.unsigned_abs(),
        stores: report.stores.iter().map(StoreRow::of).collect(),
        proof: report.manifest.proof.as_ref(),
        replicated: report.replicated.as_ref(),
        findings: &report.findings,
        exit: exit.code(),
    };
    output.result(&document, || text(&document))?;
    for store in &report.stores {
        if let Some(why) = &store.failure {
            output.complain(&format!("store {} is incomplete: {why}", store.name));
        }
    }
    if let Some(replicated) = &report.replicated {
        super::replicate::complain(replicated, output);
    }
    super::findings::complain(&report.findings, output);
    Ok(exit)
}

/// The places that Databasus keeps its backups in, LOCAL ones beside its key.
fn storages(config: &Config, cancel: &Cancel) -> Result<Storages, CliError> {
    let source = config.source.as_ref();
    let local = source.map(|source| config.resolve(&source.data_dir).join("backups"));
    Storages::new(Haste::Look, local, &[], cancel)
}

fn proof(config: &Config, args: &Snapshot) -> ProofSettings {
    let level = args.proof.unwrap_or(config.proof.level);
    let needs_tool = level.max(args.require_proof.unwrap_or(level)) >= Level::WholeBackups;
    let pg_dump = config.source.as_ref().and_then(|source| {
        let program = source.pg_dump.as_ref()?;
        Some(config.resolve(program))
    });
    let search_path = wire::environment("PATH").unwrap_or_default();
    ProofSettings {
        level,
        required: args.require_proof,
        restore_tool: needs_tool
            .then(|| RestoreTool::find(pg_dump.as_deref(), search_path.as_ref()))
            .flatten(),
    }
}

fn settings(config: &Config, args: &Snapshot) -> Result<Settings, CliError> {
    let signing = Signing::read(config, "snapshots are taken on the source's host")?;
    let custodians = Custodians::read(config)?;
    let hours = i64::from(config.schedule.every_hours) + i64::from(config.schedule.grace_hours);
    let source = config.source.as_ref();
    Ok(Settings {
        slug: config.instance.clone(),
        signer: signing.signer,
        signing_key: signing.key,
        recipients: custodians.recipients,
        quorum: custodians.quorum,
        recipients_text: custodians.text,
        allowed_signers_text: signing.allowed_signers,
        due_after: hours * 3600,
        level: config.compression.level,
        workers: workers(),
        image: source.and_then(|source| source.image.clone()),
        databasus_version: source.and_then(|source| source.version.clone()),
        proof: proof(config, args),
    })
}

/// One compressor per core, up to the four that fit the memory bound.
fn workers() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    u32::try_from(cores.min(4)).unwrap_or(1)
}

impl<'a> StoreRow<'a> {
    fn of(store: &'a snapshot::StoreReport) -> Self {
        Self {
            name: &store.name,
            required: store.required,
            failure: store.failure.as_deref(),
        }
    }
}

fn text(document: &Document<'_>) -> String {
    let mut out = format!(
        "Escrow {} is committed as number {}: {} in {} s, next due {}.\n",
        document.escrow_id,
        document.seq,
        bytes(document.size),
        document.seconds,
        document.next_due
    );
    let rows: Vec<Vec<String>> = document
        .stores
        .iter()
        .map(|store| {
            let state = match store.failure {
                None => "stored and read back".to_owned(),
                Some(why) => format!("FAILED: {}", printable(why)),
            };
            vec![format!("  {}", store.name), state]
        })
        .collect();
    out.push_str(&table(&rows));
    out.push_str(&document.proof.map(proof_line).unwrap_or_default());
    if let Some(replicated) = document.replicated {
        out.push_str("Of earlier nights: ");
        out.push_str(&super::replicate::text(replicated));
    }
    out.push_str(&super::findings::text(document.findings));
    out
}

fn proof_line(proof: &ProofRecord) -> String {
    let reached = match proof.reached {
        Some(reached) => format!("level {reached} is proven"),
        None => "nothing is proven".to_owned(),
    };
    format!(
        "Of key and backups {reached}; level {} was wanted.\n",
        proof.wanted
    )
}
