//! Directors in containers: their interfaces are macvlans, which hear only the multicast groups that they have joined,
//! and on which the XDP program runs in generic mode.

use anyhow::Result;
use lab::{Clients, Configuration, Director, Link, SWITCH, Topology, VIP};

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
