//! What the commands print. Whoever reads it may stop reading at any time.

use std::io::{self, Write as _};

use anyhow::Context as _;
use tracing::Level;

use super::log;
use crate::config::Severity;

/// Prints `text` to standard output. A reader that has seen enough (`| head`) is no failure.
///
/// # Errors
/// If it cannot be written: the disk is full.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints `text`, which tells of an error, to standard error. If that is impossible, there is nobody to tell: the exit
/// status says the rest.
pub(super) fn complain(text: &str) {
    print_complaint(Level::ERROR, text);
}

/// Prints `diagnostics` of the worst `severity` among them, as [`complain`] does.
pub(super) fn report(severity: Severity, diagnostics: &str) {
    print_complaint(log::level(severity), diagnostics);
}

fn print_complaint(level: Level, text: &str) {
    let text = log::for_standard_error(level, text);
    io::stderr().write_all(text.as_bytes()).ok();
}
