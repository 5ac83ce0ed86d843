//! What directors remember of connections: for how long, how many of which kind, and through which changes.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{
    Configuration, Connections, Director, ECHO, Exchanged, FURTHER_PORTS, Filter, Hook, Lab, Status, VIP, run,
};

const PATIENCE: Duration = Duration::from_secs(20);
const COUNT: usize = 12;

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

fn serving(director: &Director<'_>) -> Result<Status> {
    director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })
}

/// The connections of all real servers: active and inactive ones.
fn connections(status: &Status) -> [u64; 2] {
    let services = status.list("virtual_servers").iter();
    let real_servers = services.flat_map(|service| service["real_servers"].as_array().into_iter().flatten());
    real_servers.fold([0, 0], |[active, inactive], real_server| {
        let count = |key: &str| real_server[key].as_u64().expect("a number");
        [
            active + count("active_connections"),
            inactive + count("inactive_connections"),
        ]
    })
}

fn counts(director: &Director<'_>, what: &str, expected: [u64; 2]) -> Result<()> {
    director.wait_for(what, PATIENCE, |status| connections(status) == expected)?;
    Ok(())
}

fn all_answered(connections: &Connections) -> Result<()> {
    let answered = Exchanged {
        answered: COUNT,
        ..Exchanged::default()
    };
    let seen = connections.exchange();
    ensure!(seen == answered, "{seen:?}");
    Ok(())
}

/// Reloads with these `lvs_timeouts`.
fn reload(director: &mut Director<'_>, tcp: &str, tcpfin: &str) -> Result<()> {
    director
        .configuration
        .set("dataplane.lvs_timeouts.tcp", tcp)
        .set("dataplane.lvs_timeouts.tcpfin", tcpfin);
    director.write_configuration()?;
    let path = director.configuration_path().to_string_lossy().into_owned();
    let said = String::from_utf8(director.lbd(&["reload", "-c", &path])?.stdout)?;
    ensure!(said.contains("[dataplane] changed"), "{said}");
    ensure!(!said.contains("lvs_timeouts"), "{said}");
    Ok(())
}

/// How many entries a pinned map has room for.
fn capacity(director: &Director<'_>, map: &str) -> Result<u64> {
    let shown = run(Command::new("bpftool")
        .args(["--json", "map", "show", "pinned"])
        .arg(director.pinned_map(map)))?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    shown["max_entries"].as_u64().context("max_entries")
}

#[test]
fn connections_outlive_a_reload_that_changes_their_timeouts() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    serving(&director)?;
    let open = Connections::open(&lab.client, echo(), COUNT)?;
    counts(&director, "they are active", [COUNT as u64, 0])?;

    // To other units of time, and back.
    for [tcp, tcpfin] in [["31d", "12h"], ["15m", "2m"]] {
        reload(&mut director, tcp, tcpfin)?;
        assert_eq!(connections(&director.status()?), [COUNT as u64, 0]);
        all_answered(&open)?;
    }
    reload(&mut director, "15m", "31d")?;
    drop(open);
    counts(&director, "the client has closed them", [0, COUNT as u64])?;

    let open = Connections::open(&lab.client, echo(), COUNT)?;
    counts(&director, "others are active", [COUNT as u64, COUNT as u64])?;
    reload(&mut director, "1s", "1s")?;
    counts(&director, "all have timed out", [0, 0])?;
    drop(open);
    Ok(())
}

#[test]
fn connections_outlive_a_restart_that_gives_them_names_or_takes_these() -> Result<()> {
    let lab = Lab::new()?;
    let configuration = Configuration::new(&lab, 150).with("dataplane.flow_names", false);
    let mut director = Director::start(&lab, &lab.directors[0], configuration)?;
    serving(&director)?;
    let open = Connections::open(&lab.client, echo(), COUNT)?;
    let words = 8 * capacity(&director, "FLOWS")?;
    assert_eq!(capacity(&director, "FLOW_NAMES")?, 1);
    for (flow_names, timeout, names) in [(true, "31d", words), (false, "15m", 1)] {
        director.kill()?;
        director
            .configuration
            .set("dataplane.flow_names", flow_names)
            .set("dataplane.lvs_timeouts.tcp", timeout);
        director.write_configuration()?;
        director.restart()?;
        serving(&director)?;
        assert_eq!(capacity(&director, "FLOW_NAMES")?, names);
        assert_eq!(capacity(&director, "FLOWS")?, words / 8);
        all_answered(&open)?;
        counts(&director, "they are active", [COUNT as u64, 0])?;
        let log = director.log()?;
        ensure!(!log.contains("their connections are forgotten"), "{log}");
    }
    Ok(())
}

#[test]
fn connections_do_not_outlive_another_size_of_their_table() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    serving(&director)?;
    let open = Connections::open(&lab.client, echo(), COUNT)?;
    let buckets = capacity(&director, "FLOWS")?;
    director.kill()?;
    director.configuration.set("dataplane.flow_table_size", 1024);
    director.write_configuration()?;
    director.restart()?;
    serving(&director)?;
    assert!(capacity(&director, "FLOWS")? < buckets);
    assert_eq!(connections(&director.status()?), [0, 0]);
    assert_eq!(open.exchange().answered, 0);
    let log = director.log()?;
    ensure!(log.contains("the pinned map FLOWS has another layout"), "{log}");
    Ok(())
}

/// As with IPVS, where `expire_nodest_conn` is not set: who is thought dead by mistake loses nobody.
#[test]
fn connections_wait_for_a_server_that_is_down_where_they_do_not_expire() -> Result<()> {
    let lab = Lab::new()?;
    let mut configuration = Configuration::new(&lab, 150).with("dataplane.expire_nodest_conn", false);
    for server in 0..lab.real_servers.len() {
        configuration.set(
            &format!("virtual_server[1].real_server[{server}].tcp_check.connect_port"),
            i64::from(*FURTHER_PORTS.start()),
        );
    }
    let director = Director::start(&lab, &lab.directors[0], configuration)?;
    serving(&director)?;
    let open = Connections::open(&lab.client, echo(), 6)?;
    let failing = &lab.real_servers[0].node;
    let becomes = |state: &str| {
        director.wait_for(&format!("it is {state}"), PATIENCE, |status| {
            status.real_server_state("tcp", echo(), failing.address.into()) == state
        })
    };
    let rule = format!("tcp dport {}", FURTHER_PORTS.start());
    let nobody_checks = Filter::discard(&failing.namespace, Hook::Input, &rule)?;
    becomes("down")?;
    let seen = open.exchange();
    let some_wait = Exchanged {
        answered: 4,
        silent: 2,
        ..Exchanged::default()
    };
    assert_eq!(seen, some_wait);
    drop(nobody_checks);
    let status = becomes("up")?;
    assert!(status.number("dataplane.verdicts.drop_real_server_down") >= 2);
    let seen = open.exchange();
    assert_eq!((seen.answered, seen.reset), (6, 0), "{seen:?}");
    Ok(())
}
