//! `cargo xtask test`: everything that can fail, from the state machines to real peers.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::guest;
use crate::shell::{self, announce, cargo, run, workspace};

/// The test binaries whose failure explains those of the others, which are found where they lie.
const FIRST: [&str; 4] = ["packet", "net", "lab", "stations"];

/// How many labs are up at once: they wait more than they work.
const LABS: &str = "4";

/// The packet tests once more, in virtual machines with other kernels.
const VM: &str = "vm";

/// Run all tests: unit, packet, end-to-end.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Check the formatting, clippy and rustdoc first.
    #[arg(long)]
    lint: bool,
    /// Only this (and the tiers that are named): the packet tests in virtual machines, one for each of Debian's
    /// kernels.
    #[arg(long)]
    vm: bool,
    /// The kernels for `--vm`, by what their versions begin with: the newest one each that a repository offers.
    #[arg(long, value_name = "SERIES", value_delimiter = ',', default_values = guest::KERNELS)]
    kernels: Vec<String>,
    /// Only these: `unit`, `vm`, or the files and folders of tests/tests (packet, net, lab, traffic, failover and so
    /// on). The tests of `guest` and `systemd` run on another kernel, in a virtual machine.
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
}

impl Arguments {
    /// Whether the tier `name` is to be run.
    fn want(&self, name: &str) -> bool {
        let all = self.tiers.is_empty() && !self.vm;
        all || name == VM && self.vm || self.tiers.iter().any(|tier| tier == name)
    }
}

/// One line of the summary.
struct Outcome {
    name: String,
    took: Duration,
    result: Result<()>,
}

/// What has been done so far.
#[derive(Default)]
struct Steps {
    outcomes: Vec<Outcome>,
}

impl Steps {
    /// Does `work` and keeps what came of it. Returns whether it went well; if not, the next one is done all the same.
    fn take(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        announce(name);
        let start = Instant::now();
        let result = work();
        if let Err(error) = &result {
            eprintln!("{error:#}");
        }
        let good = result.is_ok();
        self.outcomes.push(Outcome {
            name: name.to_owned(),
            took: start.elapsed(),
            result,
        });
        good
    }

    /// Prints what came of each step.
    fn summarise(self) -> Result<()> {
        println!();
        for Outcome { name, took, result } in &self.outcomes {
            let verdict = if result.is_ok() { "ok" } else { "FAILED" };
            println!("{name:<10} {verdict:<8} {:>6.1} s", took.as_secs_f64());
        }
        let failed: Vec<&str> = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.result.is_err())
            .map(|outcome| outcome.name.as_str())
            .collect();
        ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        println!("\nAll {} steps passed.", self.outcomes.len());
        Ok(())
    }
}

/// Runs the command.
pub(crate) fn run_tests(arguments: &Arguments) -> Result<()> {
    shell::require_root("cargo xtask test")?;
    let tiers = tiers()?;
    if let Some(unknown) = arguments
        .tiers
        .iter()
        .find(|name| !["unit", VM].contains(&name.as_str()) && !tiers.contains(name))
    {
        bail!("there is no tier {unknown}: say unit, {VM}, {}", tiers.join(", "));
    }
    shell::install(&shell::LAB)?;
    shell::build_ebpf()?;

    let mut steps = Steps::default();
    if arguments.lint {
        steps.take("format", || run(&mut cargo(["fmt", "--all", "--check"])));
        steps.take("clippy", clippy);
        steps.take("rustdoc", rustdoc);
    }
    // What doesn't build fails every test in the same words.
    if steps.take("build", shell::build_everything) {
        if arguments.want("unit") {
            steps.take("unit", unit);
        }
        for tier in tiers.iter().filter(|tier| arguments.want(tier)) {
            steps.take(tier, || match tier.as_str() {
                "guest" => guest::run_bare(),
                "systemd" => guest::run_systemd(),
                tier => run(&mut tier_command(tier)),
            });
        }
        if arguments.want(VM) {
            for series in &arguments.kernels {
                steps.take(&format!("{VM} {series}"), || guest::run_packet(series));
            }
        }
    }
    steps.summarise()
}

/// The test binaries of the package `lb-tests`: those of [`FIRST`] first, and whatever else is there.
fn tiers() -> Result<Vec<String>> {
    let directory = workspace().join("tests/tests");
    let mut found = BTreeSet::new();
    for entry in directory
        .read_dir()
        .with_context(|| format!("cannot read {}", directory.display()))?
    {
        let path = entry?.path();
        let is_test =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        if is_test && let Some(name) = path.file_stem() {
            found.insert(name.to_string_lossy().into_owned());
        }
    }
    let known = FIRST
        .iter()
        .filter(|name| found.contains(**name))
        .map(|name| (*name).to_owned());
    let others = found
        .iter()
        .filter(|name| !FIRST.contains(&name.as_str()))
        .cloned();
    Ok(known.chain(others).collect())
}

/// The program is read by itself, here and by rustdoc: with the rest of the workspace, cargo would give it `lb-common`
/// with the features that only the daemon may have.
fn clippy() -> Result<()> {
    let deny = ["--", "-D", "warnings"];
    run(cargo(["clippy", "--workspace", "--exclude", "lb-ebpf", "--all-targets"]).args(deny))?;
    // The program has no test harness on any target.
    run(cargo(["clippy", "--package", "lb-ebpf", "--bins"]).args(deny))
}

fn rustdoc() -> Result<()> {
    let document = |packages: &[&str]| {
        let mut doc = cargo(["doc", "--no-deps", "--document-private-items"]);
        run(doc.args(packages).env("RUSTDOCFLAGS", "-D warnings"))
    };
    document(&["--workspace", "--exclude", "lb-ebpf"])?;
    document(&["--package", "lb-ebpf"])
}

/// The tests that need nothing, the lab's own among them, and the examples in the documentation.
fn unit() -> Result<()> {
    let lab = ["--package", "lb-tests", "--lib", "--bins"];
    if has_nextest() {
        run(&mut cargo(["nextest", "run"]))?;
        run(cargo(["nextest", "run"]).args(lab))?;
        run(&mut cargo(["test", "--doc"]))?;
    } else {
        run(&mut cargo(["test"]))?;
        run(cargo(["test"]).args(lab))?;
    }
    run(&mut cargo(["test", "--package", "lb-tests", "--doc"]))
}

fn tier_command(tier: &str) -> Command {
    if has_nextest() {
        cargo([
            "nextest",
            "run",
            "--package",
            "lb-tests",
            "--test",
            tier,
            "--no-fail-fast",
            "--test-threads",
            LABS,
        ])
    } else {
        cargo([
            "test",
            "--package",
            "lb-tests",
            "--test",
            tier,
            "--no-fail-fast",
            "--",
            "--test-threads",
            LABS,
        ])
    }
}

/// Whether `cargo nextest` is there: it tells more of a test that hangs, but isn't needed.
fn has_nextest() -> bool {
    cargo(["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
