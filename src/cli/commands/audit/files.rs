//! Reports that are written into files, and their signatures.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::base::digest::Digest;
use crate::cli::args::Audit;
use crate::cli::author::Signing;
use crate::cli::exit::CliError;
use crate::cli::output::json_text;
use crate::cli::render::html::{Page, SignedBy, page};
use crate::cli::small_files;
use crate::model::audit::facts::Facts;
use crate::model::audit::policy::AuditPolicy;
use crate::model::namespace::Namespace;

use super::Document;

/// Where reports go.
pub(super) struct Files<'a> {
    html: Option<&'a Path>,
    json: Option<&'a Path>,
}

/// What they are made of.
pub(super) struct Reports<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) facts: &'a Facts,
    pub(super) policy: &'a AuditPolicy,
    /// Who signs them; none where nobody does.
    pub(super) signing: Option<&'a Signing>,
}

impl<'a> Files<'a> {
    /// Refuses places that nothing can be written to before the audit begins, not after it.
    pub(super) fn named(args: &'a Audit) -> Result<Self, CliError> {
        let files = Self {
            html: args.html.as_deref(),
            json: args.report_json.as_deref(),
        };
        if files.html.is_some() && files.html == files.json {
            return Err(CliError::usage(
                "--html and --report-json name the same file",
            ));
        }
        for path in files.html.iter().chain(&files.json) {
            small_files::check_place(path)?;
        }
        Ok(files)
    }

    /// Writes each report whole or not at all, its signature behind it.
    pub(super) fn write(&self, reports: &Reports<'_>) -> Result<(), CliError> {
        let document = json_text(reports.document)?;
        if let Some(path) = self.json {
            put(path, &document, reports.signing)?;
        }
        if let Some(path) = self.html {
            let text = page(&Page {
                report: reports.document.report,
                facts: reports.facts,
                policy: reports.policy,
                document_sha256: Digest::of(document.as_bytes()),
                signed_by: reports.signing.map(|signing| SignedBy {
                    signer: &signing.signer,
                    key: signing.key.fingerprint(),
                }),
            });
            put(path, &text, reports.signing)?;
        }
        Ok(())
    }
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
