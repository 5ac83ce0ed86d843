//! Gratuitous ARP moves an address in the caches of the neighbourhood.

use std::net::Ipv4Addr;

use vrrp_daemon::io::announce::Announcer;
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

    let announcer = here.run(Announcer::open).expect("a packet socket");
    announcer
        .announce(link.index, mac, Ipv4Addr::new(10, 0, 0, 3))
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
    let announcer = here.run(Announcer::open).expect("a packet socket");
    let error = announcer
        .announce(link.index, [2; 6], Ipv4Addr::new(10, 0, 0, 3))
        .expect_err("nothing can be sent");
    assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN));
}
