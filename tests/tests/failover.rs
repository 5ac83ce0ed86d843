//! What a client sees of a failing, frozen, stopped, restarted and returning master.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::{Clients, Configuration, Director, ECHO, Lab, Probe, Seen, Session, Signal, VIP, wait};

/// One datagram each: a lost one is a gap of this length.
const PERIOD: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(15);

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

/// What a client may notice at most.
#[derive(Clone, Copy, Default)]
struct Allowance {
    /// Datagrams lost.
    lost: usize,
    /// Changes of the master. A request on its way at that moment is reset by the new master, which doesn't know it.
    takeovers: usize,
    /// Of these by a higher priority. The old master stops answering when its daemon hears of the new one: that takes
    /// some milliseconds on a busy machine, in which a request may come.
    preemptions: usize,
}

/// The client noticed no more than that.
fn unharmed(seen: &Seen, allowed: Allowance) -> Result<()> {
    let Seen { probe, load, arp, .. } = seen;
    ensure!(probe.lost <= allowed.lost, "datagrams lost: {seen:#?}");
    ensure!(probe.answered_twice == 0, "answered twice: {seen:#?}");
    ensure!(load.failed() <= allowed.takeovers, "requests failed: {seen:#?}");
    ensure!(
        load.failures.keys().all(|reason| reason.contains("reset")),
        "not only resets: {seen:#?}"
    );
    ensure!(
        arp.answered_by_two <= 2 * allowed.preemptions,
        "two nodes answered for the address: {seen:#?}"
    );
    Ok(())
}

/// Waits until exactly one of the two is master, and it is `expected`.
fn settled(expected: &Director<'_>, other: &Director<'_>) -> Result<()> {
    expected.becomes_master()?;
    other.becomes_backup()?;
    Ok(())
}

/// Kills the master, and lets the backup take over.
fn killed(configuration: impl Fn(&Lab, u8) -> Configuration) -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, backup) = Director::pair(&lab, |priority| configuration(&lab, priority))?;
    let advert_int = master.configuration.advert_int();
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;

    let killed = Instant::now();
    master.kill()?;
    // Nobody takes over before two and a half intervals have passed, and all that time the dead daemon's program
    // serves everyone: the datagrams, new connections, and the one that was there.
    let early = killed + advert_int * 2;
    wait::until("two intervals pass", PATIENCE, || {
        (Instant::now() > early + PERIOD * 3).then_some(())
    })?;
    let dead = clients.probe.between(killed, early);
    ensure!(
        dead.sent > 0 && dead.lost == 0,
        "lost before the takeover: {dead:?}"
    );
    clients.session.proceeds(1, advert_int)?;

    backup.becomes_master()?;
    clients.go_on(100)?;
    let seen = clients.finish()?;
    unharmed(
        &seen,
        Allowance {
            lost: 2,
            takeovers: 1,
            preemptions: 0,
        },
    )?;
    assert_eq!(
        seen.arp.succession,
        [master.node.mac, backup.node.mac],
        "{seen:#?}"
    );
    Ok(())
}

#[test]
fn a_killed_master_serves_until_its_successor_does() -> Result<()> {
    killed(Configuration::classic)
}

#[test]
fn a_killed_master_serves_until_its_successor_does_at_ten_advertisements_a_second() -> Result<()> {
    killed(Configuration::new)
}

#[test]
fn an_established_connection_goes_on_through_a_dead_masters_program() -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, _backup) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    let session = Session::start(&lab.client, echo(), PERIOD)?;
    session.proceeds(10, PATIENCE)?;
    master.kill()?;
    // A second's worth of exchanges, of the two and a half that the lease lasts at least.
    session.proceeds(100, Duration::from_secs(2))?;
    let report = session.finish()?;
    assert_eq!(report.ended, None);
    assert!(report.slowest < Duration::from_millis(200), "{report:?}");
    Ok(())
}

#[test]
fn a_planned_stop_loses_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, backup) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.stop()?;
    backup.becomes_master()?;
    clients.go_on(100)?;
    let seen = clients.finish()?;
    unharmed(
        &seen,
        Allowance {
            lost: 0,
            takeovers: 1,
            preemptions: 0,
        },
    )?;
    assert_eq!(
        seen.arp.succession,
        [master.node.mac, backup.node.mac],
        "{seen:#?}"
    );
    assert!(!master.node.namespace.has_address("eth0", VIP)?);
    assert_eq!(master.complaints()?, [] as [&str; 0]);
    assert_eq!(backup.complaints()?, [] as [&str; 0]);
    Ok(())
}

#[test]
fn a_frozen_master_is_succeeded_and_wakes_up_as_a_backup() -> Result<()> {
    let lab = Lab::new()?;
    // The frozen one has the lower priority afterwards, so that it stays what it has become.
    let (master, mut backup) = Director::pair(&lab, |priority| {
        Configuration::classic(&lab, priority).with("vrrp_instance[0].nopreempt", true)
    })?;
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.signal(Signal::Stop)?;
    backup.becomes_master()?;
    clients.go_on(50)?;

    master.signal(Signal::Continue)?;
    master.becomes_backup()?;
    clients.go_on(100)?;
    assert!(backup.status()?.is_master());
    let seen = clients.finish()?;
    unharmed(
        &seen,
        Allowance {
            lost: 2,
            takeovers: 1,
            preemptions: 0,
        },
    )?;
    assert_eq!(
        seen.arp.succession,
        [master.node.mac, backup.node.mac],
        "{seen:#?}"
    );
    assert!(!master.node.namespace.has_address("eth0", VIP)?);

    // And it still can do its work when it is its turn.
    backup.stop()?;
    master.becomes_master()?;
    Ok(())
}

#[test]
fn a_frozen_master_that_preempts_takes_its_place_back_by_election() -> Result<()> {
    let lab = Lab::new()?;
    let (master, backup) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.signal(Signal::Stop)?;
    backup.becomes_master()?;
    clients.go_on(50)?;
    master.signal(Signal::Continue)?;
    settled(&master, &backup)?;
    clients.go_on(100)?;
    let seen = clients.finish()?;
    unharmed(
        &seen,
        Allowance {
            lost: 2,
            takeovers: 2,
            preemptions: 1,
        },
    )?;
    assert_eq!(
        seen.arp.succession,
        [master.node.mac, backup.node.mac, master.node.mac],
        "{seen:#?}"
    );
    Ok(())
}

#[test]
fn a_daemon_restarted_inside_its_lease_is_still_the_master() -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, backup) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    let transitions = backup.status()?.transitions();
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;

    master.kill()?;
    master.restart()?;
    let status = master.becomes_master()?;
    ensure!(
        status.0["dataplane"]["flows"].as_u64() > Some(0),
        "the flows are gone: {:#}",
        status.0
    );
    clients.go_on(100)?;
    // More than the time after which a backup would have given up on it.
    clients.session.proceeds(350, PATIENCE)?;

    let seen = clients.finish()?;
    unharmed(&seen, Allowance::default())?;
    assert_eq!(seen.session.ended, None);
    assert!(seen.session.slowest < Duration::from_millis(200), "{seen:#?}");
    assert_eq!(seen.arp.succession, [master.node.mac]);
    assert_eq!(backup.status()?.transitions(), transitions, "the backup noticed");
    Ok(())
}

#[test]
fn the_master_returns_without_a_loss() -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, backup) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    master.kill()?;
    backup.becomes_master()?;
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.restart()?;
    settled(&master, &backup)?;
    clients.go_on(100)?;
    let seen = clients.finish()?;
    unharmed(
        &seen,
        Allowance {
            lost: 0,
            takeovers: 1,
            preemptions: 1,
        },
    )?;
    assert_eq!(
        seen.arp.succession,
        [backup.node.mac, master.node.mac],
        "{seen:#?}"
    );
    Ok(())
}

#[test]
fn a_restarted_master_of_lower_rank_stays_a_backup_without_preemption() -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, backup) = Director::pair(&lab, |priority| {
        Configuration::new(&lab, priority).with("vrrp_instance[0].nopreempt", true)
    })?;
    master.stop()?;
    backup.becomes_master()?;
    let transitions = backup.status()?.transitions();
    master.restart()?;
    master.becomes_backup()?;
    master.wait_for("it knows its master", PATIENCE, |status| {
        status.master_address() == Some(backup.node.address.into())
    })?;
    assert_eq!(backup.status()?.transitions(), transitions);
    Ok(())
}

#[test]
fn a_master_without_its_cable_is_succeeded() -> Result<()> {
    let lab = Lab::new()?;
    let (master, backup) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let probe = Probe::start(&lab.client, echo(), PERIOD)?;
    lab.unplug(master.node)?;
    backup.becomes_master()?;
    master.wait_for("it sees the fault", PATIENCE, |status| status.state() == "fault")?;
    let taken_over = Instant::now();
    wait::until("the successor answers", PATIENCE, || {
        let report = probe.between(taken_over, Instant::now());
        (report.sent - report.lost >= 50).then_some(())
    })?;
    lab.plug_in(master.node)?;
    settled(&master, &backup)?;
    let report = probe.finish()?;
    // 3 intervals and a skew of 0.6, of 100 ms each, give or take.
    assert!(report.longest_gap < Duration::from_millis(600), "{report:?}");
    assert_eq!(report.answered_twice, 0);
    Ok(())
}

#[test]
fn a_director_that_cannot_attach_its_program_stays_out_of_the_election() -> Result<()> {
    let lab = Lab::new()?;
    let [one, two] = lab.pair();
    let second = Director::start(&lab, two, Configuration::new(&lab, 100))?;
    second.wait_for("master, with all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    lab::occupy(&one.namespace, "eth0")?;
    let probe = Probe::start(&lab.client, echo(), PERIOD)?;
    let first = Director::start(&lab, one, Configuration::new(&lab, 150))?;
    wait::until("the log says why", PATIENCE, || {
        let log = first.log().ok()?;
        log.contains("another XDP program is on the interface")
            .then_some(())
    })?;
    // Long enough for an election, had it taken part.
    let start = Instant::now();
    let election = first.configuration.advert_int() * 5;
    wait::until("an election could be over", PATIENCE, || {
        (start.elapsed() > election && probe.between(start, Instant::now()).sent > 20).then_some(())
    })?;
    second.wait_for("still master", PATIENCE, |status| status.is_master())?;
    ensure!(!one.namespace.has_address("eth0", VIP)?);

    one.namespace.ip("link set dev eth0 xdp off\n")?;
    first.wait_for("it takes part and wins", 2 * PATIENCE, |status| {
        status.is_master()
    })?;
    second.becomes_backup()?;
    let report = probe.finish()?;
    ensure!(report.lost == 0, "{report:?}");
    Ok(())
}

/// The configuration of `director` with another virtual router, for another address, and without services.
fn with_another_instance(director: &Director<'_>) -> Configuration {
    director
        .configuration
        .clone()
        .with("vrrp_instance[0].virtual_router_id", 52)
        .with("vrrp_instance[0].virtual_ipaddress", vec!["10.99.0.1/32"])
        .without("virtual_server")
}

fn reload(director: &Director<'_>) -> Result<()> {
    let path = director.configuration_path();
    let output = director.lbd(&["reload", "-c", path.to_str().expect("a path in UTF-8")])?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn an_instance_that_a_reload_removes_is_handed_over_without_a_loss() -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, backup) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.configuration = with_another_instance(&master);
    master.write_configuration()?;
    reload(&master)?;
    backup.becomes_master()?;
    clients.go_on(100)?;
    let seen = clients.finish()?;
    let allowed = Allowance {
        takeovers: 1,
        ..Allowance::default()
    };
    unharmed(&seen, allowed)?;
    assert_eq!(
        seen.arp.succession,
        [master.node.mac, backup.node.mac],
        "{seen:#?}"
    );
    assert!(!master.node.namespace.has_address("eth0", VIP)?);
    Ok(())
}

#[test]
fn an_instance_that_comes_back_while_it_hands_over_takes_part_again() -> Result<()> {
    let lab = Lab::new()?;
    let node = lab.node("director1");
    let mut director = Director::start(&lab, node, Configuration::classic(&lab, 150))?;
    director.becomes_master()?;
    let original = director.configuration.clone();
    director.configuration = with_another_instance(&director);
    director.write_configuration()?;
    reload(&director)?;
    director.configuration = original;
    director.write_configuration()?;
    reload(&director)?;
    director.becomes_master()?;
    assert!(director.node.namespace.has_address("eth0", VIP)?);
    Ok(())
}
