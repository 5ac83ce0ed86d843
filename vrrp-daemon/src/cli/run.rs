//! `lbd run`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tracing::Level;

use super::file;
use super::log::{Log, level};
use super::{FileArgument, output, sentence};
use crate::daemon;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    file: FileArgument,
    /// Log what the XDP program does with each packet (slow)
    #[arg(long)]
    trace_packets: bool,
}

/// Checks the configuration and becomes the daemon. All that is said goes by way of the log.
pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    let log = match Log::start() {
        Ok(log) => log,
        Err(error) => {
            output::complain(&sentence(&error));
            return ExitCode::FAILURE;
        }
    };
    match become_daemon(arguments, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.say(Level::ERROR, &sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn become_daemon(arguments: &RunArguments, log: &Log) -> anyhow::Result<()> {
    let report = |severity, diagnostics: &str| log.say(level(severity), diagnostics);
    let loaded = file::load(&arguments.file.config, report)?;
    // A reload reads the file again, wherever the daemon was started.
    let config_path = std::path::absolute(&arguments.file.config)
        .with_context(|| format!("cannot find {}", arguments.file.config.display()))?;
    log.listen()?;
    daemon::run(daemon::Options {
        config_path,
        loaded,
        trace_packets: arguments.trace_packets,
    })
}
