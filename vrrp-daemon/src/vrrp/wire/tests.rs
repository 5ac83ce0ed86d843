use proptest::prelude::*;

use super::*;
use crate::vrrp::fixtures::*;

const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

fn advertisement(version: Version, priority: u8, centiseconds: u16, addresses: &[Ipv4Addr]) -> Advertisement {
    Advertisement {
        version,
        virtual_router_id: VirtualRouterId::new(51).unwrap(),
        priority: Priority::new(priority),
        interval: Interval::from_centiseconds(centiseconds).unwrap(),
        password: None,
        addresses: addresses.to_vec(),
    }
}

fn with_password(advertisement: Advertisement) -> Advertisement {
    Advertisement {
        password: Some(Password::new("lbdtest1")),
        ..advertisement
    }
}

/// Every capture with what it says.
fn captured() -> Vec<(&'static [u8], Ipv4Addr, Advertisement)> {
    let second = Ipv4Addr::new(10, 77, 0, 101);
    let third = Ipv4Addr::new(10, 77, 0, 102);
    let v2 = |priority, addresses: &[_]| advertisement(Version::V2, priority, 100, addresses);
    let v3 = |priority, interval, addresses: &[_]| advertisement(Version::V3, priority, interval, addresses);
    vec![
        (V2_PASS_150, FIRST, with_password(v2(150, &[VIRTUAL]))),
        (V2_PASS_RESIGN, FIRST, with_password(v2(0, &[VIRTUAL]))),
        (V2_PASS_100, SECOND, with_password(v2(100, &[VIRTUAL]))),
        (V2_NO_AUTHENTICATION, FIRST, v2(150, &[VIRTUAL])),
        (
            V2_THREE_ADDRESSES,
            FIRST,
            with_password(v2(150, &[VIRTUAL, second, third])),
        ),
        (V3_150, FIRST, v3(150, 100, &[VIRTUAL])),
        (V3_RESIGN, FIRST, v3(0, 100, &[VIRTUAL])),
        (V3_TWO_ADDRESSES, SECOND, v3(100, 100, &[VIRTUAL, second])),
        (V3_100_MILLISECONDS, FIRST, v3(150, 10, &[VIRTUAL])),
        (V3_OWNER, FIRST, v3(255, 100, &[VIRTUAL])),
    ]
}

/// The packet without what the kernel fills in: identification and header checksum.
fn normalized(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[4..6].fill(0);
    packet[10..12].fill(0);
    packet
}

/// `packet` with `change` made to its VRRP message and the checksum made good again.
fn altered(packet: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let message = &mut packet[IP_HEADER..];
    change(message);
    message[6..8].fill(0);
    let checksum = !fold(sum(message));
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[test]
fn what_keepalived_sends_is_understood() {
    for (packet, source, advertisement) in captured() {
        assert_eq!(
            Advertisement::parse(packet),
            Ok(Received {
                source,
                advertisement
            })
        );
    }
}

#[test]
fn what_is_sent_is_what_keepalived_sends() {
    for (packet, source, advertisement) in captured() {
        assert_eq!(normalized(&advertisement.packet(source)), normalized(packet));
    }
}

#[test]
fn the_header_checksum_is_right() {
    let packet = advertisement(Version::V3, 150, 100, &[VIRTUAL]).packet(FIRST);
    assert_eq!(fold(sum(&packet[..IP_HEADER])), u16::MAX);
}

#[test]
fn the_padding_of_a_short_frame_is_ignored() {
    for (packet, _, advertisement) in captured() {
        let mut padded = packet.to_vec();
        padded.extend([0xa5; 18]);
        assert_eq!(
            Advertisement::parse(&padded).unwrap().advertisement,
            advertisement
        );
    }
}

#[test]
fn options_of_the_ip_header_are_skipped() {
    let mut packet = V3_150.to_vec();
    packet[0] = 0x46;
    packet[3] += 4;
    packet.splice(IP_HEADER..IP_HEADER, [0x94, 4, 0, 0]);
    assert_eq!(
        Advertisement::parse(&packet)
            .unwrap()
            .advertisement
            .priority
            .get(),
        150
    );
}

#[test]
fn version_3_may_leave_out_the_pseudo_header() {
    let packet = altered(V3_150, |_| ());
    assert_ne!(packet, V3_150);
    assert_eq!(Advertisement::parse(&packet), Advertisement::parse(V3_150));
}

#[test]
fn version_2_never_has_a_pseudo_header() {
    let mut packet = V2_NO_AUTHENTICATION.to_vec();
    let message = &mut packet[IP_HEADER..];
    message[6..8].fill(0);
    let checksum = !fold(sum(message) + pseudo_header_sum(FIRST, message.len()));
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(Advertisement::parse(&packet), Err(Error::Checksum));
}

#[test]
fn each_broken_rule_has_its_error() {
    let header = |offset: usize, value: u8| {
        let mut packet = V2_NO_AUTHENTICATION.to_vec();
        packet[offset] = value;
        packet
    };
    let message = |offset: usize, value: u8| altered(V2_NO_AUTHENTICATION, |message| message[offset] = value);
    let version_3 = |offset: usize, value: u8| altered(V3_150, |message| message[offset] = value);
    let unicast = Ipv4Addr::new(10, 77, 0, 2);
    let cases = [
        (header(0, 0x65), Error::Packet),
        (header(0, 0x44), Error::Packet),
        (header(3, 41), Error::Packet),
        (header(3, 19), Error::Packet),
        (header(8, 254), Error::Ttl(254)),
        (V2_AH.to_vec(), Error::Protocol(51)),
        (V2_UNICAST.to_vec(), Error::Destination(unicast)),
        (header(3, 27), Error::Length { length: 7, needed: 8 }),
        (
            header(3, 39),
            Error::Length {
                length: 19,
                needed: 20,
            },
        ),
        (message(0, 0x41), Error::Version(4)),
        (message(0, 0x22), Error::Type(2)),
        (message(1, 0), Error::VirtualRouterId),
        (
            message(3, 2),
            Error::Length {
                length: 20,
                needed: 24,
            },
        ),
        (message(4, 2), Error::AuthenticationType(2)),
        (message(5, 0), Error::Interval),
        (version_3(5, 0), Error::Interval),
        (version_3(3, 0), Error::Checksum),
        (header(IP_HEADER + 2, 151), Error::Checksum),
    ];
    for (packet, error) in cases {
        assert_eq!(Advertisement::parse(&packet), Err(error), "{packet:02x?}");
    }
    let nothing = advertisement(Version::V3, 100, 100, &[]).packet(FIRST);
    assert_eq!(Advertisement::parse(&nothing), Err(Error::Addresses));
}

#[test]
fn more_addresses_than_the_count_can_say_are_left_out() {
    let addresses: Vec<Ipv4Addr> = (0..300).map(|host| Ipv4Addr::from(0x0a00_0000 + host)).collect();
    let packet = advertisement(Version::V3, 100, 100, &addresses).packet(FIRST);
    let received = Advertisement::parse(&packet).unwrap();
    assert_eq!(received.advertisement.addresses, addresses[..255]);
}

fn any_advertisement() -> impl Strategy<Value = Advertisement> {
    let addresses = proptest::collection::vec(any::<u32>().prop_map(Ipv4Addr::from), 1..20);
    let version_2 = (1_u8..=255, proptest::option::of(any::<[u8; 8]>())).prop_map(|(seconds, password)| {
        let interval = Interval::from_seconds(seconds).unwrap();
        (Version::V2, interval, password.map(Password::from_bytes))
    });
    let version_3 =
        (1_u16..=4095).prop_map(|count| (Version::V3, Interval::from_centiseconds(count).unwrap(), None));
    let kind = prop_oneof![version_2, version_3];
    (kind, 1_u8..=255, any::<u8>(), addresses).prop_map(
        |((version, interval, password), id, priority, addresses)| Advertisement {
            version,
            virtual_router_id: VirtualRouterId::new(id).unwrap(),
            priority: Priority::new(priority),
            interval,
            password,
            addresses,
        },
    )
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_understood(advertisement in any_advertisement(), source: u32) {
        let source = Ipv4Addr::from(source);
        let parsed = Advertisement::parse(&advertisement.packet(source));
        prop_assert_eq!(parsed, Ok(Received { source, advertisement }));
    }

    #[test]
    fn a_flipped_bit_of_the_message_is_noticed(advertisement in any_advertisement(), source: u32, bit: usize) {
        let source = Ipv4Addr::from(source);
        let mut packet = advertisement.packet(source);
        let bit = bit % ((packet.len() - IP_HEADER) * 8);
        packet[IP_HEADER + bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(Advertisement::parse(&packet), Ok(Received { source, advertisement }));
    }

    #[test]
    fn no_packet_breaks_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..80), capture in 0_usize..10) {
        let (packet, _, _) = captured()[capture].clone();
        let mut mutated = packet.to_vec();
        for (at, byte) in bytes.iter().enumerate().step_by(3) {
            let length = mutated.len();
            mutated[(at * 7 + usize::from(*byte)) % length] = *byte;
        }
        // Neither may panic; what they say does not matter here.
        drop(Advertisement::parse(&mutated));
        drop(Advertisement::parse(&bytes));
    }

    #[test]
    fn a_truncated_packet_is_no_packet(length in 0_usize..40, capture in 0_usize..10) {
        let (packet, _, _) = captured()[capture].clone();
        prop_assume!(length < packet.len());
        prop_assert_eq!(Advertisement::parse(&packet[..length]), Err(Error::Packet));
    }
}
