//! The steps of the demo.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::{Clients, Configuration, Director, Lab, Load, Signal, Status, VIP, wait};

use crate::screen::{Screen, Style, bar, spoken};
use crate::summary::Row;
use crate::watch::{PATIENCE, lease, settled, takeover, verdict};

/// Tells the whole story on `lab`. Returns the directors, both running, and what the client saw.
pub(crate) fn tell<'lab>(screen: &mut Screen, lab: &'lab Lab) -> Result<([Director<'lab>; 2], Vec<Row>)> {
    let mut directors = election(screen, lab)?;
    let [first, second] = &mut directors;
    let rows = vec![
        distribution(screen, lab)?,
        failing_server(screen, lab, first)?,
        killed_master(screen, lab, first, second)?,
        returning_master(screen, lab, first, second)?,
        frozen_master(screen, lab, first, second)?,
        planned_handover(screen, lab, first, second)?,
    ];
    first.restart()?;
    Ok((directors, rows))
}

/// Both directors start, and one becomes the master.
fn election<'lab>(screen: &mut Screen, lab: &'lab Lab) -> Result<[Director<'lab>; 2]> {
    screen.step(
        "The election",
        "Both daemons start as backups and listen. Nobody advertises, so after three intervals of a second the one \
         with the higher priority takes the address. This is VRRP version 2 with a password, byte for byte as \
         Keepalived speaks it: a Keepalived could stand in for either.",
    );
    let [one, two] = lab.pair();
    let start = Instant::now();
    let first = Director::start(lab, one, Configuration::classic(lab, 150))?;
    let second = Director::start(lab, two, Configuration::classic(lab, 100))?;
    settled(screen, start, [&first, &second], Status::all_up)?;
    screen.fact(
        Style::Good,
        &format!(
            "director1 is the master after {}, and all three real servers pass their checks.",
            spoken(start.elapsed())
        ),
    );
    Ok([first, second])
}

/// Six hundred requests, in proportion to the weights.
fn distribution(screen: &mut Screen, lab: &Lab) -> Result<Row> {
    screen.step(
        "600 requests over weights 3 : 2 : 1",
        "Each is a new connection of curl to 10.0.0.100. An XDP program on director1 picks the next server of the \
         schedule, writes two MAC addresses and sends the frame back out of the interface, before the kernel has \
         so much as allocated a buffer for it. The server answers the client directly.",
    );
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut failed = 0;
    let mut order = String::new();
    let bars = |counts: &BTreeMap<String, usize>| -> Vec<String> {
        let line = |name: &str| {
            let count = counts.get(name).copied().unwrap_or(0);
            format!("   {name}  {} {count:>3}", bar(count, 300, 48))
        };
        ["rs1", "rs2", "rs3"].map(line).into()
    };
    for _ in 0..20 {
        let fetched = lab.client.curl((VIP, 80).into(), 30)?;
        failed += fetched.failed();
        for name in fetched.answers.iter().flatten() {
            *counts.entry(name.clone()).or_default() += 1;
            if order.len() < 24 {
                order.push_str(name.trim_start_matches("rs"));
                order.push(' ');
            }
        }
        screen.moving(&bars(&counts));
    }
    screen.settle(&bars(&counts));
    screen.fact(
        Style::Good,
        &format!("{failed} failed; exact, and interleaved rather than in bursts: {order}…"),
    );
    Ok(Row::of_requests("600 requests", 600, failed))
}

/// A real server dies under load and comes back.
fn failing_server(screen: &mut Screen, lab: &Lab, master: &Director<'_>) -> Result<Row> {
    screen.step(
        "A real server dies",
        "nginx on rs1, which has half of the weight, is killed while requests arrive. As soon as its check has failed \
         it leaves the schedule: a fresh schedule is written beside the old one and the service is pointed at it in \
         one update, so that no packet ever sees half of each.",
    );
    let server = &lab.real_servers[0];
    let is = |status: &Status, state| {
        status.real_server_state("tcp", (VIP, 80).into(), server.node.address.into()) == state
    };
    let load = Load::start(&lab.client, (VIP, 80).into(), Duration::from_millis(20))?;
    let killed = Instant::now();
    server.kill_nginx();
    screen.fact(Style::Bad, "nginx on rs1 is killed.");
    master.wait_for("rs1 is down", PATIENCE, |status| is(status, "down"))?;
    let down = Instant::now();
    let meanwhile = load.since(killed);
    screen.fact(
        Style::Good,
        &format!(
            "rs1 is out of the schedule {} later; {} of {} requests met the closed port until then.",
            spoken(down - killed),
            meanwhile.failed(),
            meanwhile.requests,
        ),
    );
    let after = more_requests(&load, 60)?;
    screen.fact(
        Style::Good,
        &format!(
            "of the next {} requests {} failed: {}",
            after.requests,
            after.failed(),
            shares(&after.answered_by)
        ),
    );
    server.start_nginx()?;
    master.wait_for("rs1 is up", PATIENCE, |status| is(status, "up"))?;
    let back = more_requests(&load, 60)?;
    screen.fact(
        Style::Good,
        &format!(
            "nginx is back, and so is its share: {}",
            shares(&back.answered_by)
        ),
    );
    let report = load.finish()?;
    Ok(Row::of_requests(
        "a real server dies",
        report.requests,
        report.failed(),
    ))
}

/// kill -9 on the master's daemon.
fn killed_master(
    screen: &mut Screen,
    lab: &Lab,
    master: &mut Director<'_>,
    backup: &Director<'_>,
) -> Result<Row> {
    screen.step(
        "kill -9 on the master's daemon",
        "Nobody is left to advertise, to check or to withdraw anything. But program, maps and link are pinned in the \
         kernel, and the last advertisement was a lease: under it the orphaned program goes on forwarding, and it \
         stops answering for the address with the first advertisement of the successor. With Keepalived and IPVS the \
         dead node would go on answering for the address until somebody came to start the daemon again.",
    );
    let clients = Clients::start(lab)?;
    clients.go_on(50)?;
    let killed = Instant::now();
    master.kill()?;
    screen.fact(Style::Bad, "lbd on director1 is dead.");
    if let Some(lease) = lease(master)? {
        screen.fact(Style::Dim, &lease);
    }
    takeover(screen, &clients, killed, master, backup)?;
    let seen = clients.finish()?;
    verdict(screen, &seen);
    Ok(Row::of("kill -9 of the master", &seen))
}

/// The killed daemon is started again.
fn returning_master(
    screen: &mut Screen,
    lab: &Lab,
    master: &mut Director<'_>,
    backup: &Director<'_>,
) -> Result<Row> {
    screen.step(
        "The master comes back",
        "The new daemon finds the pins, takes the maps over, removes the address that its predecessor left on the \
         interface, listens for three intervals and preempts the lower priority.",
    );
    let clients = Clients::start(lab)?;
    let start = Instant::now();
    master.restart()?;
    settled(screen, start, [master, backup], |_| true)?;
    one_master(screen, start);
    clients.go_on(50)?;
    let seen = clients.finish()?;
    verdict(screen, &seen);
    Ok(Row::of("the master returns", &seen))
}

/// SIGSTOP on the master's daemon, and SIGCONT when its successor is in office.
fn frozen_master(
    screen: &mut Screen,
    lab: &Lab,
    master: &Director<'_>,
    backup: &Director<'_>,
) -> Result<Row> {
    screen.step(
        "The master freezes, and wakes up",
        "SIGSTOP, as a paused virtual machine or a host out of memory: the daemon believes to this day that it is the \
         master. This is how split brain begins. Here the lease has run out when it wakes, and it looks at the lease \
         before it says a word.",
    );
    let clients = Clients::start(lab)?;
    clients.go_on(50)?;
    let frozen = Instant::now();
    master.signal(Signal::Stop)?;
    screen.fact(Style::Bad, "lbd on director1 is frozen.");
    takeover(screen, &clients, frozen, master, backup)?;
    let thawed = Instant::now();
    master.signal(Signal::Continue)?;
    screen.fact(Style::Dim, "It is woken up: SIGCONT.");
    settled(screen, thawed, [master, backup], |_| true)?;
    one_master(screen, thawed);
    clients.go_on(50)?;
    let seen = clients.finish()?;
    verdict(screen, &seen);
    Ok(Row::of("the master freezes and wakes", &seen))
}

/// SIGTERM: an upgrade, a reboot.
fn planned_handover(
    screen: &mut Screen,
    lab: &Lab,
    master: &mut Director<'_>,
    backup: &Director<'_>,
) -> Result<Row> {
    screen.step(
        "A planned handover",
        "SIGTERM, as for an upgrade. The master says by an advertisement of priority 0 that it goes; until the \
         successor speaks it goes on forwarding. Keepalived withdraws the address first and loses about six tenths of \
         a second here.",
    );
    let clients = Clients::start(lab)?;
    clients.go_on(50)?;
    let start = Instant::now();
    master.stop()?;
    backup.becomes_master()?;
    screen.fact(
        Style::Good,
        &format!("director2 is the master after {}.", spoken(start.elapsed())),
    );
    clients.go_on(50)?;
    let seen = clients.finish()?;
    verdict(screen, &seen);
    Ok(Row::of("planned handover", &seen))
}

/// Says that the first director is the master again.
fn one_master(screen: &mut Screen, since: Instant) {
    screen.fact(
        Style::Good,
        &format!(
            "director1 is the master again after {}, and the only one.",
            spoken(since.elapsed())
        ),
    );
}

/// Waits until `count` further requests have ended.
fn more_requests(load: &Load, count: usize) -> Result<lab::LoadReport> {
    let start = Instant::now();
    wait::until("requests are made", PATIENCE, || {
        let report = load.since(start);
        (report.requests >= count).then_some(report)
    })
}

/// How many requests each server answered.
fn shares(answered_by: &BTreeMap<String, usize>) -> String {
    answered_by
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}
