//! `lbd status`.

mod human;

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use clap::Args;

use super::{Daemon, client};
use crate::api::{Request, Response};
use human::human;

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    daemon: Daemon,
    /// Print JSON, for programs
    #[arg(short, long)]
    json: bool,
}

/// Asks the daemon for its status and prints it.
pub(super) fn run(arguments: &StatusArguments) -> anyhow::Result<()> {
    let status = match client::call(&arguments.daemon.socket()?, Request::Status)? {
        Response::Status(status) => status,
        Response::Refused { message } | Response::Done { message } => anyhow::bail!(message),
    };
    let mut text = if arguments.json {
        serde_json::to_string(&status)?
    } else {
        human(&status, SystemTime::now(), io::stdout().is_terminal())
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
