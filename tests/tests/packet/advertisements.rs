//! *advertisement*: who is believed to be a successor, and who is not.

use std::net::IpAddr;

use lab::dataplane::boot_now;
use lab::packet::{CUSTOMER_TAG, DIRECTOR_MAC, Packet, SERVICE_TAG};
use lb_common::{Verdict, lease_state};

use crate::answers::{questions, syn};
use crate::world::{LEASE, REALS, SECOND, VIP, VIP6, VRID, World, lease};

const PASSWORD: [u8; 8] = *b"secret\0\0";

/// An advertisement to be.
#[derive(Clone)]
struct Advertisement {
    version: u8,
    kind: u8,
    virtual_router_id: u8,
    priority: u8,
    source: IpAddr,
    destination: IpAddr,
    addresses: Vec<IpAddr>,
    password: Option<[u8; 8]>,
    pseudo_header: bool,
    hop_limit: u8,
    tags: Vec<(u16, u16)>,
    /// A bit of the frame that is turned afterwards: the byte, and the bit in it.
    damage: Option<(usize, u8)>,
}

fn v2() -> Advertisement {
    Advertisement {
        version: 2,
        kind: 1,
        virtual_router_id: VRID,
        priority: 100,
        source: "10.0.0.2".parse().unwrap(),
        destination: "224.0.0.18".parse().unwrap(),
        addresses: vec![VIP.into()],
        password: None,
        pseudo_header: false,
        hop_limit: 255,
        tags: Vec::new(),
        damage: None,
    }
}

/// As Keepalived sends it.
fn v3() -> Advertisement {
    Advertisement {
        version: 3,
        pseudo_header: true,
        ..v2()
    }
}

fn v3_ipv6() -> Advertisement {
    Advertisement {
        source: "fe80::2".parse().unwrap(),
        destination: "ff02::12".parse().unwrap(),
        addresses: vec!["fe80::100".parse().unwrap(), VIP6.into()],
        ..v3()
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

impl Advertisement {
    fn frame(&self) -> Vec<u8> {
        let mut message = vec![
            self.version << 4 | self.kind,
            self.virtual_router_id,
            self.priority,
            self.addresses.len() as u8,
        ];
        match self.version {
            2 => message.extend([self.password.is_some().into(), 1]),
            _ => message.extend(100_u16.to_be_bytes()),
        }
        message.extend([0, 0]);
        message.extend(self.addresses.iter().flat_map(|address| octets(*address)));
        if self.version == 2 {
            message.extend(self.password.unwrap_or_default());
        }
        let mut summed = message.clone();
        if self.pseudo_header {
            summed.extend(octets(self.source));
            summed.extend(octets(self.destination));
            summed.extend(112_u16.to_be_bytes());
            summed.extend((message.len() as u16).to_be_bytes());
        }
        let sum: u32 = summed
            .chunks(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        message[6..8].copy_from_slice(&(!(folded as u16)).to_be_bytes());
        let mut packet = Packet::other(self.source, self.destination, 112, message).hop_limit(self.hop_limit);
        for (ether_type, vlan) in &self.tags {
            packet = packet.tagged(*ether_type, *vlan);
        }
        let mut frame = packet.build();
        if let Some((offset, change)) = self.damage {
            frame[offset] ^= change;
        }
        frame
    }
}

/// Sends an advertisement to a master whose own is overdue, and whose peers are to be as `version` and `password` say.
/// Returns whether it was taken for a successor's.
#[track_caller]
fn is_believed(
    world: &mut World,
    version: u8,
    password: Option<[u8; 8]>,
    advertisement: &Advertisement,
    verdict: Verdict,
) -> bool {
    for ip_version in [4, 6] {
        world.virtual_router(ip_version, 0, version, password);
    }
    hears(world, &advertisement.frame(), verdict)
}

/// The same, whatever the peers are to be.
#[track_caller]
fn hears(world: &mut World, frame: &[u8], verdict: Verdict) -> bool {
    world.lease(lease(lease_state::HELD, 2 * SECOND));
    world.expect(&questions()[0], Verdict::PassAnswer);
    world.expect(frame, verdict);
    let is_successor = world.dataplane.lease(LEASE).successor_at != 0;
    let answer = if is_successor {
        assert!(boot_now() - world.dataplane.lease(LEASE).successor_at < SECOND);
        Verdict::DropSilent
    } else {
        Verdict::PassAnswer
    };
    for question in questions() {
        world.expect(&question, answer);
    }
    is_successor
}

#[test]
fn a_peer_that_advertises_while_we_are_overdue_is_our_successor() {
    let many = Advertisement {
        addresses: (1..=20).map(|last| IpAddr::from([10, 0, 0, last])).collect(),
        ..v3()
    };
    // RFC 9568 sums the message alone.
    let by_the_rfc = Advertisement {
        pseudo_header: false,
        ..v3()
    };
    let with_password = Advertisement {
        password: Some(PASSWORD),
        ..v2()
    };
    let in_no_vlan = Advertisement {
        tags: vec![(CUSTOMER_TAG, 7 << 13)],
        ..v3()
    };
    let cases = [
        ("version 2", 2, None, v2()),
        ("version 2 with a password", 2, Some(PASSWORD), with_password),
        ("version 3", 3, None, v3()),
        ("version 3, by the RFC", 3, None, by_the_rfc),
        ("version 3, twenty addresses", 3, None, many),
        (
            "version 3, in a tag that tells a priority only",
            3,
            None,
            in_no_vlan,
        ),
        ("version 3 over IPv6", 3, None, v3_ipv6()),
        (
            "the lowest priority",
            3,
            None,
            Advertisement { priority: 1, ..v3() },
        ),
    ];
    let mut world = World::new();
    for (what, version, password, advertisement) in cases {
        println!("{what}");
        assert!(is_believed(
            &mut world,
            version,
            password,
            &advertisement,
            Verdict::PassAdvertisement
        ));
    }
    world.expect_forwarded(&syn(1), Verdict::ForwardNew, REALS[0]);
}

#[test]
fn no_other_advertisement_is_a_successors() {
    use Verdict::{PassAdvertisement, PassNoService, PassNotOurs, PassOtherHost};
    let of = |change: fn(&mut Advertisement)| {
        let mut advertisement = v2();
        change(&mut advertisement);
        advertisement
    };
    let cases = [
        (
            "of another virtual router",
            of(|it| it.virtual_router_id += 1),
            PassAdvertisement,
        ),
        ("a farewell", of(|it| it.priority = 0), PassNotOurs),
        (
            "of no version that there is",
            of(|it| it.version = 4),
            PassNotOurs,
        ),
        ("of another type", of(|it| it.kind = 2), PassNotOurs),
        ("through a router", of(|it| it.hop_limit = 254), PassNotOurs),
        ("to us alone", of(|it| it.destination = VIP.into()), PassNoService),
        (
            "to another group",
            of(|it| it.destination = "224.0.0.5".parse().unwrap()),
            PassNotOurs,
        ),
        (
            "of the other version",
            Advertisement {
                pseudo_header: false,
                ..v3()
            },
            PassAdvertisement,
        ),
        (
            "with a password that we do not have",
            of(|it| it.password = Some(PASSWORD)),
            PassAdvertisement,
        ),
        (
            "in a VLAN",
            of(|it| it.tags = vec![(CUSTOMER_TAG, 7)]),
            PassAdvertisement,
        ),
        (
            "in two tags",
            of(|it| it.tags = vec![(SERVICE_TAG, 7), (CUSTOMER_TAG, 0)]),
            PassAdvertisement,
        ),
        (
            "with a wrong checksum",
            of(|it| it.damage = Some((14 + 20 + 11, 1))),
            PassAdvertisement,
        ),
    ];
    let mut world = World::new();
    for (what, advertisement, verdict) in cases {
        println!("{what}");
        // What is to nobody that the world knows is not ours; a frame to us is looked at.
        assert_ne!(verdict, PassOtherHost);
        assert!(!is_believed(&mut world, 2, None, &advertisement, verdict));
    }
    println!("without the password, with a wrong one, and over IPv6 with a wrong checksum");
    assert!(!is_believed(
        &mut world,
        2,
        Some(PASSWORD),
        &v2(),
        PassAdvertisement
    ));
    let wrong = of(|it| it.password = Some(*b"secre\0\0\0"));
    assert!(!is_believed(
        &mut world,
        2,
        Some(PASSWORD),
        &wrong,
        PassAdvertisement
    ));
    let damaged = Advertisement {
        damage: Some((14 + 40 + 8, 1)),
        ..v3_ipv6()
    };
    assert!(!is_believed(&mut world, 3, None, &damaged, PassAdvertisement));
}

#[test]
fn an_echo_of_our_own_advertisement_is_no_successors() {
    let mut world = World::new();
    let mut frame = v3().frame();
    frame[6..12].copy_from_slice(&DIRECTOR_MAC);
    assert!(!hears(&mut world, &frame, Verdict::PassAdvertisement));
}

#[test]
fn an_advertisement_is_its_vlans() {
    let mut world = World::new();
    world.virtual_router(4, 7, 3, None);
    let tagged = |vlan| Advertisement {
        tags: vec![(CUSTOMER_TAG, vlan)],
        ..v3()
    };
    assert!(!hears(&mut world, &tagged(8).frame(), Verdict::PassAdvertisement));
    assert!(hears(&mut world, &tagged(7).frame(), Verdict::PassAdvertisement));
}

#[test]
fn who_is_not_overdue_or_no_master_has_no_successor() {
    let leases = [
        ("we are not overdue", lease_state::HELD, 0),
        ("we hand over", lease_state::HANDING_OVER, 2 * SECOND),
        ("we are a backup", lease_state::VACANT, 2 * SECOND),
    ];
    let mut world = World::new();
    for (what, state, age) in leases {
        println!("{what}");
        world.lease(lease(state, age));
        world.expect(&v3().frame(), Verdict::PassAdvertisement);
        assert_eq!(world.dataplane.lease(LEASE).successor_at, 0);
    }
}

#[test]
fn an_advertisement_cut_short_anywhere_is_no_successors() {
    let mut world = World::new();
    world.virtual_router(4, 0, 2, Some(PASSWORD));
    let whole = Advertisement {
        password: Some(PASSWORD),
        ..v2()
    }
    .frame();
    world.lease(lease(lease_state::HELD, 2 * SECOND));
    for length in 34..whole.len() {
        let mut cut = whole[..length].to_vec();
        cut[16..18].copy_from_slice(&(length as u16 - 14).to_be_bytes());
        world.dataplane.run(&cut);
    }
    assert_eq!(world.dataplane.lease(LEASE).successor_at, 0);
    world.dataplane.run(&whole);
    assert_ne!(world.dataplane.lease(LEASE).successor_at, 0);
}
