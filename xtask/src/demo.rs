//! `cargo xtask demo`: the whole mission, to watch.

use anyhow::Result;

use crate::shell::{self, announce, cargo, run};

/// Two directors, three real servers, a client, and everything that can go wrong, to watch.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave the network up at the end, and say how to look around.
    #[arg(long)]
    keep: bool,
    /// Remove the network that an earlier `--keep` left up, and do nothing else.
    #[arg(long, conflicts_with = "keep")]
    down: bool,
}

/// Runs the command.
pub(crate) fn run_demo(arguments: &Arguments) -> Result<()> {
    shell::require_root("cargo xtask demo")?;
    shell::install(&shell::LAB)?;
    if !arguments.down {
        shell::build_ebpf()?;
    }
    announce("Building the daemon and the lab");
    run(&mut cargo([
        "build",
        "--package",
        "vrrp-daemon",
        "--package",
        "lb-tests",
        "--bins",
    ]))?;
    let mut command = cargo(["run", "--quiet", "--package", "lb-tests", "--bin", "demo", "--"]);
    if arguments.keep {
        command.arg("--keep");
    }
    if arguments.down {
        command.arg("--down");
    }
    run(&mut command)
}
