//! A node that begins, or whose link comes back, and knows nothing of its real servers yet.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::{Configuration, Director, ECHO, Lab, Probe, Status, VIP, wait};

const PATIENCE: Duration = Duration::from_secs(20);

/// A datagram each millisecond shows every loss.
const PERIOD: Duration = Duration::from_millis(1);

/// Checks so seldom that who preempts at once has none behind it.
fn checked_seldom(lab: &Lab, priority: u8) -> Configuration {
    let mut configuration = Configuration::new(lab, priority);
    for service in 0..configuration.length("virtual_server") {
        configuration.set(&format!("virtual_server[{service}].delay_loop"), "4s");
    }
    configuration
}

/// Part of the line about a master that is left alone.
const HOLDS_BACK: &str = "leaves the master of lower priority alone";

/// How many lines of the log have these words.
fn count(director: &Director<'_>, words: &str) -> Result<usize> {
    Ok(director
        .log()?
        .lines()
        .filter(|line| line.contains(words))
        .count())
}

/// Lets the client go on until everything that it sent before now has had its time to be answered, and wants no loss
/// since `start`.
fn nothing_lost(probe: &Probe, start: Instant) -> Result<()> {
    let end = Instant::now() + PERIOD * 100;
    wait::until("every datagram has had its time", PATIENCE, || {
        (Instant::now() > end + Duration::from_millis(600)).then_some(())
    })?;
    let seen = probe.between(start, end);
    ensure!(seen.sent > 100 && seen.lost == 0, "{seen:#?}");
    Ok(())
}

#[test]
fn a_master_whose_link_comes_back_takes_over_when_it_knows_its_servers() -> Result<()> {
    let lab = Lab::new()?;
    let (master, backup) = Director::pair(&lab, |priority| checked_seldom(&lab, priority))?;
    let probe = Probe::start(&lab.client, (VIP, ECHO).into(), PERIOD)?;

    lab.unplug(&lab.directors[0])?;
    backup.becomes_master()?;
    // Long enough for the checks of the node without a link to have failed.
    master.wait_for("it has lost its servers", PATIENCE, |status| !status.all_up())?;
    wait::until("a client is served again", PATIENCE, || {
        let now = Instant::now();
        let before = now.checked_sub(Duration::from_secs(1))?;
        let seen = probe.between(before, now.checked_sub(Duration::from_millis(500))?);
        (seen.sent > 100 && seen.lost == 0).then_some(())
    })?;

    let plugged_in = Instant::now();
    lab.plug_in(&lab.directors[0])?;
    master.becomes_master()?;
    let took = plugged_in.elapsed();
    ensure!(master.status()?.all_up(), "{:?}", master.status()?);
    nothing_lost(&probe, plugged_in)?;
    ensure!(took < Duration::from_secs(10), "{took:?}");
    Ok(())
}

#[test]
fn a_node_that_starts_takes_over_when_it_knows_its_servers() -> Result<()> {
    let lab = Lab::new()?;
    let [first, second] = lab.pair();
    let backup = Director::start(&lab, second, checked_seldom(&lab, 100))?;
    backup.wait_for("it serves", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    let probe = Probe::start(&lab.client, (VIP, ECHO).into(), PERIOD)?;
    let started = Instant::now();
    let preferred = Director::start(&lab, first, checked_seldom(&lab, 150))?;
    preferred.becomes_master()?;
    let status = preferred.status()?;
    ensure!(status.all_up() && status.at("cold").is_null(), "{status:?}");
    nothing_lost(&probe, started)
}

#[test]
fn a_start_is_no_outage_of_services_that_were_never_served() -> Result<()> {
    let lab = Lab::new()?;
    let mut configuration = Configuration::new(&lab, 150);
    // Nothing but the neighbours is waited for.
    for service in 0..configuration.length("virtual_server") {
        for server in 0..configuration.length(&format!("virtual_server[{service}].real_server")) {
            configuration.remove(&format!(
                "virtual_server[{service}].real_server[{server}].tcp_check"
            ));
        }
    }
    let director = Director::start(&lab, &lab.directors[0], configuration)?;
    director.wait_for("it serves", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    ensure!(
        count(&director, "takes new connections")? == 0,
        "{}",
        director.log()?
    );
    Ok(())
}

#[test]
fn a_node_that_knows_nothing_takes_over_from_a_dead_master() -> Result<()> {
    let lab = Lab::new()?;
    let [first, second] = lab.pair();
    let mut other = Director::start(&lab, second, checked_seldom(&lab, 100))?;
    other.wait_for("it is master", PATIENCE, Status::is_master)?;
    // One of the real servers is not there: to know that takes seconds.
    let mut configuration = checked_seldom(&lab, 150);
    let absent = toml::toml! { address = "10.0.0.250" tcp_check = { connect_timeout = "5s" } };
    configuration.push("virtual_server[0].real_server", absent);
    let node = Director::start(&lab, first, configuration)?;
    let status = node.wait_for("it waits, and says for what", PATIENCE, |status| {
        status.is_backup() && !status.at("cold").is_null() && status.number("cold.neighbours") == 1
    })?;
    ensure!(status.list("cold.links").is_empty() && status.at("cold.until").is_string());
    let path = node.configuration_path().to_string_lossy().into_owned();
    let shown = String::from_utf8(node.lbd(&["status", "-c", &path])?.stdout)?;
    ensure!(
        shown.contains("\ncold: preempts no master until it knows"),
        "{shown}"
    );
    wait::until("it says that it holds back", PATIENCE, || {
        (count(&node, HOLDS_BACK).ok()? > 0).then_some(())
    })?;
    ensure!(count(&node, "held back no more")? == 0, "{}", node.log()?);
    let killed = Instant::now();
    other.kill()?;
    node.becomes_master()?;
    let took = killed.elapsed();
    // Three intervals of 100 ms and some; to know its servers it would have needed seconds more.
    ensure!(took < Duration::from_secs(2), "{took:?}");
    wait::until("it says that nothing holds it back", PATIENCE, || {
        (count(&node, "held back no more: it is a backup no more").ok()? == 1).then_some(())
    })?;
    ensure!(count(&node, HOLDS_BACK)? == 1, "once: {}", node.log()?);
    node.wait_for("it has waited long enough", PATIENCE, |status| {
        status.at("cold").is_null()
    })?;
    Ok(())
}
