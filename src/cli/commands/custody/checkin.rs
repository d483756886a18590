//! `custody checkin`: a custodian's answer, verified and kept.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::{CustodianName, EscrowId, StoreName};
use crate::base::text::printable;
use crate::base::time::{Clock, SystemClock, UtcTime};
use crate::cli::args::{CustodyCheckin, Global, Reading};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::wire::{self, Reader};
use crate::model::checkin::MAX_BYTES;
use crate::ops::custody::checkin::{Verified, keep, verify_submitted};
use crate::sealing::sshsig::MAX_SIGNATURE_BYTES;

#[derive(Serialize)]
struct Document<'a> {
    custodian: &'a CustodianName,
    escrow_id: &'a EscrowId,
    proven_at: UtcTime,
    signed_by: String,
    /// Whether a token was touched for the signature; null where the key is no token's.
    touched: Option<bool>,
    /// What each store did not take.
    lacking: &'a BTreeMap<StoreName, String>,
    exit: u8,
}

pub(in crate::cli) fn run(
    args: &CustodyCheckin,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let config = wire::need_config(global)?;
    let document = read(&args.file, MAX_BYTES)?;
    let signature = read(&beside(&args.file), MAX_SIGNATURE_BYTES as u64)?;
    let reader = Reader::open(&Reading::default(), global, cancel)?;
    let history = reader.history(output, cancel)?;
    let verified = verify_submitted(&document, &signature, &history, SystemClock.now())
        .map_err(hints::checkin)?;
    let destinations = wire::destinations(&config, cancel)?;
    let lacking = keep(&verified, &document, &signature, &history, &destinations);
    let exit = match lacking.len() {
        0 => Exit::Done,
        missed if missed == destinations.len() => Exit::Failed,
        _ => Exit::Partial,
    };
    tell(&verified, &lacking, exit, output)?;
    Ok(exit)
}

fn tell(
    verified: &Verified,
    lacking: &BTreeMap<StoreName, String>,
    exit: Exit,
    output: &Output,
) -> Result<(), CliError> {
    let checkin = &verified.checkin;
    let document = Document {
        custodian: &checkin.custodian,
        escrow_id: &checkin.escrow_id,
        proven_at: checkin.created_at,
        signed_by: verified.signed_by.to_string(),
        touched: verified.presence.map(|presence| presence.touched),
        lacking,
        exit: exit.code(),
    };
    output.result(&document, || text(&document))?;
    for (store, why) in lacking {
        output.complain(&format!("store {store} lacks the check-in: {why}"));
    }
    Ok(())
}

fn text(document: &Document<'_>) -> String {
    let mut out = format!(
        "{} has shown on {} that their identity opens escrow {}; signed by {}.\n",
        document.custodian, document.proven_at, document.escrow_id, document.signed_by
    );
    for (store, why) in document.lacking {
        out.push_str(&format!(
            "store {store} lacks the check-in: {}\n",
            printable(why)
        ));
    }
    out
}

/// Where `ssh-keygen -Y sign` puts the signature.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            CliError::usage(format!("cannot read {}: {error}", path.display()))
                .hint("both files that the custodian sent are needed: FILE and FILE.sig")
        })?;
    match bytes.len() as u64 > most {
        true => Err(CliError::usage(format!("{} is too large", path.display()))),
        false => Ok(bytes),
    }
}
