//! `lbd` and a real Keepalived share a virtual address: each in both roles, in VRRP versions 2 and 3.

use std::time::Duration;

use anyhow::Result;
use lab::{ArpWatch, Configuration, Director, Keepalived, Lab, VIP};

const NOTHING: [&str; 0] = [];

/// `lbd` is the master, and Keepalived takes over while it is stopped.
fn lbd_leads(configuration: impl Fn(&Lab, u8) -> Configuration) -> Result<()> {
    let lab = Lab::new()?;
    let [one, two] = &lab.directors;
    let keepalived = Keepalived::start(&lab, two, &configuration(&lab, 100))?;
    keepalived.wait_for_mastership(true)?;
    let watch = ArpWatch::start(&lab.client, VIP, Duration::from_millis(20))?;
    let mut lbd = Director::start(&lab, one, configuration(&lab, 150))?;
    lbd.becomes_master()?;
    keepalived.wait_for_mastership(false)?;

    lbd.stop()?;
    keepalived.wait_for_mastership(true)?;

    lbd.restart()?;
    lbd.becomes_master()?;
    keepalived.wait_for_mastership(false)?;

    let report = watch.finish()?;
    assert_eq!(report.succession, [two.mac, one.mac, two.mac, one.mac]);
    assert_eq!(lbd.complaints()?, NOTHING);
    assert_eq!(keepalived.complaints()?, NOTHING);
    Ok(())
}

/// Keepalived is the master, and `lbd` takes over while it is stopped.
fn keepalived_leads(configuration: impl Fn(&Lab, u8) -> Configuration) -> Result<()> {
    let lab = Lab::new()?;
    let [one, two] = &lab.directors;
    let lbd = Director::start(&lab, one, configuration(&lab, 100))?;
    lbd.becomes_master()?;
    let watch = ArpWatch::start(&lab.client, VIP, Duration::from_millis(20))?;
    let mut keepalived = Keepalived::start(&lab, two, &configuration(&lab, 150))?;
    keepalived.wait_for_mastership(true)?;
    lbd.becomes_backup()?;
    lbd.wait_for("it knows its master", Duration::from_secs(5), |status| {
        status.master_address() == Some(two.address.into())
    })?;
    assert!(!one.namespace.has_address("eth0", VIP)?);

    keepalived.stop()?;
    lbd.becomes_master()?;

    keepalived.restart()?;
    keepalived.wait_for_mastership(true)?;
    lbd.becomes_backup()?;

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
