//! The keys that `--secret-key` names: files, and what escrows hold.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::cli::args::{Backups, EscrowChoice, Global, KeyChoice};
use crate::cli::exit::CliError;
use crate::cli::hints;
use crate::cli::identities;
use crate::cli::opening::Opening;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::wire::{self, Reader};
use crate::databasus::secret_key::SecretKey;
use crate::ops::escrowed_key;
use crate::ops::history::{Entry, EscrowSummary, History};
use crate::ops::recover::keys::KeyRing;
use crate::ops::select::{SelectError, select};

/// Far more than any key has.
const MAX_KEY_BYTES: usize = 64 << 10;

/// Escrows are read at most once, for all that is wanted of them.
struct Escrows {
    reader: Reader,
    opening: Opening,
    history: History,
}

/// Reads every key that the arguments name.
pub(super) fn gather(
    args: &Backups,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<KeyRing, CliError> {
    let mut ring = KeyRing::default();
    let mut escrows = None;
    let mut unopened = None;
    let instance = instance(args, global)?;
    for choice in &args.secret_keys {
        let choice = match choice {
            KeyChoice::File(path) => {
                ring.add(
                    read_key(path, output)?,
                    path.display().to_string(),
                    instance.as_ref(),
                );
                continue;
            }
            KeyChoice::Escrow(choice) => Some(choice),
            KeyChoice::AllEscrows => None,
        };
        let escrows = match &mut escrows {
            Some(escrows) => escrows,
            none => none.insert(Escrows::open(args, global, output, cancel)?),
        };
        match choice {
            Some(choice) => escrows.add_chosen(&mut ring, choice, global, output, cancel)?,
            None => {
                unopened = escrows
                    .add_all(&mut ring, global, output, cancel)?
                    .or(unopened)
            }
        }
    }
    match unopened {
        // Whatever keys there are may be all that is needed.
        Some(error) if ring.keys().is_empty() => Err(error),
        _ => Ok(ring),
    }
}

/// Whose key it is, which its id depends on. Nobody has to say so, and a configuration that
/// happens to lie here and is no good is no reason to give up.
fn instance(args: &Backups, global: &Global) -> Result<Option<Slug>, CliError> {
    if args.reading.instance.is_some() {
        return Ok(args.reading.instance.clone());
    }
    match wire::find_config(global) {
        Err(_) if global.config.is_none() => Ok(None),
        found => Ok(found?.map(|config| config.instance)),
    }
}

pub(super) fn read_key(path: &Path, output: &Output) -> Result<SecretKey, CliError> {
    let failed = |error: std::io::Error| {
        CliError::usage(format!("cannot read the key {}: {error}", path.display())).hint(
            "--secret-key names a file with the exact bytes of secret.key; the word escrow \
             takes the key out of an escrow",
        )
    };
    wire::warn_if_shared(path);
    let file = std::fs::File::open(path).map_err(failed)?;
    // With room for all of it, whatever the file's size is said to be: a buffer that grows leaves
    // unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_BYTES + 1));
    let read = file.take(MAX_KEY_BYTES as u64 + 1).read_to_end(&mut bytes);
    if read.map_err(failed)? > MAX_KEY_BYTES {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    let bytes = std::mem::take(&mut *bytes);
    let key = SecretKey::new(bytes).map_err(|error| CliError::in_file(path, error))?;
    for warning in key.check() {
        output.remark(&format!("{}: {warning}", path.display()));
    }
    Ok(key)
}

impl Escrows {
    fn open(
        args: &Backups,
        global: &Global,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<Self, CliError> {
        let reader = Reader::open(&args.reading, global, cancel)?;
        let unlock = args.unlock.as_deref();
        let opening = Opening::of(&args.identities, unlock, reader.config.as_ref())?;
        let opening = opening.ok_or_else(identities::none_given)?;
        let history = reader.history(output, cancel)?;
        Ok(Self {
            reader,
            opening,
            history,
        })
    }

    fn add_chosen(
        &self,
        ring: &mut KeyRing,
        choice: &EscrowChoice,
        global: &Global,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<(), CliError> {
        let (entry, _) = select(&self.history, &choice.selection()).map_err(hints::select)?;
        self.add(ring, entry, global, output, cancel)
    }

    /// Takes every key out of the newest of its escrows that opens. One that does not is
    /// remarked on: another custodian's, or a lost one, says nothing of the rest. Gives back the
    /// first failure, for a run that ends up without any key.
    fn add_all(
        &self,
        ring: &mut KeyRing,
        global: &Global,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<Option<CliError>, CliError> {
        let keys = self.by_key();
        if keys.is_empty() {
            return Ok(Some(hints::select(SelectError::None)));
        }
        let mut first = None;
        for escrows in keys {
            for (entry, escrow) in escrows {
                let Err(error) = self.add(ring, entry, global, output, cancel) else {
                    break;
                };
                if cancel.signal().is_some() {
                    return Err(error);
                }
                output.remark(&format!(
                    "no key from escrow {}: {}",
                    escrow.id, error.message
                ));
                first.get_or_insert(error);
            }
        }
        Ok(first)
    }

    fn add(
        &self,
        ring: &mut KeyRing,
        entry: &Entry,
        global: &Global,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<(), CliError> {
        let manifest = self.history.load(entry).map_err(hints::history)?;
        let identities = self
            .opening
            .identities(&manifest, &self.reader, output, cancel)?;
        let progress = Progress::new(global, "reading an escrow's key", None);
        let counter = progress.clone();
        let key = escrowed_key::secret_key(
            &manifest,
            &self.reader.stores,
            &identities,
            cancel,
            Box::new(move |count| counter.add(count)),
        )
        .map_err(hints::escrowed_key)?;
        let source = format!("escrow {}", manifest.escrow_id);
        ring.add(key, source, Some(&self.reader.slug));
        Ok(())
    }

    /// The escrows of every key, newest first, and the keys in the order of their newest.
    fn by_key(&self) -> Vec<Vec<(&Entry, &EscrowSummary)>> {
        let mut keys: Vec<Vec<(&Entry, &EscrowSummary)>> = Vec::new();
        let mut places = BTreeMap::new();
        for found in self.history.escrows().rev() {
            let place = *places.entry(&found.1.secret_key_id).or_insert(keys.len());
            match keys.get_mut(place) {
                Some(escrows) => escrows.push(found),
                None => keys.push(vec![found]),
            }
        }
        keys
    }
}
