//! Directors that are real servers themselves: alone among others, and two boxes that are all there is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{
    Configuration, Director, ECHO, Lab, Load, Node, RealServer, Session, Signal, Status, Topology, VIP, run,
    virtual_server, wait,
};

const PERIOD: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(15);

fn http() -> SocketAddr {
    (VIP, 80).into()
}

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

/// HTTP and echo over these machines, in turn.
fn over(lab: &Lab, nodes: &[&Node], priority: u8) -> Configuration {
    let service = |address, protocol| {
        let servers = nodes.iter().map(|node| (node.address.into(), 1));
        virtual_server(address, protocol, servers)
    };
    let services = vec![
        service(http(), "tcp"),
        service(echo(), "tcp"),
        service(echo(), "udp"),
    ];
    Configuration::new(lab, priority).with("virtual_server", services)
}

fn verdict(status: &Status, name: &str) -> u64 {
    let verdicts = status.at("dataplane.verdicts");
    verdicts[name].as_u64().unwrap_or_default()
}

#[test]
fn a_director_takes_turns_with_its_real_servers() -> Result<()> {
    let lab = Lab::new()?;
    let own = &lab.directors[0];
    let server = lab.serve_on(own)?;
    let first = &lab.real_servers[0].node;
    let configuration = over(&lab, &[own, first], 150).with("virtual_server[0].real_server[0].weight", 2);
    let director = Director::start(&lab, own, configuration)?;
    let status = director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    let entry = |status: &Status| {
        let entry = status.real_server("tcp", http(), own.address.into());
        entry.cloned().context("the director is among the real servers")
    };
    let shown = entry(&status)?;
    ensure!(
        shown["forward"] == "local" && shown["mac"].is_null() && shown["state"] == "up",
        "{shown}"
    );

    let fetched = lab.client.curl(http(), 30)?;
    assert_eq!(
        fetched.counts(),
        [("director1", 20), ("rs1", 10)].into(),
        "{}",
        fetched.complaints
    );
    assert_eq!(entry(&director.status()?)?["connections"], 20);

    // Its check fails like any other's: it gets nothing then.
    server.kill_nginx();
    director.wait_for("its own nginx is down", PATIENCE, |status| {
        status.real_server_state("tcp", http(), own.address.into()) == "down"
    })?;
    let fetched = lab.client.curl(http(), 6)?;
    assert_eq!(fetched.counts(), [("rs1", 6)].into(), "{}", fetched.complaints);
    Ok(())
}

/// Two machines, each a director and a real server.
struct Boxes<'lab> {
    master: Director<'lab>,
    backup: Director<'lab>,
    _servers: [RealServer<&'lab Node>; 2],
}

fn lab_of_two() -> Result<Lab> {
    Topology::new().real_servers(0).build()
}

fn boxes(lab: &Lab) -> Result<Boxes<'_>> {
    let [one, two] = lab.pair();
    let servers = [lab.serve_on(one)?, lab.serve_on(two)?];
    let (master, backup) = Director::pair(lab, |priority| over(lab, &[one, two], priority))?;
    Ok(Boxes {
        master,
        backup,
        _servers: servers,
    })
}

/// What came of the requests since `start`, of which there are `count` at least.
fn requests(load: &Load, start: Instant, count: usize) -> Result<BTreeMap<String, usize>> {
    let report = wait::until("requests are made", PATIENCE, || {
        let report = load.since(start);
        (report.requests >= count).then_some(report)
    })?;
    ensure!(report.failed() == 0, "{report:?}");
    Ok(report.answered_by)
}

/// No packet has gone to and fro until its last hop.
fn nothing_circled(boxes: &Boxes<'_>) -> Result<()> {
    for director in [&boxes.master, &boxes.backup] {
        let status = director.status()?;
        for name in ["answer_time_exceeded", "drop_hop_limit"] {
            ensure!(verdict(&status, name) == 0, "{}: {name}", director.node.name);
        }
    }
    Ok(())
}

#[test]
fn two_boxes_share_the_load_and_a_stop_moves_no_session_of_the_one_that_stays() -> Result<()> {
    let lab = lab_of_two()?;
    let mut boxes = boxes(&lab)?;
    let fetched = lab.client.curl(http(), 20)?;
    assert_eq!(
        fetched.counts(),
        [("director1", 10), ("director2", 10)].into(),
        "{}",
        fetched.complaints
    );
    let sessions = (0..4)
        .map(|_| Session::start(&lab.client, echo(), PERIOD))
        .collect::<Result<Vec<_>>>()?;

    // The master's address leaves its interface and stays on its loopback interface: it goes on as a real server.
    boxes.master.stop()?;
    boxes.backup.becomes_master()?;
    lab.client.node.learns(VIP, boxes.backup.node)?;
    let mut stayed = 0;
    for session in sessions {
        if session.so_far().server == "director2" {
            // The new master knows nothing of it, but its stack does.
            session.proceeds(20, PATIENCE)?;
            stayed += 1;
        }
    }
    assert_eq!(stayed, 2);
    let fetched = lab.client.curl(http(), 20)?;
    assert_eq!(
        fetched.counts(),
        [("director1", 10), ("director2", 10)].into(),
        "{}",
        fetched.complaints
    );

    boxes.master.restart()?;
    boxes.master.becomes_master()?;
    boxes.backup.becomes_backup()?;
    lab.client.node.learns(VIP, boxes.master.node)?;
    let fetched = lab.client.curl(http(), 20)?;
    assert_eq!(fetched.failed(), 0, "{}", fetched.complaints);
    nothing_circled(&boxes)
}

#[test]
fn while_both_forward_nothing_goes_to_and_fro() -> Result<()> {
    let lab = lab_of_two()?;
    let boxes = boxes(&lab)?;
    // A client that does not hear of the successor, as long as this lasts.
    let believe = |director: &Director<'_>, state: &str| {
        run(Command::new("ip").args([
            "-n",
            lab.client.node.namespace.name(),
            "neighbour",
            "replace",
            &VIP.to_string(),
            "lladdr",
            &director.node.mac_text(),
            "dev",
            "eth0",
            "nud",
            state,
        ]))
    };
    believe(&boxes.master, "permanent")?;
    let load = Load::start(&lab.client, http(), PERIOD)?;
    requests(&load, Instant::now(), 20)?;

    // Frozen, it forwards until its lease has run out, a second longer than the successor waits.
    let frozen = Instant::now();
    boxes.master.signal(Signal::Stop)?;
    let status = boxes.backup.becomes_master()?;
    let before = verdict(&status, "pass_balanced");
    let overlap = Instant::now();
    let end = frozen + boxes.master.configuration.advert_int() * 4 + Duration::from_millis(700);
    wait::until("the overlap ends", PATIENCE, || {
        (Instant::now() > end).then_some(())
    })?;
    let both = load.since(overlap);
    ensure!(both.requests > 10 && both.failed() == 0, "{both:?}");
    ensure!(both.answered_by.len() == 2, "{both:?}");
    let status = boxes.backup.status()?;
    ensure!(verdict(&status, "pass_balanced") > before, "{status:?}");

    // The client hears of it at last. The frozen one is a real server still, though its lease has run out.
    believe(&boxes.backup, "reachable")?;
    wait::until("the lease has run out", PATIENCE, || {
        (Instant::now() > end + Duration::from_secs(1)).then_some(())
    })?;
    let answered = requests(&load, Instant::now(), 40)?;
    ensure!(answered.len() == 2, "{answered:?}");
    boxes.master.signal(Signal::Continue)?;
    boxes.master.becomes_master()?;
    nothing_circled(&boxes)
}
