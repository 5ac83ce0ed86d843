//! Between the words of the domain and the keys of the maps.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use lb_common::{
    Address, FlowClock, Policy, ServiceKey, ServicePorts, VirtualRouterEntry, VirtualRouterKey, placement,
    policy_flags, protocol, service_flags,
};

use super::NetworkInterface;
use crate::model::{
    Dataplane, FlowTimeouts, HashOptions, LeaseSlot, Ports, Protocol, RealSlot, Scheduler, ServiceAddress,
    Version, VirtualService, VrrpInstance,
};

const TCP: u32 = protocol::TCP as u32;
const UDP: u32 = protocol::UDP as u32;
const SCTP: u32 = protocol::SCTP as u32;

/// `address` as the maps hold it: IPv4 mapped into IPv6.
#[must_use]
pub const fn map_address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::v4(address.octets()),
        IpAddr::V6(address) => Address::v6(address.octets()),
    }
}

/// The address that a map holds: IPv4 if it is a mapped one.
#[must_use]
pub const fn ip_address(address: Address) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_octets(address.bytes)).to_canonical()
}

/// What [`lb_common::maps::FLOW_CLOCK`] says for these timeouts.
#[must_use]
pub fn flow_clock(timeouts: FlowTimeouts) -> FlowClock {
    let nanoseconds = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let FlowTimeouts { tcp, tcpfin, udp } = timeouts;
    FlowClock::new(nanoseconds(tcp), nanoseconds(tcpfin), nanoseconds(udp))
}

/// [`lb_common::Service::placement`] under a scheduler.
#[must_use]
pub const fn placement(scheduler: Scheduler) -> u32 {
    match scheduler {
        Scheduler::RoundRobin | Scheduler::WeightedRoundRobin => placement::TURN,
        Scheduler::SourceHash(HashOptions { port, .. }) | Scheduler::Maglev(HashOptions { port, .. }) => {
            if port {
                placement::SOURCE_AND_PORT
            } else {
                placement::SOURCE
            }
        }
        Scheduler::DestinationHash => placement::DESTINATION,
        Scheduler::LeastConnection | Scheduler::WeightedLeastConnection => placement::LEAST_CONNECTION,
        Scheduler::ShortestExpectedDelay => placement::SHORTEST_DELAY,
        Scheduler::NeverQueue => placement::NEVER_QUEUE,
        Scheduler::WeightedFailover => placement::FAILOVER,
        Scheduler::WeightedOverflow => placement::OVERFLOW,
        Scheduler::TwoChoices => placement::TWO_CHOICES,
    }
}

/// [`lb_common::Service::maglev_placement`] under a scheduler.
#[must_use]
pub const fn maglev_placement(scheduler: Scheduler) -> u32 {
    match placement(scheduler) {
        placement::TURN => placement::SOURCE_AND_PORT,
        placement => placement,
    }
}

/// A real server's slot as rings hold it.
#[must_use]
pub const fn ring_slot(slot: RealSlot) -> u16 {
    slot.get() as u16
}

/// The slot of a real server that a ring holds.
#[must_use]
pub const fn real_slot(slot: u16) -> RealSlot {
    RealSlot::new(slot as u32)
}

/// What [`lb_common::Service::flags`] has of the configuration of a service.
#[must_use]
pub const fn flags_of(service: &VirtualService) -> u32 {
    if service.one_packet {
        service_flags::ONE_PACKET
    } else {
        0
    }
}

/// What [`lb_common::maps::POLICY`] says.
#[must_use]
pub const fn policy(dataplane: &Dataplane) -> Policy {
    let mut flags = 0;
    if dataplane.sloppy_tcp {
        flags |= policy_flags::SLOPPY_TCP;
    }
    if !dataplane.expire_nodest_conn {
        flags |= policy_flags::KEEP_NODEST_CONN;
    }
    Policy { flags, _reserved: 0 }
}

/// The key of a virtual service in [`lb_common::maps::SERVICES`].
#[must_use]
pub const fn service_key(service: ServiceAddress) -> ServiceKey {
    ServiceKey {
        address: map_address(service.ip),
        port: service.ports.first(),
        last_port: match service.ports.only() {
            Some(_) => 0,
            None => service.ports.last(),
        },
        protocol: protocol_number(service.protocol),
    }
}

const fn protocol_number(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Sctp => SCTP,
    }
}

/// A prefix of keys of [`lb_common::maps::SERVICE_PORTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortsPrefix {
    /// The first of the keys.
    pub ports: ServicePorts,
    /// How many bits they have in common.
    pub bits: u32,
}

/// What [`lb_common::maps::SERVICE_PORTS`] has for an address of a service.
pub fn ports_prefixes(service: ServiceAddress) -> impl Iterator<Item = PortsPrefix> {
    service.ports.blocks().map(move |(port, bits)| PortsPrefix {
        ports: ServicePorts {
            address: map_address(service.ip),
            protocol: [0, protocol_number(service.protocol).to_be_bytes()[3]],
            port: port.to_be_bytes(),
        },
        bits: ServicePorts::EVERY_PORT + bits,
    })
}

/// The virtual service that a key of [`lb_common::maps::SERVICES`] names; nothing for a protocol that this build does
/// not know, or for ports that are none.
#[must_use]
pub const fn service_address(key: ServiceKey) -> Option<ServiceAddress> {
    let protocol = match key.protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        SCTP => Protocol::Sctp,
        _ => return None,
    };
    let ports = match key.last_port {
        0 => Ports::one(key.port),
        last_port => match Ports::range(key.port, last_port) {
            Some(ports) => ports,
            None => return None,
        },
    };
    Some(ServiceAddress {
        ip: ip_address(key.address),
        ports,
        protocol,
    })
}

/// The key of an instance on `interface` in [`lb_common::maps::VIRTUAL_ROUTERS`].
#[must_use]
pub fn virtual_router_key(instance: &VrrpInstance, interface: &NetworkInterface) -> VirtualRouterKey {
    VirtualRouterKey {
        interface: interface.index,
        virtual_router_id: instance.virtual_router_id.get(),
        ip_version: instance.family().ip_version(),
        vlan: 0,
    }
}

/// A second key of an instance on a VLAN device: its peers' advertisements pass the interface below first, where the
/// program may do the work of both. They have their tag there.
#[must_use]
pub fn virtual_router_key_below(
    instance: &VrrpInstance,
    interface: &NetworkInterface,
) -> Option<VirtualRouterKey> {
    interface.vlan.map(|(below, vlan)| VirtualRouterKey {
        interface: below,
        vlan,
        ..virtual_router_key(instance, interface)
    })
}

/// The value of an instance in [`lb_common::maps::VIRTUAL_ROUTERS`]; `lease` is its slot of
/// [`lb_common::maps::LEASES`].
#[must_use]
pub fn virtual_router_entry(instance: &VrrpInstance, lease: LeaseSlot) -> VirtualRouterEntry {
    let password = match instance.version {
        Version::V2 => instance.password.as_ref(),
        Version::V3 => None,
    };
    VirtualRouterEntry {
        lease: lease.get(),
        version: instance.version.number(),
        authentication: password.is_some().into(),
        _reserved: [0; 2],
        password: password.map_or([0; 8], |password| *password.bytes()),
    }
}
