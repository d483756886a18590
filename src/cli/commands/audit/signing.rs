//! The key that signs what was seen, and whether it may.

use crate::base::time::{Clock, SystemClock};
use crate::cli::args::Audit;
use crate::cli::author::Signing;
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::wire::Reader;
use crate::model::allowed_signers::AllowedSigners;
use crate::model::config::Config;
use crate::model::namespace::Namespace;
use crate::model::trust::Trust;

/// The key, if this run signs anything. That it may is known before anything is looked at.
pub(super) fn for_run(args: &Audit, reader: &Reader) -> Result<Option<Signing>, CliError> {
    let wanted = [
        (args.witness, "--witness", Namespace::Witness),
        (args.sign_report, "--sign-report", Namespace::Audit),
    ];
    let mut wanted = wanted
        .into_iter()
        .filter(|(is_wanted, ..)| *is_wanted)
        .peekable();
    let Some((_, option, namespace)) = wanted.peek() else {
        return Ok(None);
    };
    let config = configuration(reader, option, *namespace)?;
    let signing = Signing::read(config, "the auditor's own key signs what was seen")?;
    let signers = AllowedSigners::parse(&signing.allowed_signers)
        .map_err(|error| hints::allowed_signers(&config.trust.allowed_signers, error))?;
    let trust = Trust::new(signers, Vec::new());
    for (.., namespace) in wanted {
        check(&trust, &signing, namespace)?;
    }
    Ok(Some(signing))
}

fn configuration<'a>(
    reader: &'a Reader,
    option: &str,
    namespace: Namespace,
) -> Result<&'a Config, CliError> {
    reader.config.as_ref().ok_or_else(|| {
        CliError::usage(format!("{option} needs a configuration")).hint(format!(
            "its [signing] names the key, which allowed_signers permits for {namespace}"
        ))
    })
}

fn check(trust: &Trust, signing: &Signing, namespace: Namespace) -> Result<(), CliError> {
    let (key, now) = (signing.key.public(), SystemClock.now());
    let may = trust.may_sign(key, namespace, &signing.signer, now);
    may.map_err(|error| {
        CliError::new(Exit::Usage, error).hint(format!(
            "its line in allowed_signers needs {namespace} among the namespaces, and a validity \
             that has begun and not ended"
        ))
    })
}
