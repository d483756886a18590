//! `recover`: a backup of Databasus straight from its storage.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::error_chain::error_chain;
use crate::base::text::{bytes, printable, shortened};
use crate::cli::args::{Global, Recover};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::{from, hints, keys};
use crate::databasus::objects::content::Content;
use crate::databasus::objects::name::ObjectName;
use crate::databasus::objects::sidecar::Sidecar;
use crate::ops::bucket::FoundSidecar;
use crate::ops::recover::find::{self, Stream, Target, Wanted};
use crate::ops::recover::keys::KeySource;
use crate::ops::recover::output::{Existing, StagedFile};
use crate::ops::recover::{self, OpenBackup, RecoverError, Recovered, Unrecognised};

mod list;

/// What was recovered.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    described: Described,
    #[serde(flatten)]
    recovered: Recovered,
    /// A path, or `-`.
    output: String,
    exit: u8,
}

/// What is known of a backup before it is read.
#[derive(Serialize)]
struct Described {
    name: String,
    id: Option<Uuid>,
    committed: bool,
    content: &'static str,
    encrypted: bool,
    opened_by: Option<KeySource>,
    /// What to know before relying on it.
    remarks: Vec<String>,
}

/// Where the backup goes.
enum Destination {
    Stdout,
    File(PathBuf),
}

pub(in crate::cli) fn run(
    args: &Recover,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let wanted = wanted(args)?;
    let store = from::open(&args.backups.from, cancel)?;
    let keys = keys::gather(&args.backups, global, output, cancel)?;
    let Some(wanted) = wanted else {
        return list::run(args, &store, &keys, global, output, cancel);
    };
    // Cheap refusals come first: nothing is fetched for a file that cannot be written.
    if let Some(Destination::File(place)) = named_output(args) {
        refuse_existing(args, &place)?;
    }
    let listing = Progress::count(global, "listing");
    let mut reach = |seen| listing.reach(seen);
    let target = find::find(store.as_ref(), &wanted, cancel, &mut reach).map_err(hints::find)?;
    drop(listing);
    let threads = args.threads.map_or_else(processors, std::num::NonZero::get);
    let unrecognised = match args.force {
        true => Unrecognised::Take,
        false => Unrecognised::Refuse,
    };
    let backup = recover::open(&store, &target, &keys, unrecognised, threads);
    let backup = backup.map_err(hints::backup)?;
    let destination = named_output(args).unwrap_or_else(|| default_output(&backup, &target));
    let described = Described::of(&target, &backup);
    let recovered = write(args, backup, &destination, global, cancel)?;
    let document = described.written(recovered, &destination);
    report(&document, &destination, global, output)?;
    Ok(Exit::Done)
}

impl Described {
    fn of(target: &Target, backup: &OpenBackup) -> Self {
        Self {
            name: backup.name.clone(),
            id: target.sidecar.get().map(Sidecar::id).or(target.name.id()),
            committed: target.is_committed(),
            content: match target.stream {
                Stream::Content => backup.content.words(),
                Stream::Manifest => "a backup_manifest",
            },
            encrypted: backup.opened_by.is_some(),
            opened_by: backup.opened_by.clone(),
            remarks: remarks(target, backup),
        }
    }

    fn written(self, recovered: Recovered, destination: &Destination) -> Document {
        Document {
            described: self,
            recovered,
            output: match destination {
                Destination::Stdout => "-".to_owned(),
                Destination::File(path) => path.display().to_string(),
            },
            exit: Exit::Done.code(),
        }
    }
}

/// What is to be recovered; none for a list.
fn wanted(args: &Recover) -> Result<Option<Wanted>, CliError> {
    if let Some(database) = &args.latest {
        return Ok(Some(Wanted::Latest(database.clone())));
    }
    let Some(text) = &args.backup else {
        return Ok(None);
    };
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(Some(Wanted::Id(id)));
    }
    let name = ObjectName::parse(text).map(Wanted::Name);
    name.map(Some).ok_or_else(|| {
        CliError {
            exit: Exit::NotFound,
            message: format!(
                "{} is neither an id nor a name that Databasus gives to a backup",
                printable(text)
            ),
            hint: None,
        }
        .hint("--list shows what there is; a name stands without the storage's prefix")
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn named_output(args: &Recover) -> Option<Destination> {
    args.output.as_ref().map(|path| match path.to_str() {
        Some("-") => Destination::Stdout,
        _ => Destination::File(path.clone()),
    })
}

fn default_output(backup: &OpenBackup, target: &Target) -> Destination {
    let extension = match target.stream {
        Stream::Content if target.name.id().is_some() => backup.content.extension(),
        // Names of WAL and history files have theirs.
        Stream::Content | Stream::Manifest => "",
    };
    Destination::File(PathBuf::from(format!("{}{extension}", backup.name)))
}

fn existing(args: &Recover) -> Existing {
    match args.force {
        true => Existing::Replace,
        false => Existing::Keep,
    }
}

fn refuse_existing(args: &Recover, place: &Path) -> Result<(), CliError> {
    // Begun and dropped: the folder must be there and take files.
    let begun = StagedFile::begin(place, existing(args));
    begun.map(drop).map_err(hints::output)
}

fn write(
    args: &Recover,
    backup: OpenBackup,
    destination: &Destination,
    global: &Global,
    cancel: &Cancel,
) -> Result<Recovered, CliError> {
    let progress = Progress::new(global, "recovering", Some(backup.size));
    let on_bytes = |count| progress.add(count);
    match destination {
        Destination::File(place) => {
            let mut staged = StagedFile::begin(place, existing(args)).map_err(hints::output)?;
            let copied = backup.copy_to(&mut staged, cancel, &on_bytes);
            let recovered = copied.map_err(hints::backup)?;
            staged.finish().map_err(hints::output)?;
            Ok(recovered)
        }
        Destination::Stdout => {
            let mut out = standard_output()?;
            let copied = backup.copy_to(&mut out, cancel, &on_bytes);
            copied.map_err(half_written)
        }
    }
}

/// Standard output itself: the library's own looks for the ends of lines.
fn standard_output() -> Result<impl Write, CliError> {
    let out = std::io::stdout();
    let owned = out.as_fd().try_clone_to_owned()?;
    Ok(File::from(owned))
}

fn half_written(error: RecoverError) -> CliError {
    let closed = matches!(&error, RecoverError::Write(_));
    let told = hints::backup(error);
    if closed {
        return told;
    }
    let message = format!(
        "{}; what went to standard output is not the backup and must not be used",
        told.message
    );
    CliError { message, ..told }
}

/// What to know before relying on a backup.
fn remarks(target: &Target, backup: &OpenBackup) -> Vec<String> {
    let mut remarks = Vec::new();
    match &target.sidecar {
        FoundSidecar::Read(sidecar) => {
            if backup.sidecar_differs {
                remarks.push(
                    "its sidecar names another salt or nonce than its header: Databasus itself \
                     would refuse to read it"
                        .to_owned(),
                );
            }
            if matches!(sidecar.as_ref(), Sidecar::Incremental(_)) {
                remarks.push(
                    "an incremental backup: it is worth something only with the backups it \
                     stands on"
                        .to_owned(),
                );
            }
        }
        FoundSidecar::Unusable(error) => remarks.push(format!(
            "nothing says that it is complete: {}",
            printable(&shortened(&error_chain(error)))
        )),
        FoundSidecar::Absent | FoundSidecar::Unread(_) => remarks.push(no_sidecar(backup)),
    }
    if let Content::UnreadPgDump(error) = &backup.content {
        remarks.push(error.to_string());
    }
    if let count @ 1.. = target.newer_uncommitted.len() {
        let names = target.newer_uncommitted.join(", ");
        remarks.push(format!(
            "{count} newer objects of this database are not committed: {}",
            printable(&names)
        ));
    }
    remarks
}

fn no_sidecar(backup: &OpenBackup) -> String {
    let why = match backup.content {
        Content::WalSegment(_) | Content::BaseBackup { .. } => {
            "it has no sidecar, as all of WAL_V1: nothing says that it is complete"
        }
        _ => {
            "it has no sidecar: nothing says that it is complete, so restore it somewhere before \
             relying on it"
        }
    };
    why.to_owned()
}

fn report(
    document: &Document,
    destination: &Destination,
    global: &Global,
    output: &Output,
) -> Result<(), CliError> {
    match destination {
        Destination::File(_) => output.result(document, || text(document)),
        // Standard output holds the backup.
        Destination::Stdout if global.json => {
            let document = serde_json::to_string(document).map_err(CliError::failed)?;
            writeln!(std::io::stderr().lock(), "{document}").map_err(CliError::from)
        }
        Destination::Stdout => {
            for line in text(document).lines() {
                output.remark(line);
            }
            Ok(())
        }
    }
}

fn text(document: &Document) -> String {
    let Described {
        name,
        content,
        opened_by,
        remarks,
        ..
    } = &document.described;
    let Recovered { size, sha256 } = document.recovered;
    let mut out = format!("{} is {content}.\n", printable(name));
    out.push_str(&match opened_by {
        None => "It is not encrypted.\n".to_owned(),
        Some(KeySource { source, key_id }) => {
            let id = key_id
                .map(|id| format!(", key id {id}"))
                .unwrap_or_default();
            let source = printable(source);
            format!("The key of {source}{id} opens it; every byte is authentic.\n")
        }
    });
    for remark in remarks {
        out.push_str(&format!("Mind: {remark}.\n"));
    }
    let place = printable(&document.output);
    let human = bytes(size);
    out.push_str(&format!(
        "Recovered {size} bytes ({human}) to {place}\nSHA-256 {sha256}\n"
    ));
    out
}
