//! `cargo xtask bench`: what a packet costs, beside what other programs cost in the same run; and what two hundred
//! virtual routers cost, beside Keepalived.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::{self, announce, cargo, run};

/// Measure the XDP program: nanoseconds per packet, beside minimal balancers and floors. `bench vrrp` measures the
/// daemon.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// Write the figures to this file too, and a drawing of them beside it, whose name ends in `.svg`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    subject: Option<Subject>,
}

/// What else there is to measure.
#[derive(Debug, clap::Subcommand)]
enum Subject {
    /// CPU and memory of 200 virtual routers, as master and as backup, beside Keepalived's.
    Vrrp {
        /// How many seconds each measurement takes.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
}

/// Runs the command.
pub(crate) fn run_bench(arguments: &Arguments) -> Result<()> {
    shell::require_root("cargo xtask bench")?;
    match arguments.subject {
        None => packets(arguments.json.as_deref()),
        Some(Subject::Vrrp { seconds }) => vrrp(seconds),
    }
}

fn packets(json: Option<&Path>) -> Result<()> {
    shell::build_ebpf()?;
    announce("Building the measurement");
    let bench = ["--release", "--package", "lb-tests", "--bin", "bench"];
    run(cargo(["build"]).args(bench))?;
    announce(
        "Measuring: a minute and 1.5 GB of memory, on an idle machine if the figures are to mean anything",
    );
    let mut command = cargo(["run", "--quiet"]);
    command.args(bench);
    if let Some(path) = json {
        // The program runs elsewhere than this one does.
        let path = std::path::absolute(path).context("no such folder")?;
        command.args(["--", "--json"]).arg(path);
    }
    run(&mut command)
}

fn vrrp(seconds: u32) -> Result<()> {
    shell::install(&shell::LAB)?;
    shell::build_ebpf()?;
    announce("Building lbd and the measurement");
    let package = |package, binary| ["--release", "--package", package, "--bin", binary];
    // The measurement takes the `lbd` beside it.
    run(cargo(["build"]).args(package("vrrp-daemon", "lbd")))?;
    run(cargo(["build"]).args(package("lb-tests", "bench-vrrp")))?;
    announce("Measuring: some minutes, on an idle machine if the figures are to mean anything");
    let bench = package("lb-tests", "bench-vrrp");
    run(cargo(["run", "--quiet"])
        .args(bench)
        .args(["--", &seconds.to_string()]))
}
