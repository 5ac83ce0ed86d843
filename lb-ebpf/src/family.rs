//! What differs between IPv4 and IPv6 once the headers are parsed.

use core::mem::offset_of;

use lb_common::{Address, FlowKey4, FlowKey6, ServiceKey};

use crate::{
    headers::{Ipv4, Ipv6},
    maps::{self, Flows, Key, Nascent},
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
    /// Connections that have shown one packet.
    fn nascent() -> &'static Nascent<Self::Key>;
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
}

/// IPv4.
pub(crate) struct V4;

/// IPv6.
pub(crate) struct V6;

macro_rules! family {
    ($family:ident, $key:ident, $version:literal, $address:ident, $header:ident, $flows:ident, $nascent:ident) => {
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
            fn service(key: &$key) -> Key<ServiceKey> {
                Key(ServiceKey {
                    address: Address::$address(key.virtual_address),
                    port: key.virtual_port,
                    protocol: key.protocol as u8,
                    _reserved: 0,
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
        }
    };
}

family!(V4, FlowKey4, 4, v4, Ipv4, FLOWS4, NASCENT4);
family!(V6, FlowKey6, 6, v6, Ipv6, FLOWS6, NASCENT6);
