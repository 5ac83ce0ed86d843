//! The object itself: libbpf's tools accept it, and show what is in its maps.

use std::path::{Path, PathBuf};
use std::process::Command;

use lab::dataplane::{Dataplane, object};
use lab::packet::{ACK, Packet, arp_request};

/// A bpffs of this test's own, gone with it.
struct BpfFilesystem(PathBuf);

impl BpfFilesystem {
    fn mount() -> Self {
        let path = std::env::temp_dir().join(format!("lbd-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        run(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&path));
        Self(path)
    }
}

impl Drop for BpfFilesystem {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
        std::fs::remove_dir(&self.0).unwrap();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn bpftool(arguments: &[&str], paths: &[&Path]) -> String {
    let path = std::env::var("PATH").unwrap() + ":/usr/sbin";
    run(Command::new("bpftool")
        .env("PATH", path)
        .args(arguments)
        .args(paths))
}

#[test]
fn bpftool_loads_the_object_and_names_every_field() {
    let bpffs = BpfFilesystem::mount();
    let program = bpffs.0.join("program");
    let maps = bpffs.0.join("maps");
    let arguments = ["prog", "loadall"];
    let object = object("lb-ebpf.o").unwrap();
    let output = Command::new("bpftool")
        .env("PATH", std::env::var("PATH").unwrap() + ":/usr/sbin")
        .args(arguments)
        .args([&object, &program])
        .arg("pinmaps")
        .arg(&maps)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let described = bpftool(&["prog", "show", "pinned"], &[&program.join("lbd")]);
    assert!(
        described.contains("name lbd") && described.contains("gpl"),
        "{described}"
    );

    let mut names = Vec::new();
    for entry in std::fs::read_dir(&maps).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Of the global variables there is only the log level and the switch for tracing, and a ring buffer has no
        // entries to describe.
        if !name.contains("rodata") && name != "AYA_LOGS" {
            let map = bpftool(&["--json", "map", "show", "pinned"], &[&path]);
            assert!(map.contains("\"btf_id\""), "{name} has no BTF: {map}");
            names.push(name);
        }
    }
    names.sort();
    assert_eq!(
        names,
        [
            "ACCESS",
            "ADDRESSES",
            "ADDRESS_FILTER",
            "ALLOWANCE",
            "BEGINNING",
            "CLOCK",
            "CURSORS",
            "EPISODES",
            "FLOWS",
            "FLOW_CLOCK",
            "FLOW_NAMES",
            "FRAGMENTS",
            "INTERFACES",
            "LEASES",
            "LOADS",
            "LOST",
            "META",
            "PEERS",
            "POLICY",
            "REALS",
            "REAL_STATS",
            "RECOLLECTION",
            "RINGS",
            "SERVICES",
            "SERVICE_INDEX",
            "SERVICE_PORTS",
            "SERVICE_STATS",
            "TUNNEL_SOURCES",
            "VERDICTS",
            "VIRTUAL_ROUTERS",
        ]
    );

    let lease = bpftool(
        &["map", "lookup", "pinned"],
        &[
            &maps.join("LEASES"),
            Path::new("key"),
            Path::new("0"),
            Path::new("0"),
            Path::new("0"),
            Path::new("0"),
        ],
    );
    for field in [
        "renewed_at",
        "interval",
        "successor_at",
        "state",
        "interface",
        "virtual_router_id",
    ] {
        assert!(lease.contains(&format!("\"{field}\": 0")), "{lease}");
    }
    let real = bpftool(
        &["map", "lookup", "pinned"],
        &[
            &maps.join("REALS"),
            Path::new("key"),
            Path::new("1"),
            Path::new("0"),
            Path::new("0"),
            Path::new("0"),
        ],
    );
    for field in [
        "address",
        "generation",
        "service",
        "flags",
        "destination_mac",
        "source_mac",
    ] {
        assert!(real.contains(&format!("\"{field}\"")), "{real}");
    }
}

/// The kernel follows at most a million instructions, through all paths, and takes its time for them at each start of
/// the daemon. Older ones find fewer paths alike, and need more.
#[test]
fn the_kernel_is_quick_to_verify_the_program() {
    let verified = Dataplane::load(16).unwrap().verified_instructions();
    println!("{verified} instructions");
    assert!(verified < 250_000, "{verified} instructions");
}

#[test]
fn every_packet_is_logged_if_the_daemon_wants_it() {
    let mut silent = Dataplane::load(16).unwrap();
    let mut traced = Dataplane::load_traced(16).unwrap();
    let packets = [
        Packet::tcp(
            "198.51.100.7:1".parse().unwrap(),
            "10.0.0.1:80".parse().unwrap(),
            ACK,
        )
        .build(),
        Packet::tcp(
            "[2001:db8::7]:1".parse().unwrap(),
            "[fd00::1]:80".parse().unwrap(),
            ACK,
        )
        .build(),
        arp_request([10, 0, 0, 9], [10, 0, 0, 1]),
    ];
    for packet in &packets {
        assert_eq!(silent.send(packet), traced.send(packet));
    }
    assert_eq!(silent.log_lines().len(), 0);
    let lines = traced.log_lines();
    assert_eq!(lines.len(), packets.len());
    let contains = |line: &[u8], part: &[u8]| line.windows(part.len()).any(|window| window == part);
    assert!(contains(&lines[0], &[198, 51, 100, 7]) && contains(&lines[0], &[10, 0, 0, 1]));
}
