//! `show`: one escrow's manifest.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::SignerName;
use crate::base::text::{bytes, printable};
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Global, Show};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::cli::wire::Reader;
use crate::model::finding::Finding;
use crate::model::lock::{LockRecord, LockState, ProbeRecord};
use crate::model::manifest::{Manifest, StoreState};
use crate::model::proof::{Outcome, ProofRecord};
use crate::ops::history::Entry;
use crate::ops::select::{passed_over, select};

#[derive(Serialize)]
struct Document<'a> {
    manifest: &'a Manifest,
    manifest_sha256: Digest,
    signer: &'a SignerName,
    signer_fingerprint: Fingerprint,
    findings: &'a [Finding],
}

pub(in crate::cli) fn run(
    args: &Show,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let reader = Reader::open(&args.reading, global, cancel)?;
    let history = reader.history(output, cancel)?;
    let (entry, _) = select(&history, &args.escrow.selection()).map_err(hints::select)?;
    if let Some(remark) = passed_over(&history, entry) {
        output.remark(&remark);
    }
    let manifest = history.load(entry).map_err(hints::history)?;
    let document = Document {
        manifest: &manifest,
        manifest_sha256: entry.link.digest,
        signer: &entry.signer,
        signer_fingerprint: entry.fingerprint,
        findings: &history.findings,
    };
    output.result(&document, || {
        let mut out = text(&manifest, entry, SystemClock.now());
        out.push_str(&super::findings::text(&history.findings));
        out
    })?;
    super::findings::complain(&history.findings, output);
    Ok(super::findings::exit_beside(&history.findings))
}

fn text(manifest: &Manifest, entry: &Entry, now: UtcTime) -> String {
    let source = &manifest.source;
    let payload = &manifest.payload;
    let or_dash = |text: &Option<String>| printable(text.as_deref().unwrap_or("-")).into_owned();
    let mut rows = vec![
        ("escrow", manifest.escrow_id.to_string()),
        ("sequence", manifest.seq.to_string()),
        (
            "taken",
            format!(
                "{} ({}), {}",
                manifest.snapshot_at,
                manifest.snapshot_at.relative_to(now),
                source.method
            ),
        ),
        ("next due", manifest.next_due.to_string()),
        (
            "payload",
            format!(
                "{} in {} parts, sha256 {}",
                bytes(payload.size),
                payload.parts.len(),
                payload.sha256
            ),
        ),
        ("databasus", or_dash(&source.databasus_version)),
        ("image", or_dash(&source.image)),
        (
            "schema",
            source
                .schema_version
                .map_or("-".to_owned(), |v| v.to_string()),
        ),
        (
            "postgresql",
            format!(
                "{}, system identifier {}, timeline {}",
                printable(&source.pg_version),
                printable(&source.system_identifier),
                source.timeline
            ),
        ),
        (
            "log",
            format!(
                "{} to {}",
                or_dash(&source.start_lsn),
                or_dash(&source.stop_lsn)
            ),
        ),
        (
            "secret key id",
            printable(&manifest.secret_key_id).into_owned(),
        ),
        ("proof", proof(manifest.proof.as_ref())),
        (
            "signed by",
            format!("{} {}", entry.signer, entry.fingerprint),
        ),
        ("manifest", format!("sha256 {}", entry.link.digest)),
    ];
    if let Some(k) = manifest.custody.k {
        rows.push(("custody", format!("any {k} of these together")));
    }
    for recipient in &manifest.recipients {
        let named = format!(
            "{} {} {}",
            recipient.custodian,
            printable(&recipient.kind),
            printable(&recipient.fingerprint)
        );
        rows.push(("custodian", named));
    }
    for store in &manifest.stores {
        let state = match store.state {
            StoreState::Stored => "stored",
            StoreState::Failed => "FAILED",
        };
        let place = printable(store.bucket.as_deref().unwrap_or("a directory")).into_owned();
        let lock = store.lock.as_ref().map(lock).unwrap_or_default();
        rows.push(("store", format!("{} {state}, {place}{lock}", store.name)));
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    table(&rows)
}

/// `, locked compliance until …, probed 2026-06-12T02:00:00Z: enforced`.
pub(super) fn lock(record: &LockRecord) -> String {
    let lock = match record.state() {
        LockState::Locked(lock) => format!(", locked {lock}"),
        LockState::Unlocked => ", NOT LOCKED".to_owned(),
        LockState::Unknown => ", lock UNKNOWN".to_owned(),
    };
    match record.probe {
        None => lock + ", never probed",
        Some(ProbeRecord { at, result }) => format!("{lock}, probed {at}: {result}"),
    }
}

/// `level 2 of 2`, and which levels failed.
pub(super) fn proof(record: Option<&ProofRecord>) -> String {
    let Some(record) = record else {
        return "none was tried".to_owned();
    };
    let reached = match record.reached {
        Some(reached) => format!("level {reached} of {}", record.wanted),
        None => format!("nothing of level {}", record.wanted),
    };
    let failed = record
        .levels
        .iter()
        .filter(|level| level.outcome == Outcome::Failed)
        .map(|level| format!("; level {} FAILED", level.level));
    reached + &failed.collect::<String>()
}
