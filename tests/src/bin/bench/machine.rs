//! Where and when it was measured.

use std::fs;
use std::time::SystemTime;

use serde_json::{Value, json};

/// The machine, the date, and how busy it was before.
pub(crate) fn describe() -> Value {
    let cpuinfo = read("/proc/cpuinfo");
    let of = |key| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| name.trim() == key);
        found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let is_virtual = of("flags").split(' ').any(|flag| flag == "hypervisor");
    let cpus = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let mitigation = |name| read(&format!("/sys/devices/system/cpu/vulnerabilities/{name}"));
    json!({
        "date": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "cpu": of("model name"),
        "cpus": cpus,
        "virtual_machine": is_virtual,
        // Without what whoever built it has added.
        "kernel": read("/proc/sys/kernel/osrelease").split('-').next(),
        "spectre_v2": mitigation("spectre_v2"),
        "retbleed": mitigation("retbleed"),
        "load_before": load(),
    })
}

/// The same for people.
pub(crate) fn sentence(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or("?");
    let kind = match machine["virtual_machine"].as_bool() {
        Some(true) => "a virtual machine",
        _ => "no virtual machine",
    };
    format!(
        "{} on {} ({} CPUs, {kind}), Linux {}; load {} before, {} after. Spectre v2: {}. Retbleed: {}.",
        text("date"),
        text("cpu"),
        machine["cpus"],
        text("kernel"),
        machine["load_before"],
        machine["load_after"],
        text("spectre_v2"),
        text("retbleed"),
    )
}

/// How many processes wanted a CPU in the last minute, on average.
pub(crate) fn load() -> f64 {
    let text = read("/proc/loadavg");
    let first = text.split(' ').next().and_then(|number| number.parse().ok());
    first.unwrap_or(f64::NAN)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
