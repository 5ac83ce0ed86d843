//! The steps of a plan.

use std::fmt;

use lb_common::{
    Address, AddressEntry, Interface, Peer, Policy, PortsOwner, Prefix, Real, Service, ServiceKey,
    ServicePorts, TunnelSourceKey, VirtualRouterEntry, VirtualRouterKey,
};

use super::{PortsPrefix, ip_address, service_address};
use crate::model::RealSlot;

/// One write to the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Insert or replace an entry of [`lb_common::maps::VIRTUAL_ROUTERS`].
    PutVirtualRouter {
        /// The key.
        key: VirtualRouterKey,
        /// The value.
        entry: VirtualRouterEntry,
    },
    /// Delete an entry of [`lb_common::maps::VIRTUAL_ROUTERS`].
    RemoveVirtualRouter {
        /// The key.
        key: VirtualRouterKey,
    },
    /// Write a slot of [`lb_common::maps::INTERFACES`].
    PutInterface {
        /// The slot.
        index: u32,
        /// The value.
        interface: Interface,
    },
    /// Clear a slot of [`lb_common::maps::INTERFACES`].
    RemoveInterface {
        /// The slot.
        index: u32,
    },
    /// Insert or replace an entry of [`lb_common::maps::TUNNEL_SOURCES`].
    PutTunnelSource {
        /// The key.
        key: TunnelSourceKey,
        /// The value.
        source: Address,
    },
    /// Delete an entry of [`lb_common::maps::TUNNEL_SOURCES`].
    RemoveTunnelSource {
        /// The key.
        key: TunnelSourceKey,
    },
    /// Insert an entry of [`lb_common::maps::PEERS`].
    PutPeer {
        /// The key.
        peer: Peer,
    },
    /// Delete an entry of [`lb_common::maps::PEERS`].
    RemovePeer {
        /// The key.
        peer: Peer,
    },
    /// Insert or replace an entry of [`lb_common::maps::ADDRESSES`].
    PutAddress {
        /// The key.
        address: Address,
        /// The value.
        entry: AddressEntry,
    },
    /// Delete an entry of [`lb_common::maps::ADDRESSES`].
    RemoveAddress {
        /// The key.
        address: Address,
    },
    /// Insert or replace an entry of [`lb_common::maps::ACCESS`].
    PutAccess {
        /// The key.
        prefix: Prefix,
        /// The value.
        access: u32,
    },
    /// Delete an entry of [`lb_common::maps::ACCESS`].
    RemoveAccess {
        /// The key.
        prefix: Prefix,
    },
    /// Replace a slot of [`lb_common::maps::REALS`] in one update.
    PutReal {
        /// The slot.
        slot: RealSlot,
        /// The value.
        real: Real,
    },
    /// Write a slice of [`lb_common::maps::RINGS`] that no service names.
    WriteRing {
        /// The first slot of the slice: a multiple of [`lb_common::RingWord::SLOTS`].
        offset: u32,
        /// What to write there: slots of real servers, or a [`Motion`](super::Motion).
        slots: Vec<u16>,
    },
    /// Insert or replace an entry of [`lb_common::maps::SERVICES`] in one update.
    PutService {
        /// The key.
        key: ServiceKey,
        /// The value.
        service: Service,
    },
    /// Delete an entry of [`lb_common::maps::SERVICES`].
    RemoveService {
        /// The key.
        key: ServiceKey,
    },
    /// Insert or replace an entry of [`lb_common::maps::SERVICE_PORTS`].
    PutPorts {
        /// The key.
        prefix: PortsPrefix,
        /// The value.
        owner: PortsOwner,
    },
    /// Delete an entry of [`lb_common::maps::SERVICE_PORTS`].
    RemovePorts {
        /// The key.
        prefix: PortsPrefix,
    },
    /// Write [`lb_common::maps::POLICY`].
    PutPolicy {
        /// The value.
        policy: Policy,
    },
    /// Set a slot of [`lb_common::maps::SERVICE_STATS`] to zero on all CPUs.
    ClearServiceCounters {
        /// The slot.
        index: u32,
    },
    /// Set a slot of [`lb_common::maps::REAL_STATS`] to zero on all CPUs, and that of [`lb_common::maps::LOADS`].
    ClearRealCounters {
        /// The slot.
        slot: RealSlot,
    },
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutVirtualRouter { key, entry } => write!(
                formatter,
                "virtual router {} on interface {}: lease {}",
                key.virtual_router_id, key.interface, entry.lease
            ),
            Self::RemoveVirtualRouter { key } => write!(
                formatter,
                "remove virtual router {} on interface {}",
                key.virtual_router_id, key.interface
            ),
            Self::PutInterface { index, interface } => {
                write!(formatter, "interface {index}: {}", Mac(interface.mac))
            }
            Self::PutTunnelSource { key, source } => write!(
                formatter,
                "tunnels by interface {} begin at {}",
                key.interface,
                ip_address(*source)
            ),
            Self::RemoveTunnelSource { key } => write!(
                formatter,
                "no tunnels of IPv{} by interface {}",
                key.ip_version, key.interface
            ),
            Self::PutPeer { peer } => {
                write!(
                    formatter,
                    "peer {} on interface {}",
                    Mac(peer.mac),
                    peer.interface
                )
            }
            Self::RemovePeer { peer } => {
                write!(
                    formatter,
                    "remove peer {} on interface {}",
                    Mac(peer.mac),
                    peer.interface
                )
            }
            Self::RemoveInterface { index } => write!(formatter, "remove interface {index}"),
            Self::PutAddress { address, entry } => {
                write!(
                    formatter,
                    "address {}: lease {}",
                    ip_address(*address),
                    entry.lease
                )
            }
            Self::RemoveAddress { address } => write!(formatter, "remove address {}", ip_address(*address)),
            Self::PutAccess { prefix, access } => {
                write!(formatter, "access of {}: {access}", PrefixName(*prefix))
            }
            Self::RemoveAccess { prefix } => write!(formatter, "remove access of {}", PrefixName(*prefix)),
            Self::PutReal { slot, real } => write!(
                formatter,
                "real server {} in slot {slot}: flags {:#x}, generation {}",
                ip_address(real.address),
                real.flags,
                real.generation
            ),
            Self::WriteRing { offset, slots } => {
                write!(formatter, "schedule of {} slots at {offset}", slots.len())
            }
            Self::PutService { key, service } => write!(
                formatter,
                "service {}: schedule of {} slots at {}",
                ServiceName(*key),
                service.ring_length,
                service.ring_offset
            ),
            Self::RemoveService { key } => write!(formatter, "remove service {}", ServiceName(*key)),
            Self::PutPorts { prefix, owner } => write!(
                formatter,
                "{}: service {}, lease {}",
                PortsName(*prefix),
                owner.service,
                owner.lease
            ),
            Self::RemovePorts { prefix } => write!(formatter, "remove {}", PortsName(*prefix)),
            Self::PutPolicy { policy } => write!(formatter, "policy: flags {:#x}", policy.flags),
            Self::ClearServiceCounters { index } => write!(formatter, "clear counters of service {index}"),
            Self::ClearRealCounters { slot } => write!(formatter, "clear counters of real server {slot}"),
        }
    }
}

/// A link-layer address for people.
struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, e, f]) = self;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// A prefix for people.
struct PrefixName(Prefix);

impl fmt::Display for PrefixName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prefix { length, address } = self.0;
        let address = ip_address(address);
        let mapped = if address.is_ipv4() { 96 } else { 0 };
        write!(formatter, "{address}/{}", length.saturating_sub(mapped))
    }
}

/// A service for people, whatever its protocol.
struct ServiceName(ServiceKey);

impl fmt::Display for ServiceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key) = self;
        match service_address(*key) {
            Some(service) => service.fmt(formatter),
            None => write!(
                formatter,
                "{} port {} protocol {}",
                ip_address(key.address),
                key.port,
                key.protocol
            ),
        }
    }
}

/// A part of an address for people.
struct PortsName(PortsPrefix);

impl fmt::Display for PortsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(PortsPrefix { ports, bits }) = self;
        write!(
            formatter,
            "ports {}/{} of {}, protocol {}",
            u16::from_be_bytes(ports.port),
            bits.saturating_sub(ServicePorts::EVERY_PORT),
            ip_address(ports.address),
            u16::from_be_bytes(ports.protocol)
        )
    }
}
