//! `custody checkin`: a custodian's answer, verified and kept.

use std::collections::BTreeMap;
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
use crate::cli::small_files;
use crate::cli::wire::{self, Reader};
use crate::model::checkin;
use crate::ops::custody::checkin::Verified;
use crate::ops::custody::stored_checkins::Stored;
use crate::ops::custody::submission;
use crate::sealing::sshsig::MAX_SIGNATURE_BYTES;
use crate::store::Rights;

const MAX_TEXT: usize = checkin::MAX_BYTES as usize;

#[derive(Serialize)]
struct Document<'a> {
    custodian: &'a CustodianName,
    escrow_id: &'a EscrowId,
    /// Of when the canary is.
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
    let submitted = |path: &Path, most| {
        let hint = "both files that the custodian sent are needed: FILE and FILE.sig";
        small_files::read(path, most).map_err(|error| error.hint(hint))
    };
    let document = submitted(&args.file, MAX_TEXT)?;
    let signature = submitted(&beside(&args.file), MAX_SIGNATURE_BYTES)?;
    let reader = Reader::open(&Reading::default(), global, cancel)?;
    let history = reader.history(output, cancel)?;
    let now = SystemClock.now();
    let stored = Stored {
        history: &history,
        stores: &reader.stores,
        now,
    };
    let verified = submission::verify(&document, &signature, stored).map_err(hints::checkin)?;
    let destinations = wire::destinations(&config, Rights::Write, cancel)?;
    let layout = history.layout();
    let lacking = submission::keep(&verified, &document, &signature, layout, now, &destinations);
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
        proven_at: verified.proven_at,
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
        "{} has shown that their identity opens a canary of {}, in escrow {}; signed by {}.\n",
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
