//! The commands: one file per verb.

mod check_config;
mod client;
mod file;
mod log;
mod output;
mod reload;
mod run;
mod sample_config;
mod status;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config;

/// A highly available layer-4 load balancer: VRRP, health checks and an XDP data plane.
#[derive(Debug, Parser)]
#[command(
    name = "lbd",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon in the foreground, until SIGTERM or SIGINT; SIGHUP reloads the configuration
    Run(run::RunArguments),
    /// Check the configuration file and report every problem in it
    CheckConfig(FileArgument),
    /// Print a configuration file that shows every key, with what it is for and its default
    SampleConfig,
    /// Show what the running daemon does
    Status(status::StatusArguments),
    /// Have the running daemon read its configuration file again; a file with errors changes nothing
    Reload(Daemon),
}

/// Which configuration file.
#[derive(Debug, Args)]
struct FileArgument {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

/// Which daemon to talk to.
#[derive(Debug, Args)]
struct Daemon {
    /// The configuration file of the daemon, which names its control socket [default: /etc/lbd/lbd.toml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// The control socket of the daemon
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Daemon {
    /// The path of the control socket. The default configuration file need not exist; one that is named must.
    fn socket(&self) -> anyhow::Result<PathBuf> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let text = match &self.config {
            Some(path) => Some(file::read(path)?),
            None => file::read_if_there(config::DEFAULT_PATH.as_ref())?,
        };
        Ok(text.map_or_else(config::default_control_socket, |text| {
            config::control_socket(&text)
        }))
    }
}

/// Carries out the command line. The exit status is 0 for done, 1 for refused or failed; wrong usage never gets
/// here (clap ends the process with 2).
#[must_use]
pub fn main(arguments: Arguments) -> ExitCode {
    let outcome = match arguments.verb {
        Verb::Run(arguments) => return run::run(&arguments),
        Verb::CheckConfig(arguments) => check_config::run(&arguments.config),
        Verb::SampleConfig => sample_config::run(),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Reload(daemon) => reload::run(&daemon),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// The last line of a command that fails.
fn sentence(error: &anyhow::Error) -> String {
    format!("lbd: {error:#}\n")
}
