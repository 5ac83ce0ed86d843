//! The lab's means of doing harm and of seeing it, with Keepalived and simple programs in the place of `lbd`.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::Result;
use lab::{
    ArpWatch, Claim, Configuration, Connections, ECHO, Exchanged, Filter, Hook, Keepalived, Lab, Link,
    NotifySocket, Probe, SWITCH, Topology, VIP, Wire, wait,
};

const TEN_MILLISECONDS: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);
const ADVERTISEMENTS: &str = "ip protocol 112";

/// A lab with Keepalived on both directors, the first of which is master.
fn keepalived_pair(lab: &Lab) -> Result<(Keepalived<'_>, Keepalived<'_>)> {
    let [one, two] = lab.pair();
    let first = Keepalived::start(lab, one, &Configuration::new(lab, 150))?;
    let second = Keepalived::start(lab, two, &Configuration::new(lab, 100))?;
    first.wait_for_mastership(true)?;
    second.wait_for_mastership(false)?;
    Ok((first, second))
}

#[test]
fn advertisements_that_cannot_leave_make_a_second_master_until_they_can() -> Result<()> {
    let lab = Topology::new().real_servers(0).build()?;
    let (first, second) = keepalived_pair(&lab)?;
    let filter = Filter::discard(&first.node.namespace, Hook::Output, ADVERTISEMENTS)?;
    second.wait_for_mastership(true)?;
    assert!(first.is_master()? && filter.packets()? > 0);
    drop(filter);
    second.wait_for_mastership(false)
}

#[test]
fn a_switch_can_lose_advertisements_of_one_direction() -> Result<()> {
    let lab = Topology::new().real_servers(0).build()?;
    let (first, second) = keepalived_pair(&lab)?;
    let heard = Filter::count(&second.node.namespace, Hook::Input, ADVERTISEMENTS)?;
    let lost = Filter::discard(
        &lab.switch,
        Hook::Bridge,
        &format!("iifname \"director1\" {ADVERTISEMENTS}"),
    )?;
    second.wait_for_mastership(true)?;
    assert!(lost.packets()? > 0);
    assert!(first.is_master()?);
    let before = heard.packets()?;
    drop(lost);
    wait::until("the second one hears them again", PATIENCE, || {
        (heard.packets().ok()? > before).then_some(())
    })
}

#[test]
fn an_address_is_answered_for_by_the_stray_host_that_claims_it() -> Result<()> {
    let lab = Topology::new().real_servers(0).host("stray").build()?;
    let stray = lab.node("stray");
    let wire = Wire::open(&lab.client.node, "eth0", libc::ETH_P_ARP)?;
    let watch = ArpWatch::start(&lab.client, VIP, TEN_MILLISECONDS)?;
    let claim = Claim::start(stray, VIP)?;
    watch.sees(stray)?;
    claim.announce()?;
    let announced = wire.find("the announcement", PATIENCE, |frame| {
        let (sender, target) = (frame.get(28..32)?, frame.get(38..42)?);
        (frame.starts_with(&[0xff; 6]) && sender == target).then(|| frame[22..28].to_vec())
    })?;
    assert_eq!(announced, stray.mac);
    drop(claim);
    assert!(!stray.namespace.has_address("eth0", VIP)?);
    Ok(())
}

#[test]
fn connections_are_counted_by_their_ends() -> Result<()> {
    let lab = Topology::new().real_servers(1).build()?;
    let server = &lab.real_servers[0];
    let connections = Connections::open(&lab.client, (server.node.address, ECHO).into(), 12)?;
    let all = |exchanged: fn(&mut Exchanged) -> &mut usize| {
        let mut expected = Exchanged::default();
        *exchanged(&mut expected) = 12;
        expected
    };
    assert_eq!(connections.exchange(), all(|exchanged| &mut exchanged.answered));
    server.kill_responder();
    let ended = connections.exchange();
    assert_eq!((ended.answered, ended.silent), (0, 0), "{ended:?}");
    assert_eq!(connections.exchange(), all(|exchanged| &mut exchanged.reset));
    Ok(())
}

#[test]
fn a_datagram_each_millisecond_shows_where_a_cable_was_pulled() -> Result<()> {
    let lab = Topology::new().real_servers(1).build()?;
    let node = &lab.real_servers[0].node;
    lab.client
        .node
        .namespace
        .ip(&format!("route add {VIP} via {} dev eth0 onlink\n", node.address))?;
    let probe = Probe::start(&lab.client, (VIP, ECHO).into(), Duration::from_millis(1))?;
    let enough = |lost| {
        wait::until("some are lost", PATIENCE, || {
            (probe.so_far().lost >= lost).then_some(())
        })
    };
    lab.unplug(node)?;
    enough(100)?;
    lab.plug_in(node)?;
    wait::until("they are answered again", PATIENCE, || {
        let report = probe.so_far();
        let last = report.gaps.last()?;
        (report.sent > last.first + last.lost + 20).then_some(())
    })?;
    let report = probe.finish()?;
    let longest = report.gaps.iter().max_by_key(|gap| gap.lost);
    let longest = longest.expect("there was one");
    assert!(
        longest.lost >= 100 && longest.lost == report.longest_run_lost,
        "{longest:?}"
    );
    assert!(longest.lasted >= Duration::from_millis(100), "{longest:?}");
    Ok(())
}

#[test]
fn a_service_manager_hears_what_it_is_told() -> Result<()> {
    let lab = Topology::new().directors(0).real_servers(0).build()?;
    let manager = NotifySocket::bind(&lab.directory.join("notify.sock"))?;
    let (variable, path) = manager.variable();
    assert_eq!(variable, "NOTIFY_SOCKET");
    let daemon = UnixDatagram::unbound()?;
    daemon.send_to(b"READY=1\nSTATUS=fine", &path)?;
    daemon.send_to(b"WATCHDOG=1\n", &path)?;
    manager.hears("WATCHDOG=1", 0, PATIENCE)?;
    assert_eq!((manager.count("READY=1"), manager.count("STATUS=fine")), (1, 1));
    daemon.send_to(b"WATCHDOG=1\n", &path)?;
    manager.hears("WATCHDOG=1", 1, PATIENCE)?;
    assert!(manager.hears("STOPPING=1", 0, TEN_MILLISECONDS).is_err());
    Ok(())
}

#[test]
fn a_macvlan_hears_only_the_groups_that_it_has_joined() -> Result<()> {
    let lab = Topology::new()
        .real_servers(0)
        .first_link("director2", Link::to(SWITCH).macvlan())
        .build()?;
    let [one, two] = lab.pair();
    let group = |last| [0x01, 0x00, 0x5e, 0x00, 0x00, last];
    let hears = Wire::open(two, "eth0", 0x88b5)?;
    let says = Wire::open(one, "eth0", 0x88b5)?;
    let frame = |destination: [u8; 6]| [destination.as_slice(), &one.mac, &[0x88, 0xb5], &[0; 46]].concat();
    two.namespace.ip("maddress add 01:00:5e:00:00:12 dev eth0\n")?;
    // The one that it has joined comes last. A macvlan sorts groups into 256 buckets: a few may share one with a group
    // that it has joined.
    let others = 0x20..0x60;
    for group in others.clone().map(group).chain([group(0x12)]) {
        says.send(&frame(group))?;
    }
    let mut heard = 0;
    while hears.find("a frame to a group", PATIENCE, |frame| Some(frame[5]))? != 0x12 {
        heard += 1;
    }
    assert!(heard < others.len() / 4, "{heard} of {}", others.len());
    Ok(())
}
