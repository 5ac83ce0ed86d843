//! What processes take of the CPU and of the memory.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// What a mapping of a BPF map is called: memory of the kernel, which the program uses.
const MAP: &str = "anon_inode:bpf-map";

/// What one program takes, all of its processes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds of CPU time, in user and in kernel mode, for each second of the clock.
    pub(crate) cpu: f64,
    /// Bytes of resident memory, without mapped BPF maps.
    pub(crate) resident: u64,
}

/// What each of `programs`, a list of processes each, takes during `period`.
///
/// # Errors
/// A process has ended.
pub(crate) fn measure(programs: &[&[u32]], period: Duration) -> Result<Vec<Cost>> {
    let cpu_times = || {
        programs
            .iter()
            .map(|processes| cpu_time(processes))
            .collect::<Result<Vec<_>>>()
    };
    let start = Instant::now();
    let before = cpu_times()?;
    sleep(period);
    let after = cpu_times()?;
    let took = start.elapsed().as_secs_f64();
    programs
        .iter()
        .zip(before.iter().zip(&after))
        .map(|(processes, (before, after))| {
            Ok(Cost {
                cpu: (*after - *before).as_secs_f64() / took,
                resident: processes
                    .iter()
                    .map(|process| resident(*process))
                    .sum::<Result<u64>>()?,
            })
        })
        .collect()
}

/// What they have taken so far, in all threads: by their own clocks, as /proc/PID/stat counts in hundredths of a
/// second.
fn cpu_time(processes: &[u32]) -> Result<Duration> {
    processes
        .iter()
        .map(|process| {
            let process = Pid::from_raw(process.cast_signed());
            let clock = ClockId::pid_cpu_clock_id(process).with_context(|| format!("process {process}"))?;
            Ok(Duration::from(clock.now()?))
        })
        .sum()
}

/// The resident memory of a process, without mapped BPF maps.
fn resident(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let mut is_map = false;
    let mut kilobytes = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Rss:") if !is_map => {
                let number = words.next().unwrap_or_default();
                kilobytes += number.parse::<u64>().with_context(|| format!("{path}: {line}"))?;
            }
            Some(word) if !word.ends_with(':') => is_map = line.contains(MAP),
            _ => {}
        }
    }
    Ok(kilobytes << 10)
}
