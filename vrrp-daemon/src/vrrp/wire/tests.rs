use proptest::prelude::*;

use super::*;
use crate::vrrp::fixtures::*;

const VIRTUAL: IpAddr = v4(100);
const FIRST: IpAddr = v4(1);
const SECOND: IpAddr = v4(2);

/// The length of an IPv4 header without options.
const IP_HEADER: usize = 20;

const fn v4(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, host))
}

/// The whole IPv4 packet in which `advertisement` travels.
fn packet(advertisement: &Advertisement, source: IpAddr) -> Vec<u8> {
    let message = advertisement.emit(source);
    let (IpAddr::V4(source), IpAddr::V4(group)) = (source, multicast_group(AddressFamily::Ipv4)) else {
        panic!("IPv4")
    };
    let mut packet = Datagram::ipv4_header(source, group, &message).to_vec();
    packet.extend(message);
    packet
}

/// Where a packet comes from and what it says.
fn parse(packet: &[u8]) -> Result<(IpAddr, Advertisement), Error> {
    let datagram = Datagram::of_ipv4(packet).expect("a whole packet");
    Ok((datagram.source, Advertisement::parse(&datagram)?))
}

fn advertisement(version: Version, priority: u8, centiseconds: u16, addresses: &[IpAddr]) -> Advertisement {
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
fn captured() -> Vec<(&'static [u8], IpAddr, Advertisement)> {
    let (second, third) = (v4(101), v4(102));
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
    let checksum = checksum(sum_of_slice(message));
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[test]
fn what_keepalived_sends_is_understood() {
    for (packet, source, advertisement) in captured() {
        assert_eq!(parse(packet), Ok((source, advertisement)));
    }
}

#[test]
fn what_is_sent_is_what_keepalived_sends() {
    for (captured, source, advertisement) in captured() {
        assert_eq!(normalized(&packet(&advertisement, source)), normalized(captured));
    }
}

#[test]
fn the_header_checksum_is_right() {
    let packet = packet(&advertisement(Version::V3, 150, 100, &[VIRTUAL]), FIRST);
    assert_eq!(checksum(sum_of_slice(&packet[..IP_HEADER])), 0);
}

#[test]
fn the_padding_of_a_short_frame_is_ignored() {
    for (packet, _, advertisement) in captured() {
        let mut padded = packet.to_vec();
        padded.extend([0xa5; 18]);
        assert_eq!(parse(&padded).unwrap().1, advertisement);
    }
}

#[test]
fn options_of_the_ip_header_are_skipped() {
    let mut packet = V3_150.to_vec();
    packet[0] = 0x46;
    packet[3] += 4;
    packet.splice(IP_HEADER..IP_HEADER, [0x94, 4, 0, 0]);
    assert_eq!(parse(&packet).unwrap().1.priority.get(), 150);
}

#[test]
fn version_3_may_leave_out_the_pseudo_header() {
    let packet = altered(V3_150, |_| ());
    assert_ne!(packet, V3_150);
    assert_eq!(parse(&packet), parse(V3_150));
}

#[test]
fn version_2_never_has_a_pseudo_header() {
    let mut packet = V2_NO_AUTHENTICATION.to_vec();
    let message = &mut packet[IP_HEADER..];
    message[6..8].fill(0);
    let checksum = checksum(sum_of_slice(message) + pseudo_header(FIRST, message.len()));
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(parse(&packet), Err(Error::Checksum));
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
    let unicast = SECOND;
    let cases = [
        (header(8, 254), Error::HopLimit(254)),
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
        assert_eq!(parse(&packet), Err(error), "{packet:02x?}");
    }
    let nothing = packet(&advertisement(Version::V3, 100, 100, &[]), FIRST);
    assert_eq!(parse(&nothing), Err(Error::Addresses));

    for no_packet in [
        header(0, 0x65),
        header(0, 0x44),
        header(3, 41),
        header(3, 19),
        V2_AH.to_vec(),
    ] {
        assert_eq!(Datagram::of_ipv4(&no_packet), None, "{no_packet:02x?}");
    }
}

/// A datagram of IPv6 to `destination`; the socket tells what its header said.
fn of_ipv6<'a>(source: &str, destination: &str, payload: &'a [u8]) -> Datagram<'a> {
    Datagram {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        hop_limit: 255,
        payload,
    }
}

#[test]
fn version_3_travels_over_ipv6() {
    let addresses = ["fe80::3", "fd00::3"].map(|address| address.parse().unwrap());
    let advertisement = advertisement(Version::V3, 150, 100, &addresses);
    let message = advertisement.emit("fe80::1".parse().unwrap());
    assert_eq!(message.len(), 8 + 2 * 16);
    let parse = |datagram| Advertisement::parse(&datagram);
    assert_eq!(parse(of_ipv6("fe80::1", "ff02::12", &message)), Ok(advertisement));
    // Its checksum always covers the pseudo-header (RFC 9568, section 5.2.8).
    assert_eq!(
        parse(of_ipv6("fe80::2", "ff02::12", &message)),
        Err(Error::Checksum)
    );
    let other = "ff02::1".parse().unwrap();
    assert_eq!(
        parse(of_ipv6("fe80::1", "ff02::1", &message)),
        Err(Error::Destination(other))
    );
}

#[test]
fn version_2_does_not_travel_over_ipv6() {
    let message = advertisement(Version::V2, 150, 100, &[]).emit("fe80::1".parse().unwrap());
    let datagram = of_ipv6("fe80::1", "ff02::12", &message);
    assert_eq!(Advertisement::parse(&datagram), Err(Error::Version(2)));
}

#[test]
fn more_addresses_than_the_count_can_say_are_left_out() {
    let addresses: Vec<IpAddr> = (0..300)
        .map(|host| Ipv4Addr::from(0x0a00_0000 + host).into())
        .collect();
    let packet = packet(&advertisement(Version::V3, 100, 100, &addresses), FIRST);
    assert_eq!(parse(&packet).unwrap().1.addresses, addresses[..255]);
}

fn any_advertisement() -> impl Strategy<Value = Advertisement> {
    let addresses = proptest::collection::vec(
        any::<u32>().prop_map(|address| Ipv4Addr::from(address).into()),
        1..20,
    );
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
        let source = Ipv4Addr::from(source).into();
        let parsed = parse(&packet(&advertisement, source));
        prop_assert_eq!(parsed, Ok((source, advertisement)));
    }

    #[test]
    fn a_flipped_bit_of_the_message_is_noticed(advertisement in any_advertisement(), source: u32, bit: usize) {
        let source = Ipv4Addr::from(source).into();
        let mut packet = packet(&advertisement, source);
        // Of few sources, the pseudo-header adds as much to the sum as one bit does, and the checksum that a flip
        // breaks in one of its forms holds in the other.
        let added = !checksum(pseudo_header(source, packet.len() - IP_HEADER));
        prop_assume!(!(0..16).any(|place| added == 1 << place || !added == 1 << place));
        let bit = bit % ((packet.len() - IP_HEADER) * 8);
        packet[IP_HEADER + bit / 8] ^= 1 << (bit % 8);
        prop_assert!(parse(&packet).is_err());
    }

    #[test]
    fn no_packet_breaks_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..80), capture in 0_usize..10) {
        let (packet, _, _) = captured()[capture].clone();
        let mut mutated = packet.to_vec();
        for (at, byte) in bytes.iter().enumerate().step_by(3) {
            let length = mutated.len();
            mutated[(at * 7 + usize::from(*byte)) % length] = *byte;
        }
        // None may panic; what they say does not matter here.
        for packet in [&mutated, &bytes] {
            drop(Datagram::of_ipv4(packet).map(|datagram| Advertisement::parse(&datagram)));
        }
        drop(Advertisement::parse_message(&bytes, FIRST));
        drop(Advertisement::parse_message(&bytes, "fe80::1".parse().unwrap()));
    }

    #[test]
    fn a_truncated_packet_is_no_packet(length in 0_usize..40, capture in 0_usize..10) {
        let (packet, _, _) = captured()[capture].clone();
        prop_assume!(length < packet.len());
        prop_assert_eq!(Datagram::of_ipv4(&packet[..length]), None);
    }
}
