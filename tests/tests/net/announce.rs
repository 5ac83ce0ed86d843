//! Gratuitous ARP moves an address in the caches of the neighbourhood, and tells who claims one.

use std::net::Ipv4Addr;

use vrrp_daemon::io::arp::{ArpSocket, Claim};
use vrrp_daemon::io::netlink::{Event, Events, Topic};

use crate::namespace::{pair, soon};

#[tokio::test]
async fn a_neighbour_that_knows_the_address_learns_its_new_place() {
    let (here, there) = pair().await;
    let link = here.link("eth0").await;
    let mac = link.mac.expect("an Ethernet interface");
    there.ip("neighbour add 10.0.0.3 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
    let mut events = there
        .run(|| Events::subscribe(&[Topic::Neighbours]))
        .expect("a netlink socket");

    let arp = here.run(ArpSocket::open).expect("a packet socket");
    arp.announce(link.index, mac, Ipv4Addr::new(10, 0, 0, 3))
        .expect("sent");

    loop {
        if let Event::Neighbour(neighbour) = soon(events.next()).await.expect("an event")
            && neighbour.address == Ipv4Addr::new(10, 0, 0, 3)
            && neighbour.mac == Some(mac)
        {
            break;
        }
    }
}

#[tokio::test]
async fn an_interface_that_is_down_is_an_error() {
    let (here, _there) = pair().await;
    let link = here.link("eth0").await;
    here.ip("link set eth0 down");
    let arp = here.run(ArpSocket::open).expect("a packet socket");
    let error = arp
        .announce(link.index, [2; 6], Ipv4Addr::new(10, 0, 0, 3))
        .expect_err("nothing can be sent");
    assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN));
}

/// What is heard of 10.0.0.3: other hosts come up meanwhile.
async fn claim(arp: &ArpSocket) -> Claim {
    loop {
        let claim = soon(arp.next()).await.expect("an answer");
        if claim.address == Ipv4Addr::new(10, 0, 0, 3) {
            return claim;
        }
    }
}

#[tokio::test]
async fn whoever_has_the_address_answers_and_nobody_else_is_heard() {
    let (here, there) = pair().await;
    let (ours, theirs) = (here.link("eth0").await, there.link("eth0").await);
    let address = Ipv4Addr::new(10, 0, 0, 3);
    let arp = here.run(ArpSocket::open).expect("a packet socket");
    let mac = ours.mac.expect("an Ethernet interface");
    let expected = Claim {
        interface: ours.index,
        address,
        mac: theirs.mac.expect("an Ethernet interface"),
    };
    // Nobody has it: not even our own question is heard.
    arp.ask(ours.index, mac, address).expect("sent");
    there.ip("address add 10.0.0.3/32 dev eth0");
    arp.ask(ours.index, mac, address).expect("sent");
    assert_eq!(claim(&arp).await, expected);

    there.ip("address delete 10.0.0.3/32 dev eth0");
    let other = there.run(ArpSocket::open).expect("a packet socket");
    other.announce(theirs.index, expected.mac, address).expect("sent");
    assert_eq!(claim(&arp).await, expected, "unasked");
}
