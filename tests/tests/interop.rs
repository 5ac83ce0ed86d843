//! `lbd` and a real Keepalived share a virtual address: each in both roles, in VRRP versions 2 and 3.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Result;
use lab::{ArpWatch, Configuration, Director, Filter, Hook, Keepalived, Lab, Topology, VIP, Wire, wait};

const NOTHING: [&str; 0] = [];

const PATIENCE: Duration = Duration::from_secs(15);

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

/// Where a frame names its virtual router.
const VIRTUAL_ROUTER_ID: usize = 14 + 20 + 1;

/// A frame that `lbd` tries with whether advertisements leave: one of no virtual router.
fn trial(frame: &[u8]) -> Option<Vec<u8>> {
    const PROTOCOL: usize = 14 + 9;
    let is_one = frame.get(PROTOCOL) == Some(&112) && frame.get(VIRTUAL_ROUTER_ID) == Some(&0);
    is_one.then(|| frame.to_vec())
}

/// Keepalived hears, as a backup and as a master, what `lbd` says to find out whether anything leaves.
fn keepalived_minds_no_trial(configuration: impl Fn(&Lab, u8) -> Configuration) -> Result<()> {
    const TRIALS: u64 = 100;
    let lab = Topology::new().real_servers(0).build()?;
    let [one, two] = lab.pair();
    let mut lbd = Director::start(&lab, one, configuration(&lab, 150))?;
    lbd.becomes_master()?;
    let keepalived = Keepalived::start(&lab, two, &configuration(&lab, 100))?;
    keepalived.wait_for_log("Entering BACKUP STATE")?;

    // A real one, which Keepalived hears as the master that it has become meanwhile.
    let wire = Wire::open(&lab.client.node, "eth0", libc::ETH_P_IP)?;
    let mute = Filter::discard(&one.namespace, Hook::Output, "ip protocol 112")?;
    keepalived.wait_for_mastership(true)?;
    lbd.wait_for("it is in fault", PATIENCE, |status| status.state() == "fault")?;
    drop(mute);
    let trial = wire.find("a trial", PATIENCE, trial)?;
    lbd.becomes_master()?;
    keepalived.wait_for_mastership(false)?;

    let heard = Filter::count(&two.namespace, Hook::Input, "ip protocol 112 @th,8,8 0")?;
    let sender = Wire::open(one, "eth0", libc::ETH_P_IP)?;
    let try_often = |times: u64| -> Result<()> {
        for _ in 0..TRIALS {
            sender.send(&trial)?;
        }
        wait::until("the trials arrive", PATIENCE, || {
            (heard.packets().ok()? >= times * TRIALS).then_some(())
        })
    };
    // Whatever it does next, it has read those before.
    try_often(1)?;
    lbd.stop()?;
    keepalived.wait_for_mastership(true)?;
    try_often(2)?;
    lbd.restart()?;
    lbd.becomes_master()?;
    keepalived.wait_for_mastership(false)?;

    let log = keepalived.log()?;
    let said = |text: &str| log.matches(text).count();
    assert_eq!(
        (said("Entering MASTER STATE"), said("Entering BACKUP STATE")),
        (2, 3),
        "{log}"
    );
    assert!(log.lines().count() < TRIALS as usize, "a line for each: {log}");
    assert_eq!(keepalived.complaints()?, NOTHING);

    // With its identifier, and thereby a wrong checksum, it would have minded them.
    let mut broken = trial;
    broken[VIRTUAL_ROUTER_ID] = 51;
    sender.send(&broken)?;
    wait::until("keepalived complains", PATIENCE, || {
        (keepalived.complaints().ok()?.len() == 1).then_some(())
    })
}

#[test]
fn keepalived_minds_no_trial_of_version_2_with_a_password() -> Result<()> {
    keepalived_minds_no_trial(Configuration::classic)
}

#[test]
fn keepalived_minds_no_trial_of_version_3() -> Result<()> {
    keepalived_minds_no_trial(Configuration::new)
}

/// It was the better master all the time, and hears only from `lbd`, which lets go, that clients believe another one.
#[test]
fn keepalived_announces_itself_again_when_lbd_lets_go_after_a_partition() -> Result<()> {
    let lab = Topology::new().real_servers(0).build()?;
    let [one, two] = lab.pair();
    let client = &lab.client.node;
    let keepalived = Keepalived::start(&lab, two, &Configuration::classic(&lab, 150))?;
    keepalived.wait_for_mastership(true)?;
    let lbd = Director::start(&lab, one, Configuration::classic(&lab, 100))?;
    lbd.becomes_backup()?;
    client.trust_neighbours()?;
    let ask = || {
        client
            .namespace
            .run(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"?", (VIP, 9)))
    };
    ask()?;
    client.learns(VIP, two)?;

    let partition = Filter::isolate(&lab, two)?;
    lbd.becomes_master()?;
    client.learns(VIP, one)?;
    ask()?;
    client.confirms(VIP, one)?;
    lbd.advertises()?;
    drop(partition);
    lbd.becomes_backup()?;
    client.learns(VIP, two)?;
    assert!(keepalived.is_master()?);
    Ok(())
}
