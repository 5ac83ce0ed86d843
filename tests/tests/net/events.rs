//! The kernel's notices.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use ipnet::IpNet;
use vrrp_daemon::io::netlink::{Event, Events, Topic};

use crate::namespace::{Namespace, cable, pair, soon};

fn subscribe(namespace: &Namespace, topics: &[Topic]) -> Events {
    namespace
        .run(|| Events::subscribe(topics))
        .expect("a netlink socket")
}

#[tokio::test]
async fn a_pulled_cable_is_a_link_that_is_down() {
    let (here, there) = pair().await;
    let mut events = subscribe(&here, &[Topic::Links]);
    let mut wait_for = async |up| loop {
        if let Event::Link(link) = soon(events.next()).await.expect("an event")
            && link.name == "eth0"
            && link.up == up
        {
            break;
        }
    };
    there.ip("link set eth0 down");
    wait_for(false).await;
    there.ip("link set eth0 up");
    wait_for(true).await;
}

#[tokio::test]
async fn an_interface_that_is_removed_is_told() {
    let (here, _there) = pair().await;
    let index = here.link("eth0").await.index;
    let mut events = subscribe(&here, &[Topic::Links]);
    here.ip("link delete eth0");
    while soon(events.next()).await.expect("an event") != (Event::LinkRemoved { index }) {}
}

#[tokio::test]
async fn an_interface_that_leaves_a_bridge_is_not_removed() {
    let (here, _there) = pair().await;
    here.ip("link add br0 type bridge");
    here.ip("link set eth0 master br0");
    let mut events = subscribe(&here, &[Topic::Links, Topic::Neighbours]);
    here.ip("link set eth0 nomaster");
    here.ip("link set br0 name end");
    loop {
        match soon(events.next()).await.expect("an event") {
            Event::Link(link) if link.name == "end" => break,
            Event::LinkRemoved { .. } => panic!("nothing was removed"),
            Event::Link(_)
            | Event::Address { .. }
            | Event::Neighbour(_)
            | Event::NeighbourRemoved { .. }
            | Event::Overrun => {}
        }
    }
}

#[tokio::test]
async fn addresses_that_come_and_go_are_told() {
    let (here, _there) = pair().await;
    let interface = here.link("eth0").await.index;
    let mut events = subscribe(&here, &[Topic::Addresses]);
    here.ip("address add 10.0.0.3/32 dev eth0");
    here.ip("address add fd00::3/128 dev eth0 nodad");
    here.ip("address delete 10.0.0.3/32 dev eth0");
    // The kernel tells of IPv6 addresses a little later than it adds them.
    let mut expected: Vec<(IpNet, bool)> = [
        ("10.0.0.3/32", true),
        ("fd00::3/128", true),
        ("10.0.0.3/32", false),
    ]
    .map(|(address, present)| (address.parse().expect("an address"), present))
    .into();
    while !expected.is_empty() {
        if let Event::Address {
            interface: index,
            address,
            present,
        } = soon(events.next()).await.expect("an event")
        {
            assert_eq!(index, interface);
            expected.retain(|change| *change != (address, present));
        }
    }
}

#[tokio::test]
async fn notices_that_overflow_are_told_and_the_next_ones_are_heard() {
    let here = Namespace::new();
    let there = Namespace::new();
    cable(&here, "eth0", &there, "eth0").await;
    let mut events = subscribe(&here, &[Topic::Addresses]);
    let mut batch = String::new();
    for number in 0..10_000 {
        let [_, _, high, low] = u32::to_be_bytes(number);
        writeln!(batch, "address add 10.1.{high}.{low}/32 dev lo").expect("strings grow");
    }
    // All the while this runtime's thread does not listen.
    here.run(|| {
        let mut ip = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("iproute2 is installed");
        let mut stdin = ip.stdin.take().expect("it is piped");
        stdin.write_all(batch.as_bytes()).expect("ip reads");
        drop(stdin);
        assert!(ip.wait().expect("ip ends").success());
    });
    while soon(events.next()).await.expect("an event") != Event::Overrun {}

    here.ip("address add 10.2.0.1/32 dev eth0");
    let next = Event::Address {
        interface: here.link("eth0").await.index,
        address: "10.2.0.1/32".parse().expect("an address"),
        present: true,
    };
    assert_eq!(soon(events.next()).await.expect("an event"), next);
}
