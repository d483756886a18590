//! The `databasus-escrow` program: a thin shell around the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    databasus_escrow::cli::run()
}
