//! Schedulers that count connections, with real ones: what they count through reloads, restarts and the end of clients.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::{Configuration, Connections, Director, ECHO, Lab, Status, VIP, run};
use lb_common::Load;

/// Longer than the shortest timeout here and two sweeps.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service of echo by TCP.
const SERVICE: &str = "virtual_server[1]";

/// Connections that are opened at a time: as many as the weights 3, 2 and 1 share without a rest.
const COUNT: usize = 12;

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

fn configured(lab: &Lab, priority: u8, scheduler: &str) -> Configuration {
    let mut configuration = Configuration::new(lab, priority);
    configuration.set(&format!("{SERVICE}.lb_algo"), scheduler);
    for (server, weight) in [3, 2, 1].into_iter().enumerate() {
        configuration.set(&format!("{SERVICE}.real_server[{server}].weight"), weight);
    }
    configuration
}

fn serving(director: &Director<'_>) -> Result<Status> {
    director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })
}

fn open(lab: &Lab) -> Result<Connections> {
    Connections::open(&lab.client, echo(), COUNT)
}

/// The active connections of each of the service's real servers.
fn active_connections(status: &Status) -> Vec<u64> {
    let mut services = status.list("virtual_servers").iter();
    let is_service = |service: &&serde_json::Value| {
        service["port"].as_u64() == Some(u64::from(ECHO)) && service["protocol"].as_str() == Some("tcp")
    };
    let service = services.find(is_service).expect("the service is configured");
    let real_servers = service["real_servers"].as_array().expect("a list").iter();
    real_servers
        .map(|server| server["active_connections"].as_u64().expect("a number"))
        .collect()
}

fn active(director: &Director<'_>, expected: [u64; 3]) -> Result<()> {
    director.wait_for("connections are shared", PATIENCE, |status| {
        active_connections(status) == expected
    })?;
    Ok(())
}

/// What the program counts, of all real servers together: active and inactive connections.
fn counted(director: &Director<'_>) -> Result<[u64; 2]> {
    let dump = run(Command::new("bpftool")
        .args(["--json", "map", "dump", "pinned"])
        .arg(director.pinned_map("LOADS")))?;
    let entries: Vec<serde_json::Value> = serde_json::from_str(&dump)?;
    let mut sums = [0, 0];
    for entry in entries {
        let bytes = entry["value"].as_array().context("bytes")?;
        let bytes: Option<Vec<u8>> = bytes
            .iter()
            .map(|byte| u8::from_str_radix(byte.as_str()?.trim_start_matches("0x"), 16).ok())
            .collect();
        let bytes = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .context("eight bytes")?;
        let load = Load(u64::from_le_bytes(bytes));
        sums[0] += load.active();
        sums[1] += load.inactive();
    }
    Ok(sums)
}

fn counts(director: &Director<'_>, expected: [u64; 2]) -> Result<()> {
    let start = Instant::now();
    loop {
        let seen = counted(director)?;
        if seen == expected {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "{seen:?} are counted, not {expected:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Reloads what was set in the configuration.
fn reload(director: &Director<'_>) -> Result<()> {
    director.write_configuration()?;
    let path = director.configuration_path().to_string_lossy().into_owned();
    let said = director.lbd(&["reload", "-c", &path])?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

#[test]
fn connections_are_counted_through_a_reload_and_a_restart_until_the_last_has_gone() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], configured(&lab, 150, "rr"))?;
    serving(&director)?;
    let first = open(&lab)?;
    active(&director, [4, 4, 4])?;
    assert_eq!(counted(&director)?, [0, 0], "nobody asks");

    // Those that were there count, too: the next ones even it out.
    director.configuration.set(&format!("{SERVICE}.lb_algo"), "wlc");
    reload(&director)?;
    counts(&director, [12, 0])?;
    let second = open(&lab)?;
    active(&director, [12, 8, 4])?;

    director.kill()?;
    director.restart()?;
    serving(&director)?;
    let third = open(&lab)?;
    // The status tells of those that have been heard since.
    for open in [&first, &second] {
        ensure!(open.exchange().answered == COUNT, "they are known still");
    }
    active(&director, [18, 12, 6])?;
    counts(&director, [36, 0])?;

    drop(second);
    counts(&director, [24, 12])?;
    drop(first);
    drop(third);
    counts(&director, [0, 36])?;
    director.configuration.set("dataplane.lvs_timeouts.tcpfin", "1s");
    reload(&director)?;
    counts(&director, [0, 0])
}

#[test]
fn a_real_server_that_has_as_many_connections_as_it_may_gets_no_more() -> Result<()> {
    let lab = Lab::new()?;
    let mut configuration = configured(&lab, 150, "rr");
    configuration.set(&format!("{SERVICE}.real_server[0].uthreshold"), 2);
    let director = Director::start(&lab, &lab.directors[0], configuration)?;
    serving(&director)?;
    let _open = open(&lab)?;
    // Ten for two: the turn of the first one is the second one's.
    active(&director, [2, 6, 4])
}

/// The new master counts what it sees, and the old one, when it is back, nothing that is over.
#[test]
fn connections_are_counted_from_one_director_to_the_other_and_back() -> Result<()> {
    let lab = Lab::new()?;
    let (mut first, second) = Director::pair(&lab, |priority| {
        configured(&lab, priority, "wlc")
            .with("dataplane.lvs_timeouts.tcp", "15s")
            .with("dataplane.lvs_timeouts.tcpfin", "15s")
    })?;
    let before = open(&lab)?;
    active(&first, [6, 4, 2])?;
    counts(&first, [12, 0])?;
    assert_eq!(counted(&second)?, [0, 0]);

    first.stop()?;
    second.becomes_master()?;
    let meanwhile = open(&lab)?;
    active(&second, [6, 4, 2])?;
    counts(&second, [12, 0])?;

    first.restart()?;
    first.becomes_master()?;
    drop((before, meanwhile));
    for director in [&first, &second] {
        counts(director, [0, 0])?;
    }
    let after = open(&lab)?;
    active(&first, [6, 4, 2])?;
    drop(after);
    Ok(())
}
