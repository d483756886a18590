//! What opens an escrow: identities on this machine, or the answer of custodians on others.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::names::CustodianName;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::wire;
use crate::model::config::Config;
use crate::model::manifest::{CustodyMode, Manifest};
use crate::sealing::custody::{EscrowIdentity, MAX_LAYER_BYTES, open_armored};
use crate::sealing::identities::Identities;

/// How often a file that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

const LAST_LINE: &str = "-----END AGE ENCRYPTED FILE-----";

/// There must never be a place that holds both the source and an identity. `hint` says where this
/// job belongs instead.
pub(super) fn refuse_on_the_source(
    config: Option<&Config>,
    hint: &'static str,
) -> Result<(), CliError> {
    match config.is_some_and(|config| config.source.is_some()) {
        false => Ok(()),
        true => Err(CliError {
            exit: Exit::Refused,
            message: "this configuration is the source's own: it takes snapshots".to_owned(),
            hint: Some(hint.to_owned()),
        }),
    }
}

/// What opens escrows in this run.
pub(super) enum Opening {
    /// Identities, whoever's they are.
    Identities(Arc<Identities>),
    /// Custodians elsewhere, who answer.
    Answer(Answers),
}

/// Where the answers of custodians elsewhere come in.
pub(super) struct Answers {
    /// The file; `-` is standard input.
    pub(super) from: PathBuf,
    /// The one that was taken last: what still lies there answers no other escrow.
    taken: Mutex<Option<Digest>>,
}

impl Opening {
    /// By the command line, else by the configuration; none where neither names anything.
    pub(super) fn of(
        identities: &[PathBuf],
        unlock: Option<&Path>,
        config: Option<&Config>,
    ) -> Result<Option<Self>, CliError> {
        if let Some(answer) = unlock {
            return Ok(Some(Self::Answer(Answers {
                from: answer.to_owned(),
                taken: Mutex::new(None),
            })));
        }
        let identities = wire::identities(identities, config)?;
        Ok(identities.map(|identities| Self::Identities(Arc::new(identities))))
    }

    /// What opens this escrow. Custodians elsewhere are asked for it, and waited for.
    pub(super) fn identities(
        &self,
        manifest: &Manifest,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<Arc<Identities>, CliError> {
        match self {
            Self::Identities(identities) => Ok(identities.clone()),
            Self::Answer(answers) => ask(manifest, answers, output, cancel).map(Arc::new),
        }
    }
}

/// The one-time identity exists in this process alone, for as long as it waits.
fn ask(
    manifest: &Manifest,
    answers: &Answers,
    output: &Output,
    cancel: &Cancel,
) -> Result<Identities, CliError> {
    if manifest.custody.mode == CustodyMode::Any {
        return Err(CliError::usage(format!(
            "escrow {} is opened by each of its custodians alone",
            manifest.escrow_id
        ))
        .hint("--identity FILE in place of --unlock"));
    }
    let one_time = EscrowIdentity::generate();
    let request = request(manifest, &one_time.recipient_text(), &answers.from);
    output.ask(&request);
    let answer = answers.next(cancel)?;
    let refused = |error: &dyn std::error::Error| CliError {
        exit: Exit::NoIdentity,
        message: format!("the answer does not open: {error}"),
        hint: Some(
            "it must have been made with --to and the one-time recipient of this very run"
                .to_owned(),
        ),
    };
    let one_time = one_time.into_identities("one-time");
    let text = open_armored(&answer, &one_time).map_err(|error| refused(&error))?;
    let identity = EscrowIdentity::parse(&text).map_err(|error| refused(&error))?;
    Ok(identity.into_identities("the escrow's own"))
}

fn request(manifest: &Manifest, recipient: &str, from: &Path) -> String {
    let names = |people: &mut dyn Iterator<Item = &CustodianName>| {
        let names: Vec<&str> = people.map(CustodianName::as_str).collect();
        names.join(", ")
    };
    let k = manifest.custody.k.unwrap_or_default();
    let everybody = names(&mut manifest.recipients.iter().map(|one| &one.custodian));
    let escrow = &manifest.escrow_id;
    let instance = &manifest.instance.slug;
    let whence = match from.as_os_str() == "-" {
        true => "Paste here what the last of them gets, all of it:".to_owned(),
        false => format!(
            "Waiting for what the last of them gets, in {}",
            from.display()
        ),
    };
    format!(
        "\nEscrow {escrow} of {instance} takes {k} of {everybody}. On their own machines, in this \
         order:\n\
         \n  databasus-escrow custody open --step 1 --escrow {escrow} --with NAME --identity FILE \
         --output step-1.age\
         \n  databasus-escrow custody open --step {k} --escrow {escrow} step-{before}.age --identity \
         FILE --to ONE-TIME\
         \n\nThe one-time recipient of this run, to be compared by voice:\n\n  {recipient}\n\n\
         {whence}\n",
        before = k.saturating_sub(1),
    )
}

impl Answers {
    fn next(&self, cancel: &Cancel) -> Result<Vec<u8>, CliError> {
        if self.from.as_os_str() == "-" {
            return read_answer(std::io::stdin().lock()).map_err(CliError::from);
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            cancel.check().map_err(CliError::failed)?;
            if let Some(answer) = self.look()? {
                let digest = Digest::of(&answer);
                if taken.replace(digest) != Some(digest) {
                    return Ok(answer);
                }
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// What lies in the file, once it is whole.
    fn look(&self) -> Result<Option<Vec<u8>>, CliError> {
        let file = std::fs::File::open(&self.from);
        match file.and_then(|file| read_answer(BufReader::new(file))) {
            Ok(answer) => Ok(Some(answer).filter(|answer| is_whole(answer))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::in_file(&self.from, error)),
        }
    }
}

/// Up to the line that ends it: whoever pastes into a terminal need not end the input.
fn read_answer(from: impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    // Base64 is a third larger than what it holds.
    for line in from.take(2 * MAX_LAYER_BYTES as u64).lines() {
        let line = line?;
        let line = line.trim();
        if answer.is_empty() && !line.starts_with("-----BEGIN") {
            continue;
        }
        answer.extend(line.as_bytes());
        answer.push(b'\n');
        if line == LAST_LINE {
            break;
        }
    }
    Ok(answer)
}

fn is_whole(answer: &[u8]) -> bool {
    let end = format!("{LAST_LINE}\n");
    answer.ends_with(end.as_bytes())
}

/// No identity was given, and one is needed.
pub(super) fn none_given() -> CliError {
    CliError::usage("no identity is given").hint(
        "--identity FILE, for each of several custodians; `databasus-escrow show` names the \
         custodians who hold one",
    )
}
