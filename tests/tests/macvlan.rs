//! Directors in containers: their interfaces are macvlans, which hear only the multicast groups that they have joined,
//! and on which the XDP program runs in generic mode.

use std::time::Duration;

use anyhow::Result;
use lab::{ArpWatch, Clients, Configuration, Director, Link, SWITCH, Topology, VIP};

const TEN_MILLISECONDS: Duration = Duration::from_millis(10);

#[test]
fn a_killed_master_on_a_macvlan_forwards_and_falls_silent_when_it_is_succeeded() -> Result<()> {
    let macvlan = || Link::to(SWITCH).macvlan();
    let lab = Topology::new()
        .first_link("director1", macvlan())
        .first_link("director2", macvlan())
        .build()?;
    let (mut master, backup) = Director::pair(&lab, |priority| {
        Configuration::classic(&lab, priority).with("dataplane.xdp_mode", "generic")
    })?;
    let fetched = lab.client.curl((VIP, 80).into(), 60)?;
    assert_eq!(
        fetched.counts(),
        [("rs1", 30), ("rs2", 20), ("rs3", 10)].into(),
        "{}",
        fetched.complaints
    );
    let clients = Clients::start(&lab)?;
    clients.go_on(50)?;
    master.kill()?;
    backup.becomes_master()?;
    clients.arp.sees(backup.node)?;
    clients.go_on(50)?;
    let seen = clients.finish()?;
    assert!(seen.probe.lost <= 2, "{seen:#?}");
    assert!(seen.load.failed() <= 1, "{seen:#?}");
    assert_eq!(seen.arp.answered_by_two, 0, "{seen:#?}");
    assert_eq!(
        seen.arp.succession,
        [master.node.mac, backup.node.mac],
        "{seen:#?}"
    );
    Ok(())
}

/// The longest that a dead master may go on answering: had its program not seen the successor's advertisement, it would
/// be almost an interval, for the successor hardly waits longer than three.
#[test]
fn a_killed_masters_macvlan_still_hears_its_successor() -> Result<()> {
    let macvlan = || Link::to(SWITCH).macvlan();
    let lab = Topology::new()
        .real_servers(1)
        .first_link("director1", macvlan())
        .first_link("director2", macvlan())
        .build()?;
    let [one, two] = lab.pair();
    let start = |node, priority| {
        let configuration = Configuration::classic(&lab, priority).with("dataplane.xdp_mode", "generic");
        Director::start(&lab, node, configuration)
    };
    let (mut master, backup) = (start(one, 254)?, start(two, 253)?);
    master.becomes_master()?;
    backup.becomes_backup()?;
    let groups = || -> Result<String> {
        let shown = one
            .namespace
            .command("ip")
            .args(["maddress", "show", "dev", "eth0"])
            .output()?;
        Ok(String::from_utf8_lossy(&shown.stdout).into_owned())
    };
    let watch = ArpWatch::start(&lab.client, VIP, TEN_MILLISECONDS)?;
    watch.sees(one)?;
    master.kill()?;
    assert!(groups()?.contains("01:00:5e:00:00:12"), "{}", groups()?);
    backup.becomes_master()?;
    watch.sees(two)?;
    let seen = watch.finish()?;
    assert!(seen.answered_by_two <= 10, "{seen:#?}");

    // A clean stop leaves nothing behind.
    master.restart()?;
    master.becomes_master()?;
    master.stop()?;
    assert!(!groups()?.contains("01:00:5e:00:00:12"), "{}", groups()?);
    Ok(())
}
