//! `key compare`: whether all copies of the key are the same.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroize;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::cli::args::{Global, KeyCompare};
use crate::cli::commands::findings;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::{Output, table};
use crate::cli::small_files;
use crate::cli::wire::Reader;
use crate::databasus::secret_key::SecretKey;
use crate::model::finding::Finding;
use crate::ops::key::compare::{Comparison, Copy, Place, Verdict};

/// Far more than any key has, in Base64.
const MAX_BYTES: usize = 128 << 10;

/// What the comparison does not tell.
const BY_ID: &str = "\nOf escrows the ids that their manifests sign were compared; none was opened. \
     `verify --identity` opens one.";

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    equal: bool,
    copies: &'a [Copy],
    findings: &'a [Finding],
    /// Of escrows the key ids that their manifests sign are compared; none is opened.
    escrows_by: &'static str,
    exit: u8,
}

pub(super) fn run(
    args: &KeyCompare,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let outside = args.base64.as_deref().map(outside).transpose()?;
    let reader = Reader::open(&args.reading, global, cancel)?;
    let live = super::chosen(args.secret_key.as_deref(), reader.config.as_ref(), output)?;
    let history = reader.history(output, cancel)?;
    let comparison = Comparison::of(&reader.slug, live.as_ref(), outside.as_ref(), &history);
    if comparison.copies.len() < 2 {
        return Err(CliError {
            exit: Exit::NotFound,
            message: "there are no two copies of the key to compare".to_owned(),
            hint: Some("take a snapshot, or give a copy from outside with --base64 -".to_owned()),
        });
    }
    let exit = match comparison.is_equal() {
        true => findings::exit(&history.findings),
        false => Exit::Integrity,
    };
    let document = Document {
        instance: &reader.slug,
        equal: comparison.is_equal(),
        copies: &comparison.copies,
        findings: &history.findings,
        escrows_by: "signed-id",
        exit: exit.code(),
    };
    output.result(&document, || text(&document))?;
    if !document.equal {
        output.complain("the copies of the key are not the same key");
    }
    findings::complain(&history.findings, output);
    Ok(exit)
}

/// Nothing of a copy is ever part of a message.
fn outside(path: &Path) -> Result<SecretKey, CliError> {
    let mut text = small_files::read(path, MAX_BYTES)?;
    text.retain(|byte| !byte.is_ascii_whitespace());
    let mut bytes = Vec::with_capacity(text.len());
    if STANDARD.decode_vec(&*text, &mut bytes).is_err() {
        bytes.zeroize();
        return Err(CliError::usage(format!("{} is not Base64", path.display()))
            .hint("`base64 -w 0 secret.key` makes it; pipe it in as it is"));
    }
    SecretKey::new(bytes).map_err(|error| CliError::in_file(path, error))
}

fn text(document: &Document<'_>) -> String {
    let row = |copy: &Copy| {
        let place = match &copy.place {
            Place::Live => "the live key".to_owned(),
            Place::Outside => "the copy from outside".to_owned(),
            Place::Escrow(id) => format!("escrow {id}, by its signed id"),
        };
        let verdict = match copy.verdict {
            Verdict::Same => "the same key",
            Verdict::Differs => "ANOTHER KEY",
            Verdict::EndsOtherwise => "ANOTHER KEY, by white space at its end alone",
            Verdict::Older => "an older key",
        };
        vec![place, copy.key_id.clone(), verdict.to_owned()]
    };
    let rows: Vec<Vec<String>> = document.copies.iter().map(row).collect();
    let table = table(&rows);
    let findings = findings::text(document.findings);
    format!("{table}{BY_ID}\n{findings}")
}
