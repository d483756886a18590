//! The instance's name, typed by somebody who means it.

use std::io::{BufRead, IsTerminal, Write};

use crate::base::names::Slug;
use crate::cli::exit::{CliError, Exit};

/// Demands the name of the instance: by `--confirm`, else typed on a terminal.
pub(super) fn demand(
    instance: &Slug,
    given: Option<&str>,
    what_it_does: &str,
) -> Result<(), CliError> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None => ask(instance, what_it_does)?,
    };
    match typed == instance.as_str() {
        true => Ok(()),
        false => Err(refused(
            format!("{what_it_does}, and was not confirmed"),
            instance,
        )),
    }
}

fn ask(instance: &Slug, what_it_does: &str) -> Result<String, CliError> {
    let (input, mut prompt) = (std::io::stdin(), std::io::stderr());
    if !input.is_terminal() {
        return Err(refused(what_it_does.to_owned(), instance));
    }
    write!(
        prompt,
        "{what_it_does}.\nType the instance's name ({instance}) to go on: "
    )?;
    prompt.flush()?;
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn refused(message: String, instance: &Slug) -> CliError {
    CliError {
        exit: Exit::Refused,
        message,
        hint: Some(format!("if you mean it: --confirm {instance}")),
    }
}
