//! Two CPUs at once: what the second one adds.

use anyhow::Result;

use crate::cells::{Cell, Cells, FEW, MANY, Row};
use crate::harness::Harness;
use crate::measure::median;
use crate::plane::Program;
use crate::traffic::{MORE_STRANGERS, Traffic, clients};

const RUNS: u32 = 5;

/// What two CPUs do at once, each with half of the clients, compared with one that has the first half alone.
pub(crate) struct Gain {
    pub(crate) row: Row,
    pub(crate) program: Program,
    /// Nanoseconds per packet of one CPU alone, with what the measurement takes.
    pub(crate) alone: u64,
    /// Nanoseconds per packet of each of two, likewise.
    pub(crate) both: [u64; 2],
    /// How many times as many packets two CPUs make. 2 is all that can be.
    pub(crate) gain: f64,
}

/// Measures what goes on in one table.
pub(crate) fn all(harness: &mut Harness, cells: &mut Cells) -> Result<Vec<Gain>> {
    if !harness.is_pair() {
        return Ok(Vec::new());
    }
    let rows = [Row::Established(FEW), Row::Established(MANY), Row::New];
    let measured = |cell: &&Cell| {
        cell.program == Program::Swap
            || matches!(cell.program, Program::Tracked | Program::Lbd) && rows.contains(&cell.row)
    };
    let mut gains = Vec::new();
    for cell in cells.cells.iter().filter(measured) {
        let repeat = if cell.is_new() { 250_000 } else { 500_000 };
        let clients = match cell.program {
            Program::Swap => clients(2),
            _ if cell.is_new() => MORE_STRANGERS,
            _ => cell.traffic.clients,
        };
        let traffic = Traffic {
            clients,
            ..cell.traffic.clone()
        };
        let halves = [traffic.half(false), traffic.half(true)];
        let program = cells.planes[cell.plane].program_fd()?;
        let mut runs = Vec::new();
        for turn in 0..RUNS {
            let from = 2 * turn * repeat;
            let alone = harness.run(program, &halves[0], from, repeat)?;
            let both = harness.run_pair(program, [&halves[0], &halves[1]], from + repeat, repeat)?;
            let rate = both
                .iter()
                .map(|nanoseconds| 1.0 / *nanoseconds as f64)
                .sum::<f64>();
            runs.push((rate * alone as f64, alone, both));
        }
        let gain = median(&runs.iter().map(|(gain, ..)| *gain).collect::<Vec<_>>());
        let (gain, alone, both) = runs
            .into_iter()
            .find(|(of, ..)| *of == gain)
            .expect("the median is one of them");
        gains.push(Gain {
            row: cell.row,
            program: cell.program,
            alone,
            both,
            gain,
        });
    }
    Ok(gains)
}
