//! How a lab goes, and those that interrupted tests left behind.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::namespace::{self, run};

/// Removes the lab `name`: its processes, its namespaces, its pins, its files. What isn't there is no error.
pub fn teardown(name: &str) {
    let prefix = format!("{name}-");
    for namespace in names_in(Path::new(namespace::DIRECTORY)).filter(|other| other.starts_with(&prefix)) {
        kill_all_in(&namespace);
        drop(run(Command::new("ip").args(["netns", "del", &namespace])));
    }
    let directory = std::env::temp_dir().join(name);
    unmount_below(&directory);
    drop(fs::remove_dir_all(directory));
}

/// Removes the labs of processes that exist no more: an interrupted test had no time to.
pub(crate) fn remove_leftovers() {
    let namespaces = names_in(Path::new(namespace::DIRECTORY));
    let directories = names_in(&std::env::temp_dir());
    for name in namespaces.chain(directories) {
        // lbd-PID-NUMBER, and for a namespace -NODE
        let mut parts = name.split('-');
        let (Some("lbd"), Some(id), Some(number)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let numeric = id.parse::<u32>().is_ok() && number.parse::<u32>().is_ok();
        if numeric && !Path::new("/proc").join(id).exists() {
            teardown(&format!("lbd-{id}-{number}"));
        }
    }
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
}

/// Kills every process in the namespace called `name`, but for this one.
fn kill_all_in(name: &str) {
    let identifiers = run(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    let own = std::process::id().to_string();
    for identifier in identifiers
        .split_whitespace()
        .filter(|identifier| *identifier != own)
    {
        drop(run(Command::new("kill").args(["-KILL", identifier])));
    }
}

/// Unmounts what was mounted in `directory`: a daemon mounts a bpffs where it keeps its pins.
fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for target in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(target).starts_with(directory) {
            drop(run(Command::new("umount").args(["--lazy", target])));
        }
    }
}
