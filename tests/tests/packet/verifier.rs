//! What the verifier makes of the program.
//!
//! It takes away the branches that it has found nobody to take, and that of Linux before 6.5 is wrong about some
//! (mended there by 1ffc85d9298e, "bpf: Verify scalar ids mapping in regsafe() using check_ids()"): in a state that it
//! takes for one that it has been in, registers may be equal in the one and not in the other. What the program does is
//! then another thing than what is written. So what a kernel keeps is compared with what this machine's keeps.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use lab::dataplane::Dataplane;

/// Where the guest has what the kernel of its host has kept.
const REFERENCE: &str = "/lbd/kept";

/// A variable of the environment: where to write that down.
const WRITTEN_TO: &str = "LBD_WRITE_KEPT";

/// How many instructions, or runs of them, the loaded program has of each place of the source. (A newer kernel knows
/// better what is never needed: it may keep less.)
fn kept(dataplane: &mut Dataplane) -> BTreeMap<String, usize> {
    let id = dataplane.program_id().to_string();
    let output = Command::new("bpftool")
        .args(["prog", "dump", "xlated", "id", &id, "linum"])
        .output()
        .expect("bpftool is there");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut places = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, place)) = line.rsplit_once(" [file:") {
            *places.entry(place.to_owned()).or_default() += 1;
        }
    }
    places
}

#[test]
fn the_verifier_takes_no_branch_away_that_another_keeps() {
    let kept = kept(&mut Dataplane::load(16).expect("the XDP program loads (as root)"));
    assert!(kept.len() > 500, "{} places", kept.len());
    if let Some(path) = std::env::var_os(WRITTEN_TO) {
        let lines: String = kept
            .iter()
            .map(|(place, count)| format!("{count} {place}\n"))
            .collect();
        fs::write(path, lines).expect("it can be written");
    }
    let Ok(reference) = fs::read_to_string(REFERENCE) else {
        return;
    };
    let lost: Vec<&str> = reference
        .lines()
        .filter(|line| {
            let (count, place) = line.split_once(' ').expect("a number and a place");
            let wanted: usize = count.parse().expect("a number");
            kept.get(place).copied().unwrap_or_default() < wanted
        })
        .collect();
    assert!(lost.is_empty(), "taken away here, and not on the host: {lost:#?}");
}
