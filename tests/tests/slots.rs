//! Slots of real servers change hands, and connections do not: each ends with the real server that it was scheduled to.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::{Configuration, Connections, Director, ECHO, Exchanged, Lab, Status, VIP, run, wait};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

/// The responder behind the real servers with these numbers, and nothing else.
fn configuration(lab: &Lab, servers: &[usize]) -> Configuration {
    let mut configuration = Configuration::new(lab, 150)
        .without("virtual_server[2]")
        .without("virtual_server[0]");
    for server in (0..lab.real_servers.len()).rev() {
        if !servers.contains(&server) {
            configuration.remove(&format!("virtual_server[0].real_server[{server}]"));
        }
    }
    configuration
}

fn is_serving(status: &Status, servers: usize) -> bool {
    let listed = status.list("virtual_servers[0].real_servers").len();
    status.is_master() && status.all_up() && listed == servers
}

/// Makes these the real servers.
fn reload(lab: &Lab, director: &mut Director<'_>, servers: &[usize]) -> Result<()> {
    director.configuration = configuration(lab, servers);
    director.write_configuration()?;
    let socket = director.socket();
    let output = director.lbd(&["reload", "--socket", &socket.to_string_lossy()])?;
    ensure!(output.status.success(), "{output:?}");
    director.wait_for("the others are there", PATIENCE, |status| {
        is_serving(status, servers.len())
    })?;
    Ok(())
}

/// What a map holds, as bpftool shows it.
fn dump(director: &Director<'_>, map: &str) -> Result<Vec<Value>> {
    let dump = run(Command::new("bpftool")
        .args(["--json", "map", "dump", "pinned"])
        .arg(director.pinned_map(map)))?;
    let entries: Vec<Value> = serde_json::from_str(&dump)?;
    Ok(entries
        .into_iter()
        .map(|entry| entry["formatted"].clone())
        .collect())
}

/// The slot of the real server at `address`, and its generation.
fn slot(director: &Director<'_>, address: IpAddr) -> Result<(u64, u64)> {
    let reals = dump(director, "REALS")?;
    let IpAddr::V4(address) = address else {
        anyhow::bail!("{address} is not of the lab");
    };
    let bytes = address.to_ipv6_mapped().octets().to_vec();
    let owner = reals.iter().find(|entry| {
        let held = entry["value"]["address"]["bytes"].as_array();
        held.is_some_and(|held| {
            held.iter()
                .map(number)
                .eq(bytes.iter().map(|byte| Some(u64::from(*byte))))
        })
    });
    let owner = owner.with_context(|| format!("{address} has no slot: {:?}", reals.first()))?;
    let slot = number(&owner["key"]).context("a slot is a number")?;
    let generation = number(&owner["value"]["generation"]).context("a generation is a number")?;
    Ok((slot, generation))
}

/// A number, or the text of one in hexadecimal.
fn number(value: &Value) -> Option<u64> {
    let hexadecimal = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    value.as_u64().or_else(|| value.as_str().and_then(hexadecimal))
}

/// How many connections the table holds, whether they have timed out or not.
fn remembered(director: &Director<'_>) -> Result<usize> {
    let buckets = dump(director, "FLOWS")?;
    let words = buckets.iter().map(|bucket| {
        let words = bucket["value"]["words"].as_array();
        words.context("a bucket has words")
    });
    let words = words.collect::<Result<Vec<_>>>()?;
    let used = words.into_iter().flatten().filter(|word| !is_zero(word));
    Ok(used.count())
}

fn is_zero(word: &Value) -> bool {
    match word {
        Value::Object(fields) => fields.values().all(is_zero),
        other => number(other) == Some(0),
    }
}

#[test]
fn a_slot_goes_to_another_server_and_the_connections_of_the_first_do_not() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], configuration(&lab, &[0, 1]))?;
    director.wait_for("it serves", PATIENCE, |status| is_serving(status, 2))?;
    let [_, removed, other] = [0, 1, 2].map(|server: usize| lab.real_servers[server].node.address.into());
    let connections = Connections::open(&lab.client, echo(), 2)?;
    ensure!(remembered(&director)? == 2);
    let (before, generation) = slot(&director, removed)?;

    reload(&lab, &mut director, &[0])?;
    wait::until(
        "the connection of the one that is gone is forgotten",
        PATIENCE,
        || (remembered(&director).ok()? == 1).then_some(()),
    )?;
    // On a busy machine, the sweep goes on after that for a moment, and the slot is another one.
    wait::until("the slot has another owner", PATIENCE, || {
        reload(&lab, &mut director, &[0, 2]).ok()?;
        let (after, next) = slot(&director, other).ok()?;
        if (after, next) == (before, generation + 1) {
            return Some(());
        }
        reload(&lab, &mut director, &[0]).ok()?;
        None
    })?;

    // The client has been silent all the time.
    let expected = Exchanged {
        answered: 1,
        reset: 1,
        ..Exchanged::default()
    };
    assert_eq!(connections.exchange(), expected);
    let counted = |status: &Status, what: &str| {
        let server = status.real_server("tcp", echo(), other);
        server.and_then(|server| server[what].as_u64())
    };
    assert_eq!(counted(&director.status()?, "packets"), Some(0));
    let _others = Connections::open(&lab.client, echo(), 2)?;
    assert_eq!(counted(&director.status()?, "connections"), Some(1));
    Ok(())
}

#[test]
fn a_daemon_that_starts_with_another_server_gives_nobody_the_connections_of_the_first() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], configuration(&lab, &[0, 1]))?;
    director.wait_for("it serves", PATIENCE, |status| is_serving(status, 2))?;
    let connections = Connections::open(&lab.client, echo(), 2)?;

    director.kill()?;
    director.configuration = configuration(&lab, &[0, 2]);
    director.write_configuration()?;
    director.restart()?;
    director.wait_for("it serves again", PATIENCE, |status| is_serving(status, 2))?;
    wait::until(
        "the connection of the one that is gone is forgotten",
        PATIENCE,
        || (remembered(&director).ok()? == 1).then_some(()),
    )?;
    let seen = connections.exchange();
    assert_eq!((seen.answered, seen.reset), (1, 1), "{seen:?}");
    let other = lab.real_servers[2].node.address.into();
    let status = director.status()?;
    let server = status.real_server("tcp", echo(), other).context("it is listed")?;
    assert_eq!(server["packets"].as_u64(), Some(0));
    Ok(())
}

#[test]
fn what_has_timed_out_leaves_the_table() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], configuration(&lab, &[0, 1]))?;
    director.wait_for("it serves", PATIENCE, |status| is_serving(status, 2))?;
    let _connections = Connections::open(&lab.client, echo(), 6)?;
    ensure!(remembered(&director)? == 6);
    director.configuration.set("dataplane.lvs_timeouts.tcp", "1s");
    director.write_configuration()?;
    let socket = director.socket();
    let output = director.lbd(&["reload", "--socket", &socket.to_string_lossy()])?;
    ensure!(output.status.success(), "{output:?}");
    wait::until("nothing is remembered", PATIENCE, || {
        (remembered(&director).ok()? == 0).then_some(())
    })
}
