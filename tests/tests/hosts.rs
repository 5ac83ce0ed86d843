//! Hosts with more than one interface: addresses on another one than the advertisements, a second one on the clients'
//! network, and interfaces that get another name or go away under a master.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{Clients, Configuration, Director, Lab, Link, Node, SWITCH, Topology, VIP, run, wait};
use toml::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// Two directors that advertise to each other by `eth1` and have the virtual address on `eth0`.
fn apart() -> Result<Lab> {
    Topology::new()
        .switch("back")
        .link("director1", Link::to("back"))
        .link("director2", Link::to("back"))
        .build()
}

/// The configuration of a director of [`apart`]: where packets arrive is left to lbd.
fn advertised_elsewhere(lab: &Lab, priority: u8) -> Configuration {
    let address = toml::Table::from_iter([
        ("address".to_owned(), Value::from(format!("{VIP}/24"))),
        ("dev".to_owned(), "eth0".into()),
    ]);
    Configuration::new(lab, priority)
        .without("dataplane.interfaces")
        .with("vrrp_instance[0].interface", "eth1")
        .with("vrrp_instance[0].virtual_ipaddress", vec![Value::Table(address)])
}

/// Whether the program is on interface `name` of `director`, as its status has it.
fn runs_on(director: &Director<'_>, name: &str) -> Result<bool> {
    let status = director.status()?;
    let mut interfaces = status.list("dataplane.interfaces").iter();
    Ok(interfaces.any(|interface| interface["name"] == name && interface["attached"] == true))
}

#[test]
fn an_address_on_another_interface_is_served_and_guarded_there() -> Result<()> {
    let lab = apart()?;
    let (mut master, backup) = Director::pair(&lab, |priority| advertised_elsewhere(&lab, priority))?;
    ensure!(runs_on(&master, "eth0")? && runs_on(&master, "eth1")?);
    let fetched = lab.client.curl((VIP, 80).into(), 60)?;
    ensure!(fetched.failed() == 0, "{fetched:?}");

    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.kill()?;
    backup.becomes_master()?;
    clients.arp.sees(backup.node)?;
    clients.go_on(50)?;
    let seen = clients.finish()?;
    ensure!(seen.arp.answered_by_two == 0, "{seen:#?}");
    ensure!(
        seen.arp.succession == [master.node.mac, backup.node.mac],
        "{seen:#?}"
    );
    ensure!(seen.probe.lost <= 2 && seen.load.failed() <= 1, "{seen:#?}");
    Ok(())
}

/// Whether the log of `director` has a line with all of these words.
fn has_told(director: &Director<'_>, words: &[&str]) -> Result<bool> {
    let log = director.log()?;
    Ok(log
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word))))
}

/// Waits until `node` has the virtual address on no interface.
fn loses_the_address(node: &Node) -> Result<()> {
    wait::until("the virtual address is gone", PATIENCE, || {
        let shown = run(Command::new("ip").args(["-n", node.namespace.name(), "-oneline", "address"]));
        shown
            .ok()
            .filter(|list| !list.contains(&format!("inet {VIP}/")))
            .map(drop)
    })
}

/// The master of a pair has its interface `from` renamed live, and gets the name back: what the clients see of it.
fn hands_over_and_takes_back(lab: &Lab, pair: (Director<'_>, Director<'_>), from: &str) -> Result<()> {
    let (master, backup) = pair;
    let clients = Clients::start(lab)?;
    clients.go_on(50)?;
    master.node.rename(from, "lan0")?;
    backup.becomes_master()?;
    loses_the_address(master.node)?;
    clients.arp.sees(backup.node)?;
    let status = master.wait_for("it is in fault", PATIENCE, |status| status.state() == "fault")?;
    ensure!(!has_program(master.node, "lan0")?, "{:#}", status.0);
    // It has not waited until advertisements were missing.
    ensure!(
        has_told(&backup, &["to=master", "resigned"])?,
        "{}",
        backup.log()?
    );
    clients.go_on(50)?;

    master.node.rename("lan0", from)?;
    master.becomes_master()?;
    backup.becomes_backup()?;
    clients.arp.sees(master.node)?;
    clients.go_on(50)?;
    let seen = clients.finish()?;
    ensure!(seen.arp.answered_by_two == 0, "{seen:#?}");
    let own = master.node.mac;
    ensure!(seen.arp.succession == [own, backup.node.mac, own], "{seen:#?}");
    Ok(())
}

/// Whether any XDP program is on interface `name` of `node`.
fn has_program(node: &Node, name: &str) -> Result<bool> {
    Ok(node.link(name)?.contains("prog/xdp"))
}

#[test]
fn a_master_whose_interface_is_renamed_hands_over() -> Result<()> {
    let lab = Lab::new()?;
    // The kernel gives the label another name as well.
    let address = toml::Table::from_iter([
        ("address".to_owned(), Value::from(format!("{VIP}/24"))),
        ("label".to_owned(), "eth0:1".into()),
    ]);
    let labelled = vec![Value::Table(address)];
    let pair = Director::pair(&lab, |priority| {
        Configuration::new(&lab, priority).with("vrrp_instance[0].virtual_ipaddress", labelled.clone())
    })?;
    hands_over_and_takes_back(&lab, pair, "eth0")
}

#[test]
fn a_master_whose_addresses_interface_is_renamed_hands_over() -> Result<()> {
    let lab = apart()?;
    let pair = Director::pair(&lab, |priority| advertised_elsewhere(&lab, priority))?;
    hands_over_and_takes_back(&lab, pair, "eth0")
}

#[test]
fn a_master_whose_addresses_interface_goes_away_hands_over() -> Result<()> {
    let lab = apart()?;
    let (master, backup) = Director::pair(&lab, |priority| advertised_elsewhere(&lab, priority))?;
    let clients = Clients::start(&lab)?;
    master.node.delete("eth0")?;
    backup.becomes_master()?;
    clients.arp.sees(backup.node)?;
    ensure!(
        has_told(&backup, &["to=master", "resigned"])?,
        "{}",
        backup.log()?
    );
    clients.go_on(50)?;
    lab.create_interface(master.node, "eth0")?;
    master.becomes_master()?;
    clients.arp.sees(master.node)?;
    clients.go_on(50)?;
    let seen = clients.finish()?;
    ensure!(seen.arp.answered_by_two == 0, "{seen:#?}");
    Ok(())
}

/// The kernel parameter `arp_ignore` of interface `name`.
fn arp_ignore(node: &Node, name: &str) -> Result<String> {
    let parameter = format!("net.ipv4.conf.{name}.arp_ignore");
    let said = run(node.namespace.command("sysctl").args(["-n", &parameter]))?;
    Ok(said.trim().to_owned())
}

#[test]
fn a_second_interface_on_the_network_keeps_silent_about_the_address() -> Result<()> {
    let lab = Topology::new()
        .link("director1", Link::to(SWITCH).address("10.0.0.21/24"))
        .link("director1", Link::to(SWITCH).without_address())
        .build()?;
    let (mut master, backup) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let node = master.node;
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.kill()?;
    backup.becomes_master()?;
    clients.arp.sees(backup.node)?;
    clients.go_on(50)?;
    // It was said, and outlives the daemon as the address does; another daemon knows whose doing it was.
    for second in ["eth1", "eth2"] {
        ensure!(
            has_told(&master, &["own addresses only", second])?,
            "{}",
            master.log()?
        );
        ensure!(arp_ignore(node, second)? == "1");
    }
    master.restart()?;
    master.becomes_master()?;
    clients.arp.sees(node)?;
    clients.go_on(50)?;
    master.stop()?;
    clients.arp.sees(backup.node)?;
    for name in ["eth0", "eth1", "eth2"] {
        ensure!(arp_ignore(node, name)? == "0", "{name}: {}", master.log()?);
    }
    let seen = clients.finish()?;
    ensure!(seen.arp.answered_by_two == 0, "{seen:#?}");
    let (one, two) = (node.mac, backup.node.mac);
    ensure!(seen.arp.succession == [one, two, one, two], "{seen:#?}");
    Ok(())
}

#[test]
fn what_the_administrator_has_set_stays() -> Result<()> {
    let lab = Topology::new()
        .directors(1)
        .link("director1", Link::to(SWITCH).address("10.0.0.21/24"))
        .link("director1", Link::to(SWITCH).address("10.0.0.22/24"))
        .build()?;
    let node = &lab.directors[0];
    node.namespace.sysctl("net.ipv4.conf.eth1.arp_ignore", "2")?;
    let mut director = Director::start(&lab, node, Configuration::new(&lab, 150))?;
    director.becomes_master()?;
    wait::until("the other one is silent", PATIENCE, || {
        arp_ignore(node, "eth2").ok().filter(|value| value == "1")
    })?;
    ensure!(arp_ignore(node, "eth1")? == "2");
    // An interface that comes while this node is master.
    node.delete("eth2")?;
    lab.create_interface(node, "eth2")?;
    wait::until("the new one is silent", PATIENCE, || {
        arp_ignore(node, "eth2").ok().filter(|value| value == "1")
    })?;
    director.stop()?;
    ensure!(arp_ignore(node, "eth1")? == "2" && arp_ignore(node, "eth2")? == "0");
    Ok(())
}

#[test]
fn an_interface_that_moves_to_another_namespace_takes_nothing_along() -> Result<()> {
    let lab = Topology::new().host("stray").build()?;
    let (master, backup) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let (node, stray) = (master.node, lab.node("stray"));
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    node.namespace.ip(&format!(
        "link set dev eth0 netns {} name away0\n",
        stray.namespace.name()
    ))?;
    backup.becomes_master()?;
    clients.arp.sees(backup.node)?;
    master.wait_for("it is in fault", PATIENCE, |status| status.state() == "fault")?;
    wait::until("the program is off", PATIENCE, || {
        has_program(stray, "away0").ok().filter(|has| !has)
    })?;
    ensure!(!stray.namespace.has_address("away0", VIP)?);
    clients.go_on(50)?;

    stray.namespace.ip(&format!(
        "link set dev away0 netns {} name eth0\n",
        node.namespace.name()
    ))?;
    node.namespace.ip(&format!(
        "link set eth0 up\naddress add {}/24 dev eth0\n",
        node.address
    ))?;
    master.becomes_master()?;
    clients.arp.sees(node)?;
    clients.go_on(50)?;
    let seen = clients.finish()?;
    ensure!(seen.arp.answered_by_two == 0, "{seen:#?}");
    Ok(())
}
