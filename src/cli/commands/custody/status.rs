//! `custody status`: who can open escrows, and who has shown it.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{CustodyStatus, Global};
use crate::cli::commands::findings;
use crate::cli::custodians::Custodians;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::cli::wire::Reader;
use crate::model::finding::Finding;
use crate::model::quorum::Quorum;
use crate::model::recipients::Recipients;
use crate::ops::custody::status::{Request, Status};
use crate::ops::history::History;

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    status: &'a Status,
    /// What was found about the chain.
    chain: &'a [Finding],
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &CustodyStatus,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let reader = Reader::open(&args.reading, global, cancel)?;
    let history = reader.history(output, cancel)?;
    let (recipients, quorum) = in_force(&reader, &history)?;
    let now = SystemClock.now();
    let status = Status::gather(&Request {
        recipients: &recipients,
        quorum: quorum.as_ref(),
        history: &history,
        stores: &reader.stores,
        now,
    });
    let all = [history.findings.as_slice(), &status.findings].concat();
    let exit = findings::exit(&all);
    let document = Document {
        status: &status,
        chain: &history.findings,
        exit: exit.code(),
    };
    output.result(&document, || text(&status, &all, now))?;
    findings::complain(&all, output);
    Ok(exit)
}

/// By the configuration, else by the newest escrow.
fn in_force(reader: &Reader, history: &History) -> Result<(Recipients, Option<Quorum>), CliError> {
    if let Some(config) = &reader.config
        && config.resolve(&config.recipients.file).exists()
    {
        let custodians = Custodians::read(config)?;
        return Ok((custodians.recipients, custodians.quorum));
    }
    let newest = history.followed_escrows().next_back();
    let (entry, _) = newest.ok_or_else(|| hints::select(crate::ops::select::SelectError::None))?;
    let policy = history.policy(entry).map_err(hints::history)?;
    let recipients =
        Recipients::parse(&policy.recipients).map_err(|error| hints::recipients(None, error))?;
    let k = history.load(entry).map_err(hints::history)?.custody.k;
    let quorum = k.map(|k| Quorum::new(k, &recipients));
    Ok((recipients, quorum.transpose().map_err(hints::quorum)?))
}

fn text(status: &Status, found: &[Finding], now: UtcTime) -> String {
    let mut rows = vec![
        ["CUSTODIAN", "TYPE", "LAST PROOF", "RECIPIENT"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(status.custodians.iter().map(|one| {
        vec![
            one.name.to_string(),
            one.kind.clone(),
            one.proven_at
                .map_or_else(|| "unproven".to_owned(), |at| at.relative_to(now)),
            one.fingerprint.clone(),
        ]
    }));
    let proven = match status.proven_may_be_lost {
        Some(spare) => format!("of those who are proven, {spare}"),
        None => "those who are proven are too few to open anything".to_owned(),
    };
    format!(
        "{}\n{} of {} open an escrow together. {} may be lost before nobody does; {proven}.\n{}",
        table(&rows),
        status.takes,
        status.custodians.len(),
        status.may_be_lost,
        findings::text(found)
    )
}
