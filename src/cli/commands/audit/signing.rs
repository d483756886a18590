//! The key that signs what was seen, and whether it may.

use crate::cli::args::Audit;
use crate::cli::author::Signing;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::wire::Reader;
use crate::model::allowed_signers::AllowedSigners;
use crate::model::namespace::Namespace;
use crate::model::trust::Trust;

/// The key, if this run signs anything. That it may is known before anything is looked at.
pub(super) fn for_run(args: &Audit, reader: &Reader) -> Result<Option<Signing>, CliError> {
    let wanted = [
        (args.witness, "--witness", Namespace::Witness),
        (args.sign_report, "--sign-report", Namespace::Audit),
    ];
    let mut signing = None;
    for (_, option, namespace) in wanted.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
        signing = Some(permitted(reader, option, namespace)?);
    }
    Ok(signing)
}

fn permitted(reader: &Reader, option: &str, namespace: Namespace) -> Result<Signing, CliError> {
    let config = reader.config.as_ref().ok_or_else(|| {
        CliError::usage(format!("{option} needs a configuration")).hint(format!(
            "its [signing] names the key, which allowed_signers permits for {namespace}"
        ))
    })?;
    let signing = Signing::read(config, "the auditor's own key signs what was seen")?;
    let signers = AllowedSigners::parse(&signing.allowed_signers)
        .map_err(|error| hints::allowed_signers(&config.trust.allowed_signers, error))?;
    let may = Trust::new(signers, Vec::new());
    may.authenticate(signing.key.public(), namespace, &signing.signer)
        .map_err(|error| {
            CliError::new(Exit::Usage, error).hint(format!(
                "its line in allowed_signers needs {namespace} among the namespaces"
            ))
        })?;
    Ok(signing)
}
