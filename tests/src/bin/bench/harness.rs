//! `BPF_PROG_TEST_RUN`, on one CPU or on two.
//!
//! Every packet goes through `vary` (`lb-ebpf/bench/floor/vary.rs`), which hands it to the program that is measured.
//! What `vary` and `BPF_PROG_TEST_RUN` themselves take is measured with a program that does nothing.

use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{PerCpuArray, PerCpuValues, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::util::nr_cpus;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::floor;
use crate::traffic::{Order, Range, Traffic};

/// The next address, how far it is to the one after it, the first, and how many: of clients, and of virtual addresses.
type Ranges = [[u32; 4]; 2];

/// What sends packets.
pub(crate) struct Harness {
    ebpf: Ebpf,
    /// The CPUs that this may run on: one or two of them are used.
    cpus: Vec<usize>,
}

const VARY: &str = "vary";

impl Harness {
    /// Loads `vary` and stays on one CPU from now on.
    pub(crate) fn load() -> Result<Self> {
        let mut ebpf = floor::load(1)?;
        floor::load_program(&mut ebpf, VARY)?;
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("sched_getaffinity")?;
        let cpus: Vec<usize> = (0..CpuSet::count())
            .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
            .collect();
        stay_on(cpus[0])?;
        Ok(Self { ebpf, cpus })
    }

    /// Whether there are two CPUs.
    pub(crate) const fn is_pair(&self) -> bool {
        self.cpus.len() > 1
    }

    /// Nanoseconds per packet of `program` behind `vary`, on average of `repeat` packets, the first of which is the
    /// client's with the number `from`.
    pub(crate) fn run(
        &mut self,
        program: &ProgramFd,
        traffic: &Traffic,
        from: u32,
        repeat: u32,
    ) -> Result<u64> {
        self.aim(program, |_| ranges(traffic, from))?;
        time(floor::program(&self.ebpf, VARY)?, traffic, repeat)
    }

    /// The same on two CPUs at once, each with its own traffic.
    pub(crate) fn run_pair(
        &mut self,
        program: &ProgramFd,
        traffic: [&Traffic; 2],
        from: u32,
        repeat: u32,
    ) -> Result<[u64; 2]> {
        let cpus = [self.cpus[0], self.cpus[1]];
        self.aim(program, |cpu| ranges(traffic[usize::from(cpu == cpus[1])], from))?;
        let vary = floor::program(&self.ebpf, VARY)?;
        let start = &Barrier::new(2);
        thread::scope(|scope| {
            let threads = [0, 1].map(|half| {
                scope.spawn(move || {
                    let stays = stay_on(cpus[half]);
                    start.wait();
                    stays.and_then(|()| time(vary, traffic[half], repeat))
                })
            });
            let [first, second] = threads.map(|thread| thread.join().expect("the measurement panicked"));
            Ok([first?, second?])
        })
    }

    fn aim(&mut self, program: &ProgramFd, ranges: impl Fn(usize) -> Ranges) -> Result<()> {
        let map = self.ebpf.map_mut("VARY_NEXT").context("no VARY_NEXT")?;
        ProgramArray::try_from(map)?.set(0, program, 0)?;
        let cpus = nr_cpus().map_err(|(file, error)| anyhow::anyhow!("{file}: {error}"))?;
        let values = PerCpuValues::try_from((0..cpus).map(ranges).collect::<Vec<_>>())?;
        let map = self.ebpf.map_mut("VARY_RANGES").context("no VARY_RANGES")?;
        PerCpuArray::try_from(map)?.set(0, values, 0)?;
        Ok(())
    }
}

fn ranges(traffic: &Traffic, from: u32) -> Ranges {
    [traffic.clients, traffic.vips].map(|Range { first, count }| {
        let step = match traffic.order {
            Order::Sequential => 1 % count,
            Order::Scattered => scattering(count),
        };
        let skipped = u64::from(from) * u64::from(step) % u64::from(count);
        [first + skipped as u32, step, first, count]
    })
}

/// A step by which all of `count` are visited, and none soon after its neighbours: the golden section.
fn scattering(count: u32) -> u32 {
    const fn divisor(a: u32, b: u32) -> u32 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    let golden = (f64::from(count) * 0.618_033_988_75) as u32;
    let mut steps = golden..count;
    steps.find(|step| divisor(count, *step) == 1).unwrap_or(0)
}

/// Nanoseconds per packet of `program`, without `vary`, on average of `repeat` times the same packet.
pub(crate) fn time(program: &Xdp, traffic: &Traffic, repeat: u32) -> Result<u64> {
    let options = TestRunOptions {
        data_in: Some(&traffic.frame),
        repeat,
        ..TestRunOptions::new()
    };
    let result = program.test_run(options).context("BPF_PROG_TEST_RUN")?;
    Ok(result.duration.as_nanos() as u64)
}

fn stay_on(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("sched_setaffinity")
}
