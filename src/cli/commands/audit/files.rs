//! An audit as files: for people and their auditors, for the archive, for programs.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::cli::args::Audit;
use crate::cli::author::Signing;
use crate::cli::exit::CliError;
use crate::cli::output::json_text;
use crate::cli::render::html::{Page, SignedBy, page};
use crate::cli::render::{junit, metrics};
use crate::cli::small_files;
use crate::model::namespace::Namespace;

use super::Audited;

/// Refuses places that nothing can be written to before the audit begins, not after it.
pub(super) fn check(args: &Audit) -> Result<(), CliError> {
    let mut places = BTreeSet::new();
    for path in touched(args) {
        small_files::check_place(&path)?;
        if !places.insert(small_files::resolve(&path)?) {
            let path = path.display();
            return Err(CliError::usage(format!("two options name the file {path}")));
        }
    }
    Ok(())
}

/// Every file that is written or removed: a signature that stands beside a report goes with it.
fn touched(args: &Audit) -> Vec<PathBuf> {
    let reports = [&args.html, &args.report_json].into_iter().flatten();
    let reports = reports.flat_map(|path| [path.clone(), signature_of(path)]);
    let others = [&args.prometheus, &args.junit].into_iter().flatten();
    reports.chain(others.cloned()).collect()
}

/// Writes each file that is asked for, whole or not at all.
pub(super) fn write(args: &Audit, audited: &Audited) -> Result<(), CliError> {
    write_reports(args, audited)?;
    let Audited { report, facts, .. } = audited;
    if let Some(path) = &args.prometheus {
        let text = metrics::render(report, facts).map_err(CliError::failed)?;
        small_files::publish(path, text.as_bytes())?;
    }
    if let Some(path) = &args.junit {
        let text = junit::render(report).map_err(CliError::failed)?;
        small_files::publish(path, text.as_bytes())?;
    }
    Ok(())
}

/// What is kept as evidence, and may be signed.
fn write_reports(args: &Audit, audited: &Audited) -> Result<(), CliError> {
    let document = json_text(&audited.document())?;
    let signing = audited.signing.as_ref();
    if let Some(path) = &args.report_json {
        put(path, &document, signing)?;
    }
    if let Some(path) = &args.html {
        let text = page(&Page {
            report: &audited.report,
            facts: &audited.facts,
            policy: &audited.policy,
            document_sha256: Digest::of(document.as_bytes()),
            signed_by: signing.map(|signing| SignedBy {
                signer: &signing.signer,
                key: signing.key.fingerprint(),
            }),
        });
        put(path, &text, signing)?;
    }
    Ok(())
}

/// A signature of an earlier report must not stand beside this one.
fn put(path: &Path, text: &str, signing: Option<&Signing>) -> Result<(), CliError> {
    let beside = signature_of(path);
    small_files::remove(&beside)?;
    small_files::publish(path, text.as_bytes())?;
    match signing {
        None => Ok(()),
        Some(signing) => {
            let signature = signing.key.sign(Namespace::Audit, text.as_bytes());
            let signature = signature.map_err(CliError::failed)?;
            small_files::publish(&beside, signature.as_bytes())
        }
    }
}

fn signature_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".sig");
    PathBuf::from(name)
}
