//! What the forwarding does for clients: who gets which connection, and what a failing real server or a reload costs.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::{Configuration, Director, ECHO, Lab, Load, Probe, Session, Signal, Status, VIP, VIP6, run, wait};

const PERIOD: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);

fn http() -> SocketAddr {
    (VIP, 80).into()
}

fn http6() -> SocketAddr {
    (VIP6, 80).into()
}

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

/// One director, master, with all real servers up.
fn single(lab: &Lab, configuration: Configuration) -> Result<Director<'_>> {
    let director = Director::start(lab, &lab.directors[0], configuration)?;
    director.wait_for(
        "it is master, all servers up",
        Duration::from_secs(20),
        |status| status.is_master() && status.all_up(),
    )?;
    Ok(director)
}

/// Waits until `load` has ended `count` requests that were started since now.
fn requests(load: &Load, count: usize) -> Result<lab::LoadReport> {
    let start = Instant::now();
    wait::until("requests are made", Duration::from_secs(20), || {
        let report = load.since(start);
        (report.requests >= count).then_some(report)
    })
}

#[test]
fn packets_are_traced_if_that_is_asked_for_and_only_then() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = single(&lab, Configuration::new(&lab, 150))?;
    lab.client.curl(http(), 3)?;
    assert!(!director.log()?.contains("forward_new"), "{}", director.log()?);

    director.stop()?;
    director.arguments = vec!["--trace-packets"];
    director.restart()?;
    director.wait_for("it is master again", Duration::from_secs(20), |status| {
        status.is_master() && status.all_up()
    })?;
    lab.client.curl(http(), 3)?;
    let line = wait::until("a new connection is logged", PATIENCE, || {
        let log = director.log().ok()?;
        log.lines()
            .find(|line| line.contains("forward_new"))
            .map(str::to_owned)
    })?;
    assert!(
        line.contains(" tcp ") && line.ends_with(&format!("> {VIP} port 80: a new connection")),
        "{line}"
    );
    Ok(())
}

#[test]
fn weights_are_kept_exactly_and_connections_interleaved() -> Result<()> {
    let lab = Lab::new()?;
    let (master, _backup) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let error = master.status()?.at("virtual_servers[0].weight_error").as_f64();
    assert_eq!(error, Some(0.0));
    let fetched = lab.client.curl(http(), 600)?;
    assert_eq!(
        fetched.counts(),
        [("rs1", 300), ("rs2", 200), ("rs3", 100)].into(),
        "{}",
        fetched.complaints
    );
    // Smooth weighted round-robin of 3:2:1 is a b a c b a: the same server twice only where the cycle meets itself.
    assert!(fetched.longest_burst() <= 2, "{:?}", fetched.answers);
    for cycle in fetched.answers.chunks(6) {
        let mut counts = BTreeMap::new();
        for name in cycle.iter().flatten() {
            *counts.entry(name.as_str()).or_insert(0) += 1;
        }
        assert_eq!(counts, [("rs1", 3), ("rs2", 2), ("rs3", 1)].into());
    }
    Ok(())
}

#[test]
fn a_client_keeps_its_server_under_source_hashing_and_maglev_until_it_fails() -> Result<()> {
    for (scheduler, option, value) in [("sh", "sh_fallback", true), ("mh", "mh_port", false)] {
        let lab = Lab::new()?;
        let mut configuration = Configuration::new(&lab, 150);
        configuration.set("virtual_server[0].lb_algo", scheduler);
        configuration.set(&format!("virtual_server[0].{option}"), value);
        let director = single(&lab, configuration)?;
        let fetched = lab.client.curl(http(), 6)?;
        let counts = fetched.counts();
        assert_eq!(counts.len(), 1, "{counts:?}: {}", fetched.complaints);
        let server = counts.into_keys().next().context("somebody answered")?;
        let number = server.trim_start_matches("rs").parse::<usize>()? - 1;
        let failed = &lab.real_servers[number];
        failed.kill_nginx();
        let address = failed.node.address.into();
        let status = director.wait_for("it is down", PATIENCE, |status| {
            status.real_server_state("tcp", http(), address) == "down"
        })?;
        assert_eq!(
            status.at("virtual_servers[0].scheduler").as_str(),
            Some(scheduler)
        );
        let fetched = lab.client.curl(http(), 6)?;
        let others = fetched.counts();
        assert!(
            others.len() == 1 && !others.contains_key(server),
            "{others:?}: {}",
            fetched.complaints
        );
    }
    Ok(())
}

#[test]
fn seventy_services_of_large_weights_are_all_served_and_lose_a_failed_server() -> Result<()> {
    let lab = Lab::new()?;
    let mut configuration = Configuration::new(&lab, 150).with_weights([65_535, 65_534, 65_533]);
    let http_service = configuration
        .get("virtual_server[0]")
        .context("the lab serves HTTP")?
        .clone();
    // Schedules are laid out in the order of the ports: that of port 80 comes after these.
    let echo_port = i64::from(ECHO);
    for port in (1..=71).filter(|port| *port != echo_port) {
        configuration.push("virtual_server", http_service.clone());
        let service = format!("virtual_server[{}]", configuration.length("virtual_server") - 1);
        configuration.set(&format!("{service}.port"), port);
        for server in 0..lab.real_servers.len() {
            configuration.set(
                &format!("{service}.real_server[{server}].tcp_check.connect_port"),
                echo_port,
            );
        }
    }
    let director = single(&lab, configuration)?;
    let fetched = lab.client.curl(http(), 6)?;
    assert_eq!(
        fetched.counts(),
        [("rs1", 2), ("rs2", 2), ("rs3", 2)].into(),
        "{}",
        fetched.complaints
    );

    let scheduled = |status: &Status| {
        let of = |server| {
            status.at(&format!(
                "virtual_servers[0].real_servers[{server}].scheduled_weight"
            ))
        };
        [0, 1, 2].map(|server| of(server).as_f64())
    };
    let status = director.status()?;
    // A turn more for one of them is little, and together they have what they ask for.
    let error = status.at("virtual_servers[0].weight_error").as_f64();
    assert!(
        error.is_some_and(|error| error > 0.0 && error < 1e-3),
        "{error:?}"
    );
    let weights = scheduled(&status).map(Option::unwrap_or_default);
    assert_eq!(weights.iter().sum::<f64>().round(), 196_602.0);
    assert!(
        weights.iter().all(|weight| (weight - 65_534.0).abs() < 66.0),
        "{weights:?}"
    );

    lab.real_servers[0].kill_nginx();
    let failed = lab.real_servers[0].node.address.into();
    let status = director.wait_for("rs1 is down", PATIENCE, |status| {
        status.real_server_state("tcp", http(), failed) == "down"
    })?;
    // A turn more for one of them is little, and together they have what they ask for.
    let [first, second, third] = scheduled(&status).map(Option::unwrap_or_default);
    assert_eq!((first, (second + third).round()), (0.0, 131_067.0));
    assert!(second > 65_534.0 && second < 65_634.0, "{second}");
    let path = director.configuration_path().to_string_lossy().into_owned();
    let shown = String::from_utf8(director.lbd(&["status", "-c", &path])?.stdout)?;
    assert!(
        shown.contains("    weights are rounded: shares differ by up to 0.03 %"),
        "{shown}"
    );
    let cell = format!(" {}/65534 ", (second * 100.0).round() / 100.0);
    assert!(shown.contains(&cell), "{cell}: {shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let fetched = lab.client.curl(http(), 60)?;
    assert_eq!(
        fetched.counts(),
        [("rs2", 30), ("rs3", 30)].into(),
        "{}",
        fetched.complaints
    );
    Ok(())
}

#[test]
fn ipv6_is_balanced_as_ipv4() -> Result<()> {
    let lab = Lab::new()?;
    let _director = single(&lab, Configuration::new(&lab, 150).with_ipv6(&lab))?;
    let fetched = lab.client.curl(http6(), 60)?;
    assert_eq!(
        fetched.counts(),
        [("rs1", 30), ("rs2", 20), ("rs3", 10)].into(),
        "{}",
        fetched.complaints
    );
    let probe = Probe::start(&lab.client, (VIP6, ECHO).into(), PERIOD)?;
    wait::until("fifty datagrams are answered", PATIENCE, || {
        (probe.so_far().sent >= 50).then_some(())
    })?;
    let report = probe.finish()?;
    assert_eq!((report.lost, report.answered_twice), (0, 0));
    Ok(())
}

#[test]
fn a_flow_of_datagrams_keeps_its_server() -> Result<()> {
    let lab = Lab::new()?;
    let _director = single(&lab, Configuration::new(&lab, 150))?;
    let flows = (0..6)
        .map(|_| Probe::start(&lab.client, echo(), PERIOD))
        .collect::<Result<Vec<_>>>()?;
    let mut servers = BTreeMap::new();
    for flow in flows {
        wait::until("fifty datagrams are answered", PATIENCE, || {
            (flow.so_far().sent >= 50).then_some(())
        })?;
        let report = flow.finish()?;
        assert_eq!(
            (report.lost, report.answered_twice, report.answered_by.len()),
            (0, 0, 1),
            "{report:?}"
        );
        for name in report.answered_by.into_keys() {
            *servers.entry(name).or_insert(0) += 1;
        }
    }
    let expected = ["rs1", "rs2", "rs3"].map(|name| (name.to_owned(), 2));
    assert_eq!(servers, expected.into());
    Ok(())
}

#[test]
fn a_killed_server_gets_no_connection_once_its_check_has_failed() -> Result<()> {
    let lab = Lab::new()?;
    let director = single(&lab, Configuration::new(&lab, 150))?;
    let server = &lab.real_servers[0];
    let load = Load::start(&lab.client, http(), PERIOD)?;
    requests(&load, 12)?;

    let killed = Instant::now();
    server.kill_nginx();
    let address = server.node.address.into();
    director.wait_for("rs1 is down", PATIENCE, |status| {
        status.real_server_state("tcp", http(), address) == "down"
    })?;
    let down = Instant::now();
    let connections = |status: &Status| {
        status
            .real_server("tcp", http(), address)
            .and_then(|entry| entry["connections"].as_u64())
    };
    let before = connections(&director.status()?).context("no counter of rs1")?;
    let after_check = requests(&load, 60)?;
    assert_eq!(after_check.failures, [].into());
    assert_eq!(after_check.answered_by.get("rs1"), None);
    assert!(after_check.answered_by.contains_key("rs2") && after_check.answered_by.contains_key("rs3"));
    assert_eq!(connections(&director.status()?), Some(before));

    // Until the check failed, only the dead server's share was lost: never one for the others.
    let meanwhile = load.since(killed);
    let lost = meanwhile.failed();
    assert!(lost <= meanwhile.requests / 2 + 1, "{meanwhile:?}");
    // Refused, but for a request that it had in hand when it was killed.
    let by_the_dead = |reason: &String| reason.contains("refused") || reason.contains("reset");
    assert!(meanwhile.failures.keys().all(by_the_dead), "{meanwhile:?}");
    assert!(down - killed < Duration::from_secs(5));

    server.start_nginx()?;
    director.wait_for("rs1 is up again", PATIENCE, |status| {
        status.real_server_state("tcp", http(), address) == "up"
    })?;
    let recovered = requests(&load, 60)?;
    assert_eq!(recovered.failures, [].into());
    assert!(
        recovered.answered_by.get("rs1").copied().unwrap_or_default() >= 25,
        "{recovered:?}"
    );
    Ok(())
}

#[test]
fn connections_to_the_servers_that_live_are_left_alone_when_another_dies() -> Result<()> {
    let lab = Lab::new()?;
    let director = single(&lab, Configuration::new(&lab, 150))?;
    let sessions = (0..3)
        .map(|_| Session::start(&lab.client, echo(), PERIOD))
        .collect::<Result<Vec<_>>>()?;
    let victim = &lab.real_servers[1];
    lab.unplug(&victim.node)?;
    director.wait_for("rs2 is down", PATIENCE, |status| {
        status.real_server_state("tcp", echo(), victim.node.address.into()) == "down"
    })?;
    let down = Instant::now();
    for session in sessions {
        let server = session.so_far().server;
        if server == "rs2" {
            // Silence until the check failed, and then a reset instead of minutes of waiting.
            let report = wait::until("the dead server's session ends", PATIENCE, || {
                let report = session.so_far();
                report.ended.is_some().then_some(report)
            })?;
            let (kind, at) = report.ended.context("it has ended")?;
            assert_eq!(kind, ErrorKind::ConnectionReset);
            assert!(
                at.saturating_duration_since(down) < Duration::from_secs(3),
                "{report:?}"
            );
        } else {
            session.proceeds(20, PATIENCE)?;
            let report = session.finish()?;
            assert_eq!(report.server, server);
            assert!(report.slowest < Duration::from_millis(200), "{report:?}");
        }
    }
    Ok(())
}

#[test]
fn weights_changed_by_reload_take_effect_without_a_failed_request() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = single(&lab, Configuration::new(&lab, 150))?;
    let load = Load::start(&lab.client, http(), Duration::from_millis(2))?;
    let session = Session::start(&lab.client, echo(), PERIOD)?;

    director.configuration = Configuration::new(&lab, 150).with_weights([1, 1, 4]);
    director.write_configuration()?;
    director.signal(Signal::HangUp)?;
    let weight = |status: &Status, server: usize| {
        let address = lab.real_servers[server].node.address.into();
        status
            .real_server("tcp", http(), address)
            .and_then(|entry| entry["weight"].as_u64())
    };
    director.wait_for("rs3 weighs 4", PATIENCE, |status| weight(status, 2) == Some(4))?;
    requests(&load, 60)?;
    let report = load.finish()?;
    assert_eq!(report.failures, [].into());
    let fetched = lab.client.curl(http(), 60)?;
    assert_eq!(
        fetched.counts(),
        [("rs1", 10), ("rs2", 10), ("rs3", 40)].into(),
        "{}",
        fetched.complaints
    );

    let load = Load::start(&lab.client, http(), Duration::from_millis(2))?;
    director.configuration = Configuration::new(&lab, 150).with_weights([5, 1, 0]);
    director.write_configuration()?;
    let socket = director.socket();
    let output = director.lbd(&["reload", "--socket", &socket.to_string_lossy()])?;
    assert!(output.status.success(), "{output:?}");
    director.wait_for("rs1 weighs 5", PATIENCE, |status| weight(status, 0) == Some(5))?;
    requests(&load, 60)?;
    let report = load.finish()?;
    assert_eq!(report.failures, [].into());
    let fetched = lab.client.curl(http(), 60)?;
    assert_eq!(
        fetched.counts(),
        [("rs1", 50), ("rs2", 10)].into(),
        "{}",
        fetched.complaints
    );

    session.proceeds(5, PATIENCE)?;
    assert_eq!(session.finish()?.ended, None);
    assert!(director.status()?.is_master());
    Ok(())
}

#[test]
fn an_invalid_reload_changes_nothing_and_is_explained() -> Result<()> {
    let lab = Lab::new()?;
    let director = single(&lab, Configuration::new(&lab, 150))?;
    let load = Load::start(&lab.client, http(), PERIOD)?;
    let text = std::fs::read_to_string(director.configuration_path())?;
    director.write_configuration_text(
        &text
            .replace("priority = 150", "priority = 151\nprioritty = 1")
            .replace("weight = 3", "weight = 99999999"),
    )?;

    let socket = director.socket();
    let output = director.lbd(&["reload", "--socket", &socket.to_string_lossy()])?;
    let explanation = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        explanation.contains("prioritty") && explanation.contains("99999999"),
        "{explanation}"
    );

    director.signal(Signal::HangUp)?;
    wait::until("the log explains", PATIENCE, || {
        director
            .log()
            .is_ok_and(|log| log.contains("prioritty"))
            .then_some(())
    })?;
    requests(&load, 30)?;
    assert_eq!(load.finish()?.failures, [].into());
    let status = director.status()?;
    assert_eq!(status.0["vrrp_instances"][0]["priority"], 150);
    assert!(status.is_master());
    let fetched = lab.client.curl(http(), 60)?;
    assert_eq!(
        fetched.counts(),
        [("rs1", 30), ("rs2", 20), ("rs3", 10)].into(),
        "{}",
        fetched.complaints
    );
    Ok(())
}

#[test]
fn bpftool_shows_the_maps_with_named_fields() -> Result<()> {
    let lab = Lab::new()?;
    let director = single(&lab, Configuration::new(&lab, 150))?;
    lab.client.curl(http(), 6)?;
    let _session = Session::start(&lab.client, echo(), PERIOD)?;
    let maps = [
        ("SERVICES", ["address", "port", "ring_offset"].as_slice()),
        ("REALS", &["address", "destination_mac", "interface"]),
        ("LEASES", &["renewed_at", "interval", "virtual_router_id"]),
        ("ADDRESSES", &["lease"]),
        ("VIRTUAL_ROUTERS", &["virtual_router_id"]),
        ("FLOWS", &["words"]),
        ("FLOW_NAMES", &["client_address", "client_port"]),
        ("FLOW_CLOCK", &["shift", "timeout"]),
        ("SERVICE_STATS", &["connections", "packets", "bytes"]),
        ("META", &["abi_version", "flow_secret"]),
    ];
    for (name, fields) in maps {
        let dump = run(Command::new("bpftool")
            .args(["map", "dump", "pinned"])
            .arg(director.pinned_map(name)))?;
        for field in fields {
            assert!(
                dump.contains(&format!("\"{field}")),
                "no {field} in the dump of {name}: {dump:.2000}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_packet_for_another_port_is_answered_by_the_director_itself() -> Result<()> {
    let lab = Lab::new()?;
    let _director = single(&lab, Configuration::new(&lab, 150))?;
    let refused = lab
        .client
        .node
        .namespace
        .run(|| std::net::TcpStream::connect_timeout(&(VIP, 81).into(), Duration::from_secs(2)))
        .map_err(|error| error.kind());
    assert!(
        matches!(refused, Err(ErrorKind::ConnectionRefused)),
        "{refused:?}"
    );
    Ok(())
}
