//! `key export`: the key for the safe.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::names::{CustodianName, Slug};
use crate::base::time::{Clock, SystemClock};
use crate::cli::args::{Global, KeyExport};
use crate::cli::custodians::Custodians;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::wire;
use crate::databasus::secret_key::SecretKey;
use crate::ops::key::export::{Export, seal};
use crate::ops::key::qr::Qr;

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    key_id: String,
    exports: Vec<Exported<'a>>,
}

#[derive(Serialize)]
struct Exported<'a> {
    custodians: &'a [CustodianName],
    /// Whether it takes all of them.
    together: bool,
    age: &'a str,
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &KeyExport, global: &Global, output: &Output) -> Result<Exit, CliError> {
    let config = wire::need_config(global)?;
    let custodians = Custodians::read(&config)?;
    let named = args.secret_key.as_deref();
    let key = super::chosen(named, Some(&config), output)?.ok_or_else(super::no_key)?;
    let exports =
        seal(&key, &custodians.recipients, custodians.quorum.as_ref()).map_err(CliError::failed)?;
    let mut written = Vec::new();
    for export in &exports {
        written.push(match &args.output {
            Some(folder) => write(export, folder, &config.instance, &key)?,
            None => Vec::new(),
        });
    }
    let document = Document {
        instance: &config.instance,
        key_id: key.key_id(&config.instance).to_string(),
        exports: exports.iter().zip(&written).map(Exported::of).collect(),
    };
    let text = match args.output {
        Some(_) => written
            .concat()
            .iter()
            .map(|path| format!("{}\n", path.display()))
            .collect(),
        None => pages(&exports, &config.instance, &key),
    };
    output.product(&document, &text)?;
    Ok(Exit::Done)
}

impl<'a> Exported<'a> {
    fn of((export, files): (&'a Export, &Vec<PathBuf>)) -> Self {
        Self {
            custodians: &export.custodians,
            together: export.together,
            age: &export.text,
            files: files.clone(),
        }
    }
}

fn pages(exports: &[Export], instance: &Slug, key: &SecretKey) -> String {
    let page = |export: &Export| {
        let page = export.page(instance, key, SystemClock.now());
        let picture =
            Qr::of(&export.text).map_or_else(|why| format!("{why}\n"), |qr| qr.terminal());
        format!("{page}\n{picture}")
    };
    exports.iter().map(page).collect::<Vec<_>>().join("\n")
}

/// A page and a picture, never over a file that is there.
fn write(
    export: &Export,
    folder: &Path,
    instance: &Slug,
    key: &SecretKey,
) -> Result<Vec<PathBuf>, CliError> {
    std::fs::create_dir_all(folder)?;
    let named = |ending: &str| folder.join(format!("{}.{ending}", export.name(instance)));
    let mut written = vec![named("txt")];
    create(
        &written[0],
        export.page(instance, key, SystemClock.now()).as_bytes(),
    )?;
    match Qr::of(&export.text) {
        Ok(qr) => {
            written.push(named("png"));
            create(&named("png"), &qr.png().map_err(CliError::failed)?)?;
        }
        Err(why) => tracing::warn!("no picture for {}: {why}", written[0].display()),
    }
    Ok(written)
}

fn create(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let written = created.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| CliError::usage(format!("cannot write {}: {error}", path.display())))
}
