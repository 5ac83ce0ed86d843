//! `cargo xtask bench`: what a packet costs, beside what the least programs cost in the same run.

use anyhow::Result;

use crate::shell::{self, announce, cargo, run};

/// Measure the XDP program: nanoseconds per packet, beside floor programs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Runs the command.
pub(crate) fn run_bench(_arguments: &Arguments) -> Result<()> {
    shell::require_root("cargo xtask bench")?;
    shell::build_ebpf()?;
    announce("Building the measurement");
    let bench = ["--release", "--package", "lb-tests", "--bin", "bench"];
    run(cargo(["build"]).args(bench))?;
    announce("Measuring: half a minute, on an idle machine if the figures are to mean anything");
    run(cargo(["run", "--quiet"]).args(bench))
}
