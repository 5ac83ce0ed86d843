//! What differs between IPv4 and IPv6 once the headers are parsed.

use core::mem::offset_of;

use lb_common::{Address, FlowKey4, FlowKey6, ServiceKey, checksum};

use crate::{
    headers::{Ipv4, Ipv6},
    maps::{self, Closing, Datagrams, Flows, Key, Nascent},
    packet::Packet,
};

/// An IP version, with its flow key and its flow tables.
pub(crate) trait Family {
    /// What identifies a connection.
    type Key: Copy + 'static;
    /// 4 or 6.
    const VERSION: u8;
    /// Where the IP header has the source address.
    const SOURCE: usize;
    /// Where the IP header has the destination address.
    const DESTINATION: usize;

    /// Connections that have gone beyond their first packet.
    fn flows() -> &'static Flows<Self::Key>;
    /// TCP connections that have shown one packet.
    fn nascent() -> &'static Nascent<Self::Key>;
    /// UDP "connections" that have shown one packet.
    fn datagrams() -> &'static Datagrams<Self::Key>;
    /// Connections that the client has closed.
    fn closing() -> &'static Closing<Self::Key>;
    /// The service that a connection belongs to.
    fn service(key: &Self::Key) -> Key<ServiceKey>;
    /// The client's address.
    fn client(key: &Self::Key) -> Address;
    /// The virtual address.
    fn virtual_address(key: &Self::Key) -> Address;
    /// The address at an offset.
    fn address_at(packet: &Packet, offset: usize) -> Option<Address>;
    /// TCP or UDP.
    fn protocol(key: &Self::Key) -> u32;
    /// Takes one hop of the IP packet whose header begins at `network`, and returns its length from there on; `None` if
    /// it has no hop to spare.
    fn hop(packet: &mut Packet, network: usize) -> Option<u64>;
}

/// IPv4.
pub(crate) struct V4;

/// IPv6.
pub(crate) struct V6;

macro_rules! family {
    (
        $family:ident, $key:ident, $version:literal, $address:ident, $header:ident, $flows:ident, $nascent:ident,
        $datagrams:ident, $closing:ident, $hop:ident
    ) => {
        impl Family for $family {
            type Key = $key;
            const VERSION: u8 = $version;
            const SOURCE: usize = offset_of!($header, source);
            const DESTINATION: usize = offset_of!($header, destination);

            #[inline(always)]
            fn flows() -> &'static Flows<$key> {
                &maps::$flows
            }

            #[inline(always)]
            fn nascent() -> &'static Nascent<$key> {
                &maps::$nascent
            }

            #[inline(always)]
            fn datagrams() -> &'static Datagrams<$key> {
                &maps::$datagrams
            }

            #[inline(always)]
            fn closing() -> &'static Closing<$key> {
                &maps::$closing
            }

            #[inline(always)]
            fn service(key: &$key) -> Key<ServiceKey> {
                Key::whole(ServiceKey {
                    address: Address::$address(key.virtual_address),
                    port: key.virtual_port,
                    _reserved: 0,
                    protocol: key.protocol,
                })
            }

            #[inline(always)]
            fn client(key: &$key) -> Address {
                Address::$address(key.client_address)
            }

            #[inline(always)]
            fn virtual_address(key: &$key) -> Address {
                Address::$address(key.virtual_address)
            }

            #[inline(always)]
            fn address_at(packet: &Packet, offset: usize) -> Option<Address> {
                packet.read(offset).map(Address::$address)
            }

            #[inline(always)]
            fn protocol(key: &$key) -> u32 {
                key.protocol
            }

            #[inline(always)]
            fn hop(packet: &mut Packet, network: usize) -> Option<u64> {
                $hop(packet, network)
            }
        }
    };
}

family!(
    V4, FlowKey4, 4, v4, Ipv4, FLOWS4, NASCENT4, DATAGRAMS4, CLOSING4, hop4
);
family!(
    V6, FlowKey6, 6, v6, Ipv6, FLOWS6, NASCENT6, DATAGRAMS6, CLOSING6, hop6
);

#[inline(always)]
fn hop4(packet: &mut Packet, network: usize) -> Option<u64> {
    let ip: Ipv4 = packet.read(network)?;
    if ip.time_to_live <= 1 {
        return None;
    }
    // The protocol is between the two that change: one store for all.
    let [high, low] = checksum::after_hop(ip.checksum.get()).to_be_bytes();
    let changed = u32::from_ne_bytes([ip.time_to_live - 1, ip.protocol, high, low]);
    packet.write(network + offset_of!(Ipv4, time_to_live), changed)?;
    Some(u64::from(ip.total_length.get()))
}

#[inline(always)]
fn hop6(packet: &mut Packet, network: usize) -> Option<u64> {
    let ip: Ipv6 = packet.read(network)?;
    if ip.hop_limit <= 1 {
        return None;
    }
    packet.write(network + offset_of!(Ipv6, hop_limit), ip.hop_limit - 1)?;
    Some(size_of::<Ipv6>() as u64 + u64::from(ip.payload_length.get()))
}
