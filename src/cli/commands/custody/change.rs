//! `custody add` and `custody remove`.

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::CustodianName;
use crate::base::time::{Clock, SystemClock};
use crate::cli::args::{CustodyAdd, CustodyRemove, Global, Reading};
use crate::cli::custodians::{Custodians, quorum};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::{Output, table};
use crate::cli::wire::{self, Reader};
use crate::model::config::Config;
use crate::model::quorum::Quorum;
use crate::model::recipients::edit::{self, EditError};
use crate::model::recipients::{RecipientSpec, Recipients, RecipientsError};
use crate::ops::custody::change::replace;
use crate::ops::custody::exposure::{self, Exposure};
use crate::ops::custody::status::{self, Status};
use crate::ops::history::History;

#[derive(Serialize)]
struct Added<'a> {
    custodian: &'a CustodianName,
    #[serde(rename = "type")]
    kind: String,
    fingerprint: String,
    /// Nobody counts before a check-in.
    proven: bool,
}

#[derive(Serialize)]
struct Removed<'a> {
    custodian: &'a CustodianName,
    dry_run: bool,
    /// How many more may be lost before nobody opens what is sealed from now on.
    may_be_lost: usize,
    /// What the leaver can still open.
    exposure: &'a [Exposure],
    exit: u8,
}

pub(in crate::cli) fn add(
    args: &CustodyAdd,
    global: &Global,
    output: &Output,
) -> Result<Exit, CliError> {
    let config = wire::need_config(global)?;
    let custodians = Custodians::read(&config)?;
    let spec = newcomer(&args.custodian)?;
    let text = edit::with(&custodians.text, &spec).map_err(refused)?;
    left(&config, &text)?;
    replace(&custodians.file, &text).map_err(CliError::failed)?;
    let added = Added {
        custodian: &spec.custodian,
        kind: spec.kind.name(),
        fingerprint: spec.fingerprint.to_string(),
        proven: false,
    };
    output.result(&added, || added_text(&added))?;
    Ok(Exit::Done)
}

fn newcomer(argument: &str) -> Result<RecipientSpec, CliError> {
    let (name, recipient) = argument.split_once('=').ok_or_else(|| {
        CliError::usage("a custodian is given as NAME=RECIPIENT").hint("carol=age1…")
    })?;
    let spec = RecipientSpec::parse(name, recipient)
        .map_err(|error: RecipientsError| hints::recipients(None, error))?;
    Ok(RecipientSpec {
        since: Some(SystemClock.now()),
        ..spec
    })
}

fn added_text(added: &Added<'_>) -> String {
    let name = added.custodian;
    format!(
        "{name} stands in the recipients file, as {} {}, and does not count yet. Next:\n\
         1. a line for {name}'s SSH key in allowed_signers: {name} \
         namespaces=\"escrow-checkin@databasus\" ssh-ed25519 AAAA…\n\
         2. databasus-escrow snapshot\n\
         3. databasus-escrow custody challenge {name}, for {name} to answer\n\
         4. databasus-escrow custody checkin FILE, then print the trust card again\n",
        added.kind, added.fingerprint
    )
}

pub(in crate::cli) fn remove(
    args: &CustodyRemove,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let config = wire::need_config(global)?;
    let custodians = Custodians::read(&config)?;
    let text = edit::without(&custodians.text, &args.custodian).map_err(refused)?;
    let left = left(&config, &text)?;
    let reader = Reader::open(&Reading::default(), global, cancel)?;
    let history = reader.history(output, cancel)?;
    let mut recipients = custodians.recipients.iter();
    let leaver = recipients.find(|spec| spec.custodian == args.custodian);
    let in_force = leaver.map(|spec| spec.text.as_str());
    let exposure = exposure::of(&history, &args.custodian, in_force).map_err(hints::history)?;
    if !args.dry_run {
        refuse_unproven(args, &left, &reader, &history)?;
        replace(&custodians.file, &text).map_err(CliError::failed)?;
    }
    let may_be_lost = left.spare();
    let exit = match may_be_lost {
        0 => Exit::Partial,
        _ => Exit::Done,
    };
    let removed = Removed {
        custodian: &args.custodian,
        dry_run: args.dry_run,
        may_be_lost,
        exposure: &exposure,
        exit: exit.code(),
    };
    output.result(&removed, || removed_text(&removed))?;
    Ok(exit)
}

/// Who stands in the edited file; an error where nobody could open anything.
fn left(config: &Config, text: &str) -> Result<Left, CliError> {
    let recipients = Recipients::parse(text).map_err(|error| hints::recipients(None, error))?;
    let quorum = quorum(config, &recipients).map_err(|error| CliError {
        exit: Exit::Refused,
        ..error
    })?;
    Ok(Left { recipients, quorum })
}

struct Left {
    recipients: Recipients,
    quorum: Option<Quorum>,
}

impl Left {
    /// How many of them may be lost.
    fn spare(&self) -> usize {
        let quorum = self.quorum.as_ref();
        quorum.map_or(self.recipients.iter().len() - 1, Quorum::spare)
    }
}

/// Whoever has never opened anything may have given the wrong key: what is sealed to such people
/// alone, nobody opens.
fn refuse_unproven(
    args: &CustodyRemove,
    left: &Left,
    reader: &Reader,
    history: &History,
) -> Result<(), CliError> {
    let status = Status::gather(&status::Request {
        recipients: &left.recipients,
        quorum: left.quorum.as_ref(),
        history,
        stores: &reader.stores,
        now: SystemClock.now(),
    });
    if args.unproven || status.proven_may_be_lost.is_some() {
        return Ok(());
    }
    let custodians = status.custodians.iter();
    let proven = custodians.filter(|one| one.proven_at.is_some()).count();
    Err(CliError {
        exit: Exit::Refused,
        message: format!(
            "{} of those who are left must have shown that their identities open anything, and \
             {proven} have",
            status.takes
        ),
        hint: Some(
            "`databasus-escrow custody challenge NAME` prints how they show it; --unproven removes \
             all the same"
                .to_owned(),
        ),
    })
}

fn removed_text(removed: &Removed<'_>) -> String {
    let name = removed.custodian;
    let done = match removed.dry_run {
        true => format!("{name} would be taken out of the recipients file; nothing was changed."),
        false => format!(
            "{name} is out of the recipients file; the next snapshot is not sealed to them."
        ),
    };
    let left = match removed.may_be_lost {
        0 => {
            "NOBODY who is left can be spared: one lost identity closes what is sealed from now on."
                .to_owned()
        }
        spare => format!("{spare} of those who are left may be lost."),
    };
    if removed.exposure.is_empty() {
        return format!("{done}\n{left}\nNo escrow is sealed to {name}.\n");
    }
    format!(
        "{done}\n{left}\n\nWhat {name} can still open, with access to a store; take that away \
         first:\n{}",
        table(&matrix(removed.exposure))
    )
}

fn matrix(exposure: &[Exposure]) -> Vec<Vec<String>> {
    let mut rows = vec![["ESCROW", "OPENS IT", "COPIES"].map(str::to_owned).to_vec()];
    rows.extend(exposure.iter().map(|one| {
        let opens = match one.others_needed {
            0 => "alone".to_owned(),
            others => format!("with {others} more"),
        };
        let copies = one.copies.iter().map(|copy| match copy.locked_until {
            Some(until) => format!("{}, locked until {until}", copy.store),
            None => copy.store.to_string(),
        });
        let mut copies = copies.collect::<Vec<_>>().join("; ");
        if one.let_go {
            copies.push_str(" (let go by retention)");
        }
        if let Some(seq) = one.replaced_by {
            copies.push_str(&format!(
                " (replaced by manifest {seq}; there only while locked)"
            ));
        }
        vec![one.escrow_id.to_string(), opens, copies]
    }));
    rows
}

fn refused(error: EditError) -> CliError {
    match error {
        EditError::Recipients(RecipientsError::Empty) => CliError {
            exit: Exit::Refused,
            ..CliError::failed(error)
        },
        EditError::Recipients(error) => hints::recipients(None, error),
        other => {
            CliError::new(Exit::Usage, other).hint("`databasus-escrow custody status` names them")
        }
    }
}
