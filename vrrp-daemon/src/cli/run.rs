//! `lbd run`.

use std::io::{self, IsTerminal};

use anyhow::Context;
use clap::Args;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::FileArgument;
use super::file::{self, MissingInterfaces};
use crate::daemon;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    file: FileArgument,
    /// Log what the XDP program does with each packet (slow)
    #[arg(long)]
    trace_packets: bool,
}

/// Checks the configuration and becomes the daemon.
pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let loaded = file::load(&arguments.file.config, MissingInterfaces::Refuse)?;
    // A reload reads the file again, wherever the daemon was started.
    let config_path = std::path::absolute(&arguments.file.config)
        .with_context(|| format!("cannot find {}", arguments.file.config.display()))?;
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .context("the environment variable RUST_LOG is no filter (`info`, `vrrp_daemon=debug`)")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    daemon::run(daemon::Options {
        config_path,
        loaded,
        trace_packets: arguments.trace_packets,
    })
}
