//! What opens escrows, out of files: never on the box of the source.

use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::exit::{CliError, Exit};
use super::terminal::Terminal;
use super::wire;
use crate::model::config::Config;
use crate::model::recipients::holds_private_key;
use crate::sealing::identities::Identities;

/// Far more than any file of identities has.
const MAX_IDENTITY_BYTES: usize = 256 << 10;

const IDENTITY_HINT: &str = "--identity names a file with a line AGE-SECRET-KEY-1…, or an OpenSSH \
     private key; `-` reads it from standard input. A passphrase is asked for on the terminal";

const ELSEWHERE: &str = "open it on another box, with --instance, --store and --trust as the trust \
     card has them";

/// The identities in these files, else those of the configuration's. There must never be a place
/// that holds both the source and an identity: every command that opens escrows comes through here.
pub(super) fn read(
    files: &[PathBuf],
    config: Option<&Config>,
) -> Result<Option<Identities>, CliError> {
    let configured = config.and_then(|config| {
        let open = config.open.as_ref()?;
        Some(config.resolve(&open.identity_file))
    });
    let files: Vec<PathBuf> = match (files, configured) {
        ([], Some(file)) => vec![file],
        (files, _) => files.to_vec(),
    };
    if !files.is_empty() {
        refuse_beside_the_source(config)?;
    }
    let mut all: Option<Identities> = None;
    for file in &files {
        let read = read_file(file)?;
        match &mut all {
            None => all = Some(read),
            Some(all) => all.extend(read),
        }
    }
    Ok(all)
}

/// Nothing that opens an escrow comes onto the source's own box, from custodians elsewhere either.
pub(super) fn refuse_beside_the_source(config: Option<&Config>) -> Result<(), CliError> {
    refuse_on_the_source(config, ELSEWHERE)
}

/// A job that is none for the source's own box. `hint` says where it belongs instead.
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

/// No identity was given, and one is needed.
pub(super) fn none_given() -> CliError {
    CliError::usage("no identity is given").hint(
        "--identity FILE, for each of several custodians; `databasus-escrow show` names the \
         custodians who hold one",
    )
}

fn read_file(file: &Path) -> Result<Identities, CliError> {
    // With room for all of it: a buffer that grows leaves unwiped copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_IDENTITY_BYTES + 1));
    let name = file.display().to_string();
    if holds_private_key(&name) {
        return Err(CliError::usage(
            "an identity itself stands where the name of its file belongs",
        )
        .hint("write it into a file of mode 0600, or give it to --identity - on standard input"));
    }
    let read = if name == "-" {
        bounded(std::io::stdin().lock(), &mut text)
    } else {
        wire::warn_if_shared(file);
        std::fs::File::open(file).and_then(|file| bounded(file, &mut text))
    };
    read.map_err(|error| {
        CliError::usage(format!("cannot read identity {name}: {error}")).hint(IDENTITY_HINT)
    })?;
    Identities::read(&name, &text, Terminal)
        .map_err(|error| CliError::new(Exit::Usage, error).hint(IDENTITY_HINT))
}

fn bounded(from: impl Read, text: &mut Vec<u8>) -> std::io::Result<()> {
    from.take(MAX_IDENTITY_BYTES as u64 + 1).read_to_end(text)?;
    if text.len() > MAX_IDENTITY_BYTES {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(())
}
