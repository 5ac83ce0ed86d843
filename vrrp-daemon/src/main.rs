//! The command `lbd`.

use std::process::ExitCode;

use clap::Parser;
use vrrp_daemon::cli;

fn main() -> ExitCode {
    cli::main(cli::Arguments::parse())
}
