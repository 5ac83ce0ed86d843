//! *access*: whose packets reach no service, and who begins no connection.

use std::net::IpAddr;

use lab::dataplane::{Action, INGRESS};
use lab::packet::{ACK, DIRECTOR_MAC, Packet, SYN, arp_request, icmp};
use lb_common::{Address, Interface, Lease, Prefix, Verdict, access, interface_flags, lease_state};

use crate::world::{
    CLIENT, CLIENT6, SECOND, TCP4, TCP6, UDP4, VIP, World, client, client6, datagram_service, lease, service,
    service6,
};

/// Of the whole of IPv4, in the form of IPv6.
const IPV4: (&str, u32) = ("::ffff:0:0", 0);

impl World {
    /// Has the program look at what is listed.
    fn list(&mut self, flags: u16, lists: &[((&str, u32), u32)]) {
        let flags = interface_flags::KNOWN | flags;
        let mac = DIRECTOR_MAC;
        self.dataplane.put_interface(INGRESS, Interface { mac, flags });
        for ((address, length), access) in lists {
            let (address, length) = match address.parse().unwrap() {
                IpAddr::V4(ip) => (Address::v4(ip.octets()), length + 96),
                IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => (Address::v6(ip.octets()), length + 96),
                IpAddr::V6(ip) => (Address::v6(ip.octets()), *length),
            };
            self.dataplane.put_access(Prefix { length, address }, *access);
        }
    }
}

fn syn() -> Vec<u8> {
    Packet::tcp(client(1), service(), SYN).build()
}

fn syn6() -> Vec<u8> {
    Packet::tcp(client6(1), service6(), SYN).build()
}

#[test]
fn who_is_blocked_reaches_no_service() {
    for (prefix, frame) in [
        ((CLIENT.to_string(), 32), syn()),
        (("198.51.100.0".to_owned(), 24), syn()),
        (("198.51.100.0".to_owned(), 29), syn()),
        ((CLIENT6.to_string(), 128), syn6()),
        (("2001:db8::".to_owned(), 32), syn6()),
    ] {
        let mut world = World::new();
        let prefix = (prefix.0.as_str(), prefix.1);
        world.list(interface_flags::BLOCKS, &[(prefix, access::BLOCKED)]);
        world.expect(&frame, Verdict::DropBlocked);
    }
}

#[test]
fn so_does_everybody_else() {
    let mut world = World::new();
    let blocked = [
        (("198.51.100.8", 29), access::BLOCKED),
        (("198.51.101.0", 24), access::BLOCKED),
        (("198.51.100.6", 32), access::BLOCKED),
        (("2001:db8:1::", 48), access::BLOCKED),
    ];
    world.list(interface_flags::BLOCKS, &blocked);
    world.expect_forwarded(&syn(), Verdict::ForwardNew, World::slot(TCP4, 0));
    world.expect_forwarded(&syn6(), Verdict::ForwardNew, World::slot(TCP6, 0));
}

#[test]
fn the_longest_prefix_counts() {
    let mut world = World::new();
    let lists = [
        (("198.51.100.0", 24), access::BLOCKED),
        (("198.51.100.0", 28), access::OPEN),
        (("2001:db8::", 32), access::OPEN),
        (("2001:db8::", 64), access::BLOCKED),
    ];
    world.list(interface_flags::BLOCKS, &lists);
    world.expect_forwarded(&syn(), Verdict::ForwardNew, World::slot(TCP4, 0));
    world.expect(&syn6(), Verdict::DropBlocked);
    world.list(
        interface_flags::BLOCKS,
        &[(("198.51.100.7", 32), access::BLOCKED)],
    );
    world.expect(&syn(), Verdict::DropBlocked);
}

#[test]
fn a_block_ends_what_is_open_and_answers_nothing() {
    let mut world = World::new();
    world.expect_forwarded(&syn(), Verdict::ForwardNew, World::slot(TCP4, 0));
    let segment = Packet::tcp(client(1), service(), ACK);
    world.expect_forwarded(&segment.build(), Verdict::ForwardFlow, World::slot(TCP4, 0));
    world.list(
        interface_flags::BLOCKS,
        &[(("198.51.100.7", 32), access::BLOCKED)],
    );
    world.expect(&segment.build(), Verdict::DropBlocked);
    // Neither a reset nor an ICMP error.
    let stray = Packet::tcp(client(2), service(), ACK);
    world.expect(&stray.build(), Verdict::DropBlocked);
    world.expect(&segment.hop_limit(1).build(), Verdict::DropBlocked);
    let fragment = Packet::udp(client(1), datagram_service()).payload(&[1; 64]);
    world.expect(
        &fragment.clone().fragment(0, true, 7).build(),
        Verdict::DropBlocked,
    );
    world.expect(&fragment.fragment(8, false, 7).build(), Verdict::DropFragment);
}

#[test]
fn in_ipv6_too() {
    let mut world = World::new();
    world.expect_forwarded(&syn6(), Verdict::ForwardNew, World::slot(TCP6, 0));
    let segment = Packet::tcp(client6(1), service6(), ACK).build();
    world.expect_forwarded(&segment, Verdict::ForwardFlow, World::slot(TCP6, 0));
    world.list(
        interface_flags::BLOCKS,
        &[(("2001:db8::7", 128), access::BLOCKED)],
    );
    world.expect(&segment, Verdict::DropBlocked);
}

#[test]
fn who_may_begin_no_connection_goes_on_with_those_that_are_open() {
    let mut world = World::new();
    world.expect_forwarded(&syn(), Verdict::ForwardNew, World::slot(TCP4, 0));
    world.expect_forwarded(&syn6(), Verdict::ForwardNew, World::slot(TCP6, 0));
    world.list(
        interface_flags::CLOSES,
        &[(("::", 0), access::CLOSED), (IPV4, access::CLOSED)],
    );
    for (slot, client, service) in [
        (World::slot(TCP4, 0), client as fn(u16) -> _, service()),
        (World::slot(TCP6, 0), client6, service6()),
    ] {
        let segment = |port| Packet::tcp(client(port), service, ACK);
        world.expect_forwarded(&segment(1).build(), Verdict::ForwardFlow, slot);
        let opens = Packet::tcp(client(2), service, SYN).build();
        world.expect(&opens, Verdict::DropNotAllowed);
        // No reset tells that there is anything.
        world.expect(&segment(2).build(), Verdict::DropNotAllowed);
    }
    let datagram = Packet::udp(client(1), datagram_service()).build();
    world.expect(&datagram, Verdict::DropNotAllowed);
}

#[test]
fn a_connection_whose_real_server_is_gone_is_a_new_one() {
    let mut world = World::new();
    let slot = World::slot(UDP4, 0);
    let datagram = Packet::udp(client(1), datagram_service()).build();
    world.expect_forwarded(&datagram, Verdict::ForwardNew, slot);
    world.list(interface_flags::CLOSES, &[(IPV4, access::CLOSED)]);
    world.expect_forwarded(&datagram, Verdict::ForwardFlow, slot);
    world.change_real(slot, |real| real.flags = 0);
    world.expect(&datagram, Verdict::DropNotAllowed);
}

#[test]
fn who_is_listed_may() {
    let mut world = World::new();
    let lists = [
        (("::", 0), access::CLOSED),
        (IPV4, access::CLOSED),
        (("198.51.100.0", 24), access::OPEN),
        (("2001:db8::", 32), access::OPEN),
    ];
    world.list(interface_flags::CLOSES, &lists);
    world.expect_forwarded(&syn(), Verdict::ForwardNew, World::slot(TCP4, 0));
    world.expect_forwarded(&syn6(), Verdict::ForwardNew, World::slot(TCP6, 0));
}

/// The daemon may not know an interface yet, or has no room for its index.
#[test]
fn on_an_unknown_interface_the_lists_count() {
    let mut world = World::new();
    world.dataplane.put_interface(INGRESS, Interface::default());
    world.expect_forwarded(&syn(), Verdict::ForwardNew, World::slot(TCP4, 0));
    let prefix = |length| Prefix {
        length,
        address: Address::v4(CLIENT.octets()),
    };
    world.dataplane.put_access(prefix(128), access::CLOSED);
    let other = Packet::tcp(client(2), service(), SYN).build();
    world.expect(&other, Verdict::DropNotAllowed);
    world.dataplane.put_access(prefix(128), access::BLOCKED);
    world.expect(&other, Verdict::DropBlocked);
}

#[test]
fn nobody_is_kept_from_what_is_no_service() {
    let mut world = World::new();
    let lists = [(("::", 0), access::BLOCKED), (IPV4, access::BLOCKED)];
    world.list(interface_flags::BLOCKS | interface_flags::CLOSES, &lists);
    world.expect(&arp_request(CLIENT.octets(), VIP.octets()), Verdict::PassAnswer);
    let ping = Packet::other(CLIENT.into(), VIP.into(), 1, icmp(8, 0, [0; 4], &[]));
    world.expect(&ping.build(), Verdict::PassNoService);
    let elsewhere = Packet::tcp(client(1), "10.0.0.101:80".parse().unwrap(), SYN);
    world.expect(&elsewhere.build(), Verdict::PassNotOurs);
}

#[test]
fn an_icmp_error_is_its_senders() {
    let mut world = World::new();
    world.expect_forwarded(&syn(), Verdict::ForwardNew, World::slot(TCP4, 0));
    let router: IpAddr = "203.0.113.1".parse().unwrap();
    let answer = Packet::tcp(service(), client(1), ACK).build();
    let error = Packet::other(router, VIP.into(), 1, icmp(3, 4, [0, 0, 5, 0], &answer[14..])).build();
    assert_eq!(world.dataplane.send(&error).action, Action::Transmit);
    world.list(interface_flags::BLOCKS, &[(("203.0.113.0", 24), access::BLOCKED)]);
    world.expect(&error, Verdict::DropBlocked);
    world.expect_forwarded(
        &Packet::tcp(client(1), service(), ACK).build(),
        Verdict::ForwardFlow,
        World::slot(TCP4, 0),
    );
}

#[test]
fn a_backup_blocks_as_well() {
    let mut world = World::new();
    world.lease(Lease {
        interval: 60 * SECOND,
        ..lease(lease_state::VACANT, 0)
    });
    world.expect(&syn(), Verdict::PassNotMaster);
    world.list(
        interface_flags::BLOCKS,
        &[(("198.51.100.7", 32), access::BLOCKED)],
    );
    world.expect(&syn(), Verdict::DropBlocked);
}
