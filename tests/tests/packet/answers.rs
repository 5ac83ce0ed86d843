//! *lease*: who may answer for an address, who may forward, and when each ends.

use std::net::{IpAddr, Ipv6Addr};

use lab::dataplane::boot_now;
use lab::packet::{ACK, Packet, SYN, arp, arp_request, icmp};
use lb_common::{Lease, NO_LEASE, Verdict, lease_state};

use crate::world::{CLIENT6, REALS, SECOND, TCP4, VIP, VIP6, World, address, client, lease, service};

/// Long after any moment that matters: a lease that has run out.
const EXPIRED: u64 = 6 * SECOND;
/// Four intervals after renewal answers end, a second later forwarding.
const HALF_EXPIRED: u64 = 4 * SECOND + SECOND / 2;

fn solicitation(target: Ipv6Addr) -> Packet {
    let bytes = icmp(135, 0, [0; 4], &target.octets());
    Packet::other(IpAddr::V6(CLIENT6), IpAddr::V6(target), 58, bytes).hop_limit(255)
}

pub(crate) fn questions() -> [Vec<u8>; 2] {
    [
        arp_request([10, 0, 0, 9], VIP.octets()),
        solicitation(VIP6).build(),
    ]
}

pub(crate) fn syn(port: u16) -> Vec<u8> {
    Packet::tcp(client(port), service(), SYN).build()
}

/// To the virtual address, but to no service: what the kernel would answer by itself.
fn ping() -> Vec<u8> {
    Packet::other(client(0).ip(), IpAddr::V4(VIP), 1, icmp(8, 0, [0; 4], b"ping")).build()
}

/// A lease, and what becomes of a question for the address, of a SYN to the service, of a ping.
#[test]
fn a_lease_decides_who_answers_and_who_forwards() {
    use Verdict::{DropLeaseExpired, DropSilent, ForwardNew, PassAnswer, PassNoService, PassNotMaster};
    use lease_state::{HANDING_OVER, HELD, VACANT};
    // Each lease is made when its turn comes: the clock goes on meanwhile.
    let fresh = |state, age| move || lease(state, age);
    let off = || Lease {
        interval: 0,
        ..lease(HELD, EXPIRED)
    };
    let succeeded = || Lease {
        successor_at: boot_now(),
        ..lease(HELD, 2 * SECOND)
    };
    let cases: [(&str, &dyn Fn() -> Lease, [Verdict; 3]); 10] = [
        (
            "vacant",
            &fresh(VACANT, 0),
            [PassNotMaster, PassNotMaster, PassNotMaster],
        ),
        (
            "vacant for long",
            &fresh(VACANT, EXPIRED),
            [PassNotMaster, PassNotMaster, PassNotMaster],
        ),
        ("held", &fresh(HELD, 0), [PassAnswer, ForwardNew, PassNoService]),
        (
            "held, overdue",
            &fresh(HELD, 3 * SECOND),
            [PassAnswer, ForwardNew, PassNoService],
        ),
        (
            "held, succeeded",
            &succeeded,
            [DropSilent, ForwardNew, DropLeaseExpired],
        ),
        (
            "held, half run out",
            &fresh(HELD, HALF_EXPIRED),
            [DropSilent, ForwardNew, DropLeaseExpired],
        ),
        (
            "held, run out",
            &fresh(HELD, EXPIRED),
            [DropSilent, DropLeaseExpired, DropLeaseExpired],
        ),
        ("held, endless", &off, [PassAnswer, ForwardNew, PassNoService]),
        (
            "handing over",
            &fresh(HANDING_OVER, 0),
            [DropSilent, ForwardNew, PassNoService],
        ),
        (
            "handing over, run out",
            &fresh(HANDING_OVER, EXPIRED),
            [DropSilent, DropLeaseExpired, PassNoService],
        ),
    ];
    for (what, lease, [answer, forward, other]) in cases {
        println!("{what}");
        let mut world = World::new();
        world.lease(lease());
        for question in questions() {
            world.expect(&question, answer);
        }
        if forward == ForwardNew {
            world.expect_forwarded(&syn(1), forward, REALS[0]);
        } else {
            world.expect(&syn(1), forward);
        }
        world.expect(&ping(), other);
    }
}

#[test]
fn a_lease_that_runs_out_stops_known_connections_too_and_resets_nobody() {
    let mut world = World::new();
    let ack = Packet::tcp(client(1), service(), ACK).build();
    world.expect_forwarded(&syn(1), Verdict::ForwardNew, REALS[0]);
    world.expect_forwarded(&ack, Verdict::ForwardFlow, REALS[0]);
    world.lease(lease(lease_state::HELD, EXPIRED));
    world.expect(&ack, Verdict::DropLeaseExpired);
    world.expect(
        &Packet::tcp(client(2), service(), ACK).build(),
        Verdict::DropLeaseExpired,
    );
    world.lease(lease(lease_state::HELD, 0));
    world.expect_forwarded(&ack, Verdict::ForwardFlow, REALS[0]);
}

#[test]
fn a_service_without_a_virtual_router_never_expires() {
    let mut world = World::new();
    world.lease(lease(lease_state::VACANT, EXPIRED));
    world.unguard(TCP4);
    world.expect_forwarded(&syn(1), Verdict::ForwardNew, REALS[0]);
    world.dataplane.put_address(address(IpAddr::V4(VIP)), NO_LEASE);
    world.expect(&arp_request([10, 0, 0, 9], VIP.octets()), Verdict::PassAnswer);
    world.expect(&ping(), Verdict::PassNoService);
}

#[test]
fn questions_for_other_addresses_are_the_kernels() {
    let mut world = World::new();
    world.lease(lease(lease_state::HELD, EXPIRED));
    world.expect(&arp_request(VIP.octets(), [10, 0, 0, 1]), Verdict::PassNotOurs);
    world.expect(&arp(2, VIP.octets(), VIP.octets()), Verdict::PassNotOurs);
    world.expect(
        &solicitation("fd00::1".parse().unwrap()).build(),
        Verdict::PassNotOurs,
    );
    let request = arp_request([10, 0, 0, 9], VIP.octets());
    for length in 14..request.len() {
        world.expect(&request[..length], Verdict::PassNotOurs);
    }
    for (at, byte) in [(15, 6), (16, 9), (18, 8), (19, 16), (21, 3)] {
        let mut strange = request.clone();
        strange[at] = byte;
        world.expect(&strange, Verdict::PassNotOurs);
    }
}

#[test]
fn a_solicitation_that_crossed_a_router_is_none() {
    let mut world = World::new();
    world.expect(&solicitation(VIP6).hop_limit(254).build(), Verdict::PassNoService);
    let mut short = solicitation(VIP6).build();
    short.truncate(short.len() - 1);
    short[19] -= 1;
    world.expect(&short, Verdict::PassNoService);
}
