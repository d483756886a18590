//! Everything a person or a script reads: results on standard output, the rest on standard error.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::base::text::printable;

use super::args::Global;
use super::exit::CliError;
use super::wire::environment;

/// Where results go.
pub(super) struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
        }
    }

    /// Logs go to standard error: warnings always, more with `-v`, all of them with
    /// `DATABASUS_ESCROW_LOG` in the manner of `RUST_LOG`.
    pub(super) fn start_logging(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (_, 0) => "warn",
            (_, 1) => "databasus_escrow=info,warn",
            _ => "databasus_escrow=debug,info",
        };
        let filter = EnvFilter::try_from_env("DATABASUS_ESCROW_LOG")
            .unwrap_or_else(|_| EnvFilter::new(level));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal());
        // Under cron and systemd somebody else stamps the time.
        let _ = builder.without_time().try_init();
    }

    /// The result of a command: one document, or the text that `human` makes.
    pub(super) fn result<T: Serialize>(
        &self,
        document: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.json {
            return self.raw(&json_text(document)?);
        }
        if self.quiet {
            return Ok(());
        }
        self.raw(&human())
    }

    /// Whether results may be coloured: on a terminal that nobody asked to leave alone
    /// (no-color.org).
    pub(super) fn paints(&self) -> bool {
        let is_refused = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        !self.json && !is_refused && std::io::stdout().is_terminal()
    }

    /// What the command was run for, which `--quiet` does not silence.
    pub(super) fn product<T: Serialize>(&self, document: &T, text: &str) -> Result<(), CliError> {
        match self.json {
            true => self.result(document, String::new),
            false => self.raw(text),
        }
    }

    /// A question that the run waits for an answer to.
    pub(super) fn ask(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Text as it is. A reader that went away is no failure.
    pub(super) fn raw(&self, text: &str) -> Result<(), CliError> {
        Self::raw_without_arguments(text)
    }

    /// The same, before anything is known of the arguments.
    pub(super) fn raw_without_arguments(text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(CliError::from),
        }
    }

    /// A remark beside the result.
    pub(super) fn remark(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "databasus-escrow: {text}");
        }
    }

    /// Something that needs somebody. It stands in the result; where that is not printed
    /// (`--quiet`, as under cron), it is said here.
    pub(super) fn complain(&self, text: &str) {
        if self.quiet && !self.json {
            let text = printable(text);
            let _ = writeln!(std::io::stderr().lock(), "databasus-escrow: {text}");
        }
    }

    /// A command line that cannot be understood, as clap tells it.
    pub(super) fn usage_error(error: &clap::Error, json: bool) {
        if !json || !error.use_stderr() {
            let _ = error.print();
            return;
        }
        let text = error.render().to_string();
        let told = text.trim_start_matches("error: ").trim();
        let document = serde_json::json!({ "error": told, "hint": null, "exit": 2 });
        let _ = writeln!(std::io::stderr().lock(), "{document}");
    }

    /// The error that ends the run.
    pub(super) fn error(&self, error: &CliError) {
        Self::told_without_arguments(error, self.json);
    }

    /// The same, before anything is known of the arguments.
    pub(super) fn told_without_arguments(error: &CliError, json: bool) {
        let mut err = std::io::stderr().lock();
        if json {
            let document = serde_json::json!({
                "error": error.message,
                "hint": error.hint,
                "exit": error.exit.code(),
            });
            let _ = writeln!(err, "{document}");
            return;
        }
        let _ = writeln!(err, "databasus-escrow: error: {}", error.message);
        if let Some(hint) = &error.hint {
            let _ = writeln!(err, "databasus-escrow: hint: {hint}");
        }
    }
}

/// A document as `--json` prints it.
pub(super) fn json_text<T: Serialize>(document: &T) -> Result<String, CliError> {
    let mut text = serde_json::to_string_pretty(document).map_err(CliError::failed)?;
    text.push('\n');
    Ok(text)
}

/// Rows as aligned columns; the last column is not padded.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
