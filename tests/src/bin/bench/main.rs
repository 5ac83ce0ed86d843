//! What a packet costs: nanoseconds in the XDP program, beside what other programs cost in the same run.
//!
//! `BPF_PROG_TEST_RUN` repeats a packet half a million times in the kernel, each time as another client's; the median
//! of seven such runs counts. It measures a program whose instructions are in the cache, and whose data are as far as
//! there are not too many flows: the difference between two programs, not the cost of a packet from a wire. What the
//! measurement itself takes is taken off. To begin a run takes the kernel a millisecond (it waits for all CPUs), so
//! that there are few long ones.
//!
//! The other programs are in `lb-ebpf/bench/floor`. Standard output has the tables; `--json FILE` writes the figures,
//! and beside it, with the suffix `.svg`, the drawing.

mod cells;
mod director;
mod drawing;
mod floor;
mod harness;
mod machine;
mod measure;
mod pair;
mod plane;
mod report;
mod targets;
mod traffic;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let path = arguments()?;
    let begin = Instant::now();
    let mut machine = machine::describe();
    let mut harness = harness::Harness::load()?;
    let mut cells = cells::Cells::prepare(&mut harness)?;
    let prepared = begin.elapsed();
    let figures = measure::all(&mut harness, &mut cells)?;
    let gains = pair::all(&mut harness, &mut cells)?;
    machine["load_after"] = machine::load().into();
    let comparisons = targets::compare(&figures, &gains);
    println!("{}", report::tables(&figures, &gains, &comparisons));
    println!("{}\n", machine::sentence(&machine));
    println!(
        "`XDP_TX` alone takes {} ns. {} s to load the programs and fill the tables, {} s in all.",
        figures.alone,
        prepared.as_secs(),
        begin.elapsed().as_secs(),
    );
    if let Some(path) = path {
        let report = report::json(machine, &figures, &gains, &comparisons);
        let text = serde_json::to_string_pretty(&report)? + "\n";
        for (path, text) in [
            (path.with_extension("svg"), drawing::draw(&report)?),
            (path, text),
        ] {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn arguments() -> Result<Option<PathBuf>> {
    let mut arguments = env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (None, None, None) => Ok(None),
        (Some(option), Some(path), None) if option == "--json" => Ok(Some(path.into())),
        _ => bail!("usage: bench [--json FILE]"),
    }
}
