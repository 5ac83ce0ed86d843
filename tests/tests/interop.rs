//! `lbd` and a real Keepalived share a virtual address: each in both roles, in VRRP versions 2 and 3.

use std::time::Duration;

use anyhow::Result;
use lab::{ArpWatch, Configuration, Director, Keepalived, Lab, Topology, VIP};

const NOTHING: [&str; 0] = [];

/// `lbd` is the master, and Keepalived takes over while it is stopped.
fn lbd_leads(configuration: impl Fn(&Lab, u8) -> Configuration) -> Result<()> {
    let lab = Lab::new()?;
    let [one, two] = lab.pair();
    let keepalived = Keepalived::start(&lab, two, &configuration(&lab, 100))?;
    keepalived.wait_for_mastership(true)?;
    let watch = ArpWatch::start(&lab.client, VIP, Duration::from_millis(20))?;
    watch.sees(two)?;
    let mut lbd = Director::start(&lab, one, configuration(&lab, 150))?;
    lbd.becomes_master()?;
    keepalived.wait_for_mastership(false)?;
    watch.sees(one)?;

    lbd.stop()?;
    keepalived.wait_for_mastership(true)?;
    watch.sees(two)?;

    lbd.restart()?;
    lbd.becomes_master()?;
    keepalived.wait_for_mastership(false)?;
    watch.sees(one)?;

    let report = watch.finish()?;
    assert_eq!(report.succession, [two.mac, one.mac, two.mac, one.mac]);
    assert_eq!(lbd.complaints()?, NOTHING);
    assert_eq!(keepalived.complaints()?, NOTHING);
    Ok(())
}

/// Keepalived is the master, and `lbd` takes over while it is stopped.
fn keepalived_leads(configuration: impl Fn(&Lab, u8) -> Configuration) -> Result<()> {
    let lab = Lab::new()?;
    let [one, two] = lab.pair();
    let lbd = Director::start(&lab, one, configuration(&lab, 100))?;
    lbd.becomes_master()?;
    let watch = ArpWatch::start(&lab.client, VIP, Duration::from_millis(20))?;
    watch.sees(one)?;
    let mut keepalived = Keepalived::start(&lab, two, &configuration(&lab, 150))?;
    keepalived.wait_for_mastership(true)?;
    lbd.becomes_backup()?;
    lbd.wait_for("it knows its master", Duration::from_secs(5), |status| {
        status.master_address() == Some(two.address.into())
    })?;
    watch.sees(two)?;
    assert!(!one.namespace.has_address("eth0", VIP)?);

    keepalived.stop()?;
    lbd.becomes_master()?;
    watch.sees(one)?;

    keepalived.restart()?;
    keepalived.wait_for_mastership(true)?;
    lbd.becomes_backup()?;
    watch.sees(two)?;

    let report = watch.finish()?;
    assert_eq!(report.succession, [one.mac, two.mac, one.mac, two.mac]);
    assert_eq!(lbd.complaints()?, NOTHING);
    assert_eq!(keepalived.complaints()?, NOTHING);
    Ok(())
}

#[test]
fn lbd_leads_keepalived_in_version_2_with_a_password() -> Result<()> {
    lbd_leads(Configuration::classic)
}

#[test]
fn lbd_leads_keepalived_in_version_3() -> Result<()> {
    lbd_leads(Configuration::new)
}

#[test]
fn keepalived_leads_lbd_in_version_2_with_a_password() -> Result<()> {
    keepalived_leads(Configuration::classic)
}

#[test]
fn keepalived_leads_lbd_in_version_3() -> Result<()> {
    keepalived_leads(Configuration::new)
}

#[test]
fn keepalived_is_the_third_router_and_serves_when_both_directors_are_gone() -> Result<()> {
    let lab = Topology::new().directors(3).build()?;
    let (mut first, mut second) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let third = lab.node("director3");
    let keepalived = Keepalived::start(&lab, third, &Configuration::new(&lab, 50))?;
    keepalived.wait_for_log("Entering BACKUP STATE")?;
    let watch = ArpWatch::start(&lab.client, VIP, Duration::from_millis(20))?;
    watch.sees(first.node)?;
    first.stop()?;
    second.becomes_master()?;
    watch.sees(second.node)?;
    second.stop()?;
    keepalived.wait_for_mastership(true)?;
    watch.sees(third)?;
    second.restart()?;
    second.becomes_master()?;
    keepalived.wait_for_mastership(false)?;
    watch.sees(second.node)?;
    let report = watch.finish()?;
    let nodes = [first.node, second.node, third, second.node];
    assert_eq!(report.succession, nodes.map(|node| node.mac));
    assert_eq!(first.complaints()?, NOTHING);
    assert_eq!(second.complaints()?, NOTHING);
    assert_eq!(keepalived.complaints()?, NOTHING);
    Ok(())
}
