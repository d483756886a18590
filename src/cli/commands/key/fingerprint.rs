//! `key fingerprint`: the id of a key.

use serde::Serialize;

use crate::base::names::Slug;
use crate::cli::args::{Global, KeyFingerprint};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::wire;

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    key_id: String,
    /// In bytes; a key that Databasus made has 72.
    length: usize,
}

pub(super) fn run(
    args: &KeyFingerprint,
    global: &Global,
    output: &Output,
) -> Result<Exit, CliError> {
    // With both named no configuration is needed, nor minded if it is no good.
    let needs_config = args.secret_key.is_none() || args.instance.is_none();
    let config = match needs_config {
        true => wire::find_config(global)?,
        false => None,
    };
    let named = args.secret_key.as_deref();
    let key = super::chosen(named, config.as_ref(), output)?.ok_or_else(super::no_key)?;
    let configured = config.as_ref().map(|config| &config.instance);
    let instance = args.instance.as_ref().or(configured).ok_or_else(|| {
        CliError::usage("--instance is missing").hint("the id of a key depends on whose it is")
    })?;
    let document = Document {
        instance,
        key_id: key.key_id(instance).to_string(),
        length: key.expose().len(),
    };
    output.product(&document, &format!("{}\n", document.key_id))?;
    Ok(Exit::Done)
}
