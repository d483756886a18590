//! `list`: every verified escrow, and what is wrong with the chain.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::names::{EscrowId, SignerName, Slug, StoreName};
use crate::base::text::{bytes, printable};
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{Global, List};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::{Output, table};
use crate::cli::wire::Reader;
use crate::model::finding::{Finding, Severity, worst};
use crate::model::mark::Mark;
use crate::model::method::Method;
use crate::ops::history::{Entry, EscrowSummary, History};

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    head: Option<Mark>,
    next_due: Option<UtcTime>,
    overdue: Option<bool>,
    escrows: Vec<Row<'a>>,
    findings: &'a [Finding],
}

#[derive(Serialize)]
struct Row<'a> {
    seq: u64,
    id: &'a EscrowId,
    snapshot_at: UtcTime,
    size: u64,
    method: Method,
    pg_version: &'a str,
    databasus_version: Option<&'a str>,
    signer: &'a SignerName,
    manifest_sha256: Digest,
    manifest_in: &'a [StoreName],
    stored_in: &'a [StoreName],
    let_go_by: Option<u64>,
}

pub(in crate::cli) fn run(
    args: &List,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let reader = Reader::open(&args.reading, global, cancel)?;
    let history = reader.history(output, cancel)?;
    let now = SystemClock.now();
    let head = history.head();
    let document = Document {
        instance: &reader.slug,
        head: history.mark(),
        next_due: head.map(|head| head.next_due),
        overdue: head.map(|head| head.next_due < now),
        escrows: history.escrows().map(Row::of).collect(),
        findings: &history.findings,
    };
    output.result(&document, || text(&history, &document, now))?;
    super::findings::complain(document.findings, output);
    // A list is still a list when a store lacks something; a lie in it is not.
    Ok(match worst(&history.findings) {
        Some(Severity::Violation) => Exit::Integrity,
        _ if document.escrows.is_empty() => Exit::NotFound,
        _ => Exit::Done,
    })
}

impl<'a> Row<'a> {
    fn of((entry, escrow): (&'a Entry, &'a EscrowSummary)) -> Self {
        Self {
            seq: entry.link.seq,
            id: &escrow.id,
            snapshot_at: escrow.snapshot_at,
            size: escrow.size,
            method: escrow.method,
            pg_version: &escrow.pg_version,
            databasus_version: escrow.databasus_version.as_deref(),
            signer: &entry.signer,
            manifest_sha256: entry.link.digest,
            manifest_in: &entry.held_by,
            stored_in: &escrow.stored_in,
            let_go_by: escrow.let_go_by.first().map(|mark| mark.seq),
        }
    }
}

fn text(history: &History, document: &Document<'_>, now: UtcTime) -> String {
    let mut out = match document.escrows.as_slice() {
        [] => format!("No verified escrow of {}.\n", document.instance),
        rows => rows_text(rows, now),
    };
    if let Some(head) = history.head() {
        let due = head.next_due;
        let state = if due < now { "OVERDUE" } else { "due" };
        out.push_str(&format!(
            "\nNext escrow {state} {due} ({}).\nMark: {}:{}\n",
            due.relative_to(now),
            head.link.seq,
            head.link.digest
        ));
    }
    out.push_str(&super::findings::text(document.findings));
    out
}

fn rows_text(rows: &[Row<'_>], now: UtcTime) -> String {
    let heading = [
        "SEQ",
        "ESCROW",
        "TAKEN",
        "AGE",
        "SIZE",
        "METHOD",
        "DATABASUS",
        "SIGNER",
        "STORED IN",
    ];
    let mut lines = vec![heading.map(str::to_owned).to_vec()];
    for row in rows {
        let stores: Vec<_> = row.stored_in.iter().map(StoreName::as_str).collect();
        let stored_in = match row.let_go_by {
            Some(seq) => format!("let go by {seq}"),
            None => stores.join(", "),
        };
        lines.push(vec![
            row.seq.to_string(),
            row.id.to_string(),
            row.snapshot_at.to_string(),
            row.snapshot_at.relative_to(now),
            bytes(row.size),
            row.method.to_string(),
            printable(row.databasus_version.unwrap_or("-")).into_owned(),
            row.signer.to_string(),
            stored_in,
        ]);
    }
    table(&lines)
}
