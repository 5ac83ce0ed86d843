//! `lbd sample-config`.

use std::io::{self, Write};

use anyhow::Context;

use crate::config;

/// Prints the sample configuration of this version.
pub(super) fn run() -> anyhow::Result<()> {
    io::stdout()
        .write_all(config::sample().as_bytes())
        .context("cannot print the sample")
}
