//! How long it takes: medians, and what the measurement itself takes.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use crate::cells::{Cell, Cells, MANY, Row};
use crate::floor::Floor;
use crate::harness::{self, Harness};
use crate::plane::{Plane, Program};
use crate::traffic::{Family, Traffic, VIP, clients};

/// How many runs; the median counts.
pub(crate) const RUNS: usize = 7;
/// How often each packet is repeated in one run.
pub(crate) const REPEAT: u32 = 500_000;
/// Before each run, for the caches.
const WARM_UP: u32 = REPEAT / 10;

/// What a packet costs.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) row: Row,
    pub(crate) program: Program,
    /// Nanoseconds of each run, with what the measurement takes.
    pub(crate) runs: Vec<u64>,
    /// Nanoseconds of the measurement.
    pub(crate) overhead: u64,
}

impl Figure {
    /// Nanoseconds per packet, without what the measurement takes.
    pub(crate) fn net(&self) -> i64 {
        median(&self.runs) as i64 - self.overhead as i64
    }
}

/// What is known at the end.
pub(crate) struct Figures {
    /// `XDP_TX` alone: nanoseconds per packet.
    pub(crate) alone: u64,
    pub(crate) figures: Vec<Figure>,
    /// Of a million established connections, those that a flood of first segments has left.
    pub(crate) survivors: u64,
}

impl Figures {
    /// One of them.
    pub(crate) fn net(&self, row: Row, program: Program) -> Option<i64> {
        let mut figures = self.figures.iter();
        let figure = figures.find(|figure| figure.row == row && figure.program == program)?;
        Some(figure.net())
    }
}

/// The median.
pub(crate) fn median<T: Copy + PartialOrd>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
    sorted[sorted.len() / 2]
}

/// Measures everything.
///
/// What finds its connections comes in turns, so that a while in which the machine is slow is in one run of each. What
/// opens connections has its runs without a pause, as a flood has: the table would recover in between.
pub(crate) fn all(harness: &mut Harness, cells: &mut Cells) -> Result<Figures> {
    let nothing = Floor::load("transmit", 1)?;
    let families = [
        (Family::Ipv4, Traffic::data(clients(1), VIP)),
        (Family::Ipv6, Traffic::ipv6(lab::packet::ACK)),
        (Family::Arp, Traffic::arp()),
    ];
    let mut alone = Vec::new();
    let mut overheads = [const { Vec::new() }; 3];
    let mut runs: HashMap<usize, Vec<u64>> = HashMap::new();
    for _ in 0..RUNS {
        alone.push(harness::time(nothing.program()?, &families[0].1, REPEAT)?);
        for (runs, (_, traffic)) in overheads.iter_mut().zip(&families) {
            harness.run(nothing.program()?.fd()?, traffic, 0, WARM_UP)?;
            runs.push(harness.run(nothing.program()?.fd()?, traffic, 0, REPEAT)?);
        }
        for (index, cell) in cells.cells.iter().enumerate().filter(|(_, cell)| !cell.is_new()) {
            let taken = runs.entry(index).or_default();
            // The clients go on where they were.
            let from = taken.len() as u32 * (WARM_UP + REPEAT);
            taken.push(run(harness, &mut cells.planes[cell.plane], cell, from)?);
        }
    }
    for (index, cell) in cells.cells.iter().enumerate().filter(|(_, cell)| cell.is_new()) {
        let plane = &mut cells.planes[cell.plane];
        // Until there is no place that nobody has had.
        let full = 5 * (MANY / 2);
        harness.run(plane.program_fd()?, &cell.traffic, 0, full)?;
        for turn in 0..RUNS as u32 {
            let nanoseconds = run(harness, plane, cell, full + turn * (WARM_UP + REPEAT))?;
            runs.entry(index).or_default().push(nanoseconds);
        }
    }
    let overhead = |family| {
        let index = families.iter().position(|(of, _)| *of == family);
        median(&overheads[index.expect("all families are there")])
    };
    let figures = cells.cells.iter().enumerate().map(|(index, cell)| Figure {
        row: cell.row,
        program: cell.program,
        runs: runs[&index].clone(),
        overhead: overhead(cell.traffic.family),
    });
    Ok(Figures {
        alone: median(&alone),
        figures: figures.collect(),
        survivors: survivors(harness, cells)?,
    })
}

/// One run of one cell. Its packets have to have the fate that they are measured for.
fn run(harness: &mut Harness, plane: &mut Plane, cell: &Cell, from: u32) -> Result<u64> {
    harness.run(plane.program_fd()?, &cell.traffic, from, WARM_UP)?;
    let before = plane.counted(cell.verdict)?;
    let nanoseconds = harness.run(plane.program_fd()?, &cell.traffic, from + WARM_UP, REPEAT)?;
    let after = plane.counted(cell.verdict)?;
    let counted = after.zip(before).map(|(after, before)| after - before);
    ensure!(
        counted.is_none_or(|counted| counted >= u64::from(REPEAT) * 998 / 1000),
        "{} of {}: {:?} happened to {counted:?} packets of {REPEAT}",
        cell.row.name(),
        cell.program.name(),
        cell.verdict,
    );
    Ok(nanoseconds)
}

/// How many of the connections that were established before the flood still are.
fn survivors(harness: &mut Harness, cells: &mut Cells) -> Result<u64> {
    let flood = cells.cells.iter().find(|cell| cell.row == Row::Flood);
    let plane = flood.expect("there is a flood").plane;
    let mut survivors = 0;
    for data in Traffic::data(clients(MANY), VIP).parts() {
        let known = cells.known(harness, plane, &data, data.clients.count)?;
        survivors += known.expect("lbd tells");
    }
    Ok(survivors)
}
