//! What differs between IPv4 and IPv6 once the headers are parsed.

use core::mem::offset_of;

use lb_common::{Address, Connection, FlowKey4, FlowKey6, FlowName, ServiceKey, checksum};

use crate::{
    extensions,
    headers::{Ipv4, Ipv6, Ports},
    maps::{Beginning, Key},
    packet::Packet,
};

/// An IP version, with its flow key.
pub(crate) trait Family {
    /// What identifies a connection.
    type Key: Connection + Copy + 'static;
    /// 4 or 6.
    const VERSION: u8;
    /// Where the IP header has the source address.
    const SOURCE: usize;
    /// Where the IP header has the destination address.
    const DESTINATION: usize;

    /// The service that a connection belongs to.
    fn service(key: &Self::Key) -> Key<ServiceKey>;
    /// The connection of a packet whose IP header is at `network`, and whose transport header is at `transport`.
    fn key_at(packet: &Packet, network: usize, transport: usize, protocol: u8) -> Option<Self::Key>;
    /// Where the key of a connection that begins is kept.
    fn beginning(beginning: &mut Beginning) -> &mut Self::Key;
    /// What the fragments of the packet whose IP header is at `network` have in common.
    fn identification(packet: &Packet, network: usize) -> Option<u32>;
    /// What a connection is called.
    fn name(key: &Self::Key) -> FlowName;
    /// The virtual address.
    fn virtual_address(key: &Self::Key) -> Address;
    /// The address at an offset.
    fn address_at(packet: &Packet, offset: usize) -> Option<Address>;
    /// TCP, UDP or SCTP.
    fn protocol(key: &Self::Key) -> u32;
    /// The length of the IP packet whose header begins at `network`, from there on.
    fn length(packet: &Packet, network: usize) -> Option<u64>;
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
        $family:ident, $key:ident, $version:literal, $address:ident, $header:ident, $length:ident,
        $hop:ident, $identification:ident
    ) => {
        impl Family for $family {
            type Key = $key;
            const VERSION: u8 = $version;
            const SOURCE: usize = offset_of!($header, source);
            const DESTINATION: usize = offset_of!($header, destination);

            #[inline(always)]
            fn service(key: &$key) -> Key<ServiceKey> {
                Key::whole(ServiceKey {
                    address: Address::$address(key.virtual_address),
                    port: key.virtual_port,
                    last_port: 0,
                    protocol: key.protocol,
                })
            }

            #[inline(always)]
            fn key_at(packet: &Packet, network: usize, transport: usize, protocol: u8) -> Option<$key> {
                let ip: $header = packet.read(network)?;
                let ports: Ports = packet.read(transport)?;
                Some($key {
                    client_address: ip.source,
                    virtual_address: ip.destination,
                    client_port: ports.source.get(),
                    virtual_port: ports.destination.get(),
                    protocol: u32::from(protocol),
                })
            }

            #[inline(always)]
            fn beginning(beginning: &mut Beginning) -> &mut $key {
                &mut beginning.$address
            }

            #[inline(always)]
            fn identification(packet: &Packet, network: usize) -> Option<u32> {
                $identification(packet, network)
            }

            #[inline(always)]
            fn name(key: &$key) -> FlowName {
                FlowName {
                    client_address: Address::$address(key.client_address),
                    client_port: key.client_port,
                    virtual_port: key.virtual_port,
                    _reserved: 0,
                }
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
            fn length(packet: &Packet, network: usize) -> Option<u64> {
                packet.read(network).map($length)
            }

            #[inline(always)]
            fn hop(packet: &mut Packet, network: usize) -> Option<u64> {
                $hop(packet, network)
            }
        }
    };
}

family!(V4, FlowKey4, 4, v4, Ipv4, length4, hop4, identification4);
family!(V6, FlowKey6, 6, v6, Ipv6, length6, hop6, identification6);

#[inline(always)]
fn identification4(packet: &Packet, network: usize) -> Option<u32> {
    let ip: Ipv4 = packet.read(network)?;
    Some(u32::from(ip.identification.get()))
}

#[inline(always)]
fn identification6(packet: &Packet, network: usize) -> Option<u32> {
    let ip: Ipv6 = packet.read(network)?;
    let chain = extensions::follow(packet, ip.next_header, network + size_of::<Ipv6>())?;
    Some(chain.identification)
}

#[inline(always)]
fn length4(ip: Ipv4) -> u64 {
    u64::from(ip.total_length.get())
}

#[inline(always)]
fn length6(ip: Ipv6) -> u64 {
    size_of::<Ipv6>() as u64 + u64::from(ip.payload_length.get())
}

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
    Some(length4(ip))
}

#[inline(always)]
fn hop6(packet: &mut Packet, network: usize) -> Option<u64> {
    let ip: Ipv6 = packet.read(network)?;
    if ip.hop_limit <= 1 {
        return None;
    }
    packet.write(network + offset_of!(Ipv6, hop_limit), ip.hop_limit - 1)?;
    Some(length6(ip))
}
