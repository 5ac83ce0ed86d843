//! The forwarding maps.

use std::collections::BTreeMap;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use lb_common::{
    Address, AddressEntry, Counters, IndexedService, Interface, Load, Peer, Policy, PortsOwner, Prefix, Real,
    RingWord, Service, ServiceKey, ServicePorts, TunnelSourceKey, VirtualRouterEntry, VirtualRouterKey, maps,
};

use super::address_filter::AddressFilter;
use super::episodes::Episodes;
use super::error::in_map;
use super::mapped::{MappedArray, mapped};
use super::{Error, take};
use crate::director::{Episode, Operation, Plane, PortsPrefix};

/// The forwarding maps: what the director loop, and nobody else, writes.
pub struct Tables {
    services: HashMap<MapData, ServiceKey, Service>,
    service_index: Array<MapData, IndexedService>,
    ports: LpmTrie<MapData, ServicePorts, PortsOwner>,
    policy: MappedArray<Policy>,
    rings: MappedArray<RingWord>,
    episodes: Episodes,
    reals: Array<MapData, Real>,
    /// The same, to be read without a system call for each.
    mapped_reals: MappedArray<Real>,
    loads: MappedArray<Load>,
    addresses: HashMap<MapData, Address, AddressEntry>,
    address_filter: AddressFilter,
    virtual_routers: HashMap<MapData, VirtualRouterKey, VirtualRouterEntry>,
    interfaces: MappedArray<Interface>,
    tunnel_sources: HashMap<MapData, TunnelSourceKey, Address>,
    peers: HashMap<MapData, Peer, u32>,
    access: LpmTrie<MapData, Address, u32>,
    service_stats: PerCpuArray<MapData, Counters>,
    real_stats: PerCpuArray<MapData, Counters>,
    processors: usize,
}

/// Opens `$map` as the type of the place that it is stored in.
macro_rules! open {
    ($ebpf:expr, $map:expr) => {
        take($ebpf, $map)?.try_into().map_err(in_map($map))?
    };
}

impl Tables {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let addresses: HashMap<_, Address, AddressEntry> = open!(ebpf, maps::ADDRESSES);
        let present: Result<Vec<_>, _> = addresses.keys().collect();
        let address_filter = AddressFilter::open(
            &take(ebpf, maps::ADDRESS_FILTER)?,
            present.map_err(in_map(maps::ADDRESSES))?,
        )?;
        let reals = take(ebpf, maps::REALS)?;
        let mapped_reals = mapped(&reals, maps::REALS)?;
        Ok(Self {
            services: open!(ebpf, maps::SERVICES),
            service_index: open!(ebpf, maps::SERVICE_INDEX),
            ports: open!(ebpf, maps::SERVICE_PORTS),
            policy: mapped(&take(ebpf, maps::POLICY)?, maps::POLICY)?,
            rings: mapped(&take(ebpf, maps::RINGS)?, maps::RINGS)?,
            reals: reals.try_into().map_err(in_map(maps::REALS))?,
            mapped_reals,
            loads: mapped(&take(ebpf, maps::LOADS)?, maps::LOADS)?,
            episodes: Episodes::open(&take(ebpf, maps::EPISODES)?)?,
            addresses,
            address_filter,
            virtual_routers: open!(ebpf, maps::VIRTUAL_ROUTERS),
            interfaces: mapped(&take(ebpf, maps::INTERFACES)?, maps::INTERFACES)?,
            tunnel_sources: open!(ebpf, maps::TUNNEL_SOURCES),
            peers: open!(ebpf, maps::PEERS),
            access: open!(ebpf, maps::ACCESS),
            service_stats: open!(ebpf, maps::SERVICE_STATS),
            real_stats: open!(ebpf, maps::REAL_STATS),
            processors: aya::util::nr_cpus().map_err(|(_, source)| Error::Processors(source))?,
        })
    }

    /// Reads what the maps hold now.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn read(&self) -> Result<Plane, Error> {
        let mut plane = Plane {
            services: self
                .services
                .iter()
                .collect::<Result<_, _>>()
                .map_err(in_map(maps::SERVICES))?,
            ports: self
                .ports
                .iter()
                .map(|entry| entry.map(|(key, owner)| (prefix(&key), owner)))
                .collect::<Result<_, _>>()
                .map_err(in_map(maps::SERVICE_PORTS))?,
            policy: self.policy.get(0),
            rings: Vec::new(),
            reals: (0..self.mapped_reals.length())
                .map(|slot| self.mapped_reals.get(slot))
                .collect(),
            addresses: self
                .addresses
                .iter()
                .collect::<Result<_, _>>()
                .map_err(in_map(maps::ADDRESSES))?,
            virtual_routers: self
                .virtual_routers
                .iter()
                .collect::<Result<_, _>>()
                .map_err(in_map(maps::VIRTUAL_ROUTERS))?,
            interfaces: (0..self.interfaces.length())
                .map(|index| (index, self.interfaces.get(index)))
                .filter(|(_, interface)| *interface != Interface::default())
                .collect(),
            access: self
                .access
                .iter()
                .map(|entry| entry.map(|(key, access)| (access_prefix(&key), access)))
                .collect::<Result<_, _>>()
                .map_err(in_map(maps::ACCESS))?,
            tunnel_sources: self
                .tunnel_sources
                .iter()
                .collect::<Result<_, _>>()
                .map_err(in_map(maps::TUNNEL_SOURCES))?,
            peers: self
                .peers
                .keys()
                .collect::<Result<_, _>>()
                .map_err(in_map(maps::PEERS))?,
        };
        while plane.reals.last().is_some_and(|real| *real == Real::default()) {
            plane.reals.pop();
        }
        let end = plane
            .services
            .values()
            .flat_map(Service::slices)
            .map(|(offset, length)| offset.saturating_add(length))
            .max();
        let end = end.unwrap_or(0).min(maps::RING_SLOTS);
        let words = (0..end.div_ceil(RingWord::SLOTS)).map(|index| self.rings.get(index));
        plane.rings = words
            .flat_map(|word| (0..RingWord::SLOTS).map(move |number| word.slot(number)))
            .collect();
        Ok(plane)
    }

    /// The episodes that are not over, by [`Service::index`].
    #[must_use]
    pub fn episodes(&self) -> BTreeMap<u32, Episode> {
        self.episodes.lasting()
    }

    /// Carries out one operation of a plan.
    ///
    /// # Errors
    /// If the kernel refuses it; nothing has changed then.
    pub fn apply(&mut self, operation: &Operation) -> Result<(), Error> {
        match operation {
            Operation::PutVirtualRouter { key, entry } => self
                .virtual_routers
                .insert(key, entry, 0)
                .map_err(in_map(maps::VIRTUAL_ROUTERS)),
            Operation::RemoveVirtualRouter { key } => {
                absent_is_fine(self.virtual_routers.remove(key)).map_err(in_map(maps::VIRTUAL_ROUTERS))
            }
            Operation::PutInterface { index, interface } => {
                self.interfaces.set(*index, *interface);
                Ok(())
            }
            Operation::RemoveInterface { index } => {
                self.interfaces.set(*index, Interface::default());
                Ok(())
            }
            Operation::PutTunnelSource { key, source } => self
                .tunnel_sources
                .insert(key, source, 0)
                .map_err(in_map(maps::TUNNEL_SOURCES)),
            Operation::RemoveTunnelSource { key } => {
                absent_is_fine(self.tunnel_sources.remove(key)).map_err(in_map(maps::TUNNEL_SOURCES))
            }
            Operation::PutPeer { peer } => self.peers.insert(peer, 0, 0).map_err(in_map(maps::PEERS)),
            Operation::RemovePeer { peer } => {
                absent_is_fine(self.peers.remove(peer)).map_err(in_map(maps::PEERS))
            }
            Operation::PutAccess { prefix, access } => self
                .access
                .insert(&access_key(prefix), access, 0)
                .map_err(in_map(maps::ACCESS)),
            Operation::RemoveAccess { prefix } => {
                absent_is_fine(self.access.remove(&access_key(prefix))).map_err(in_map(maps::ACCESS))
            }
            Operation::PutAddress { address, entry } => {
                self.address_filter.add(*address);
                self.addresses
                    .insert(address, entry, 0)
                    .map_err(in_map(maps::ADDRESSES))
            }
            Operation::RemoveAddress { address } => {
                absent_is_fine(self.addresses.remove(address)).map_err(in_map(maps::ADDRESSES))?;
                self.address_filter.remove(*address);
                Ok(())
            }
            Operation::PutReal { slot, real } => {
                self.reals.set(slot.get(), real, 0).map_err(in_map(maps::REALS))
            }
            Operation::WriteRing { offset, slots } => {
                for (index, slots) in (offset / RingWord::SLOTS..).zip(slots.chunks(RingWord::SLOTS as usize))
                {
                    self.rings.set(index, RingWord::of(slots.iter().copied()));
                }
                Ok(())
            }
            Operation::PutService { key, service } => {
                let indexed = IndexedService {
                    key: *key,
                    lease: service.lease,
                    new_flow_limit: service.new_flow_limit,
                };
                self.service_index
                    .set(service.index, indexed, 0)
                    .map_err(in_map(maps::SERVICE_INDEX))?;
                self.services
                    .insert(key, service, 0)
                    .map_err(in_map(maps::SERVICES))
            }
            Operation::RemoveService { key } => {
                absent_is_fine(self.services.remove(key)).map_err(in_map(maps::SERVICES))
            }
            Operation::PutPorts { prefix, owner } => self
                .ports
                .insert(&key(prefix), owner, 0)
                .map_err(in_map(maps::SERVICE_PORTS)),
            Operation::RemovePorts { prefix } => {
                absent_is_fine(self.ports.remove(&key(prefix))).map_err(in_map(maps::SERVICE_PORTS))
            }
            Operation::PutPolicy { policy } => {
                self.policy.set(0, *policy);
                Ok(())
            }
            Operation::ClearServiceCounters { index } => {
                self.episodes.clear(*index);
                clear(&mut self.service_stats, *index, self.processors).map_err(in_map(maps::SERVICE_STATS))
            }
            Operation::ClearRealCounters { slot } => {
                self.loads.set(slot.get(), Load::default());
                clear(&mut self.real_stats, slot.get(), self.processors).map_err(in_map(maps::REAL_STATS))
            }
        }
    }
}

/// A key of the trie.
const fn key(prefix: &PortsPrefix) -> Key<ServicePorts> {
    Key::new(prefix.bits, prefix.ports)
}

/// The same for the director.
const fn prefix(key: &Key<ServicePorts>) -> PortsPrefix {
    PortsPrefix {
        ports: key.data(),
        bits: key.prefix_len(),
    }
}

/// A key of the lists.
const fn access_key(prefix: &Prefix) -> Key<Address> {
    Key::new(prefix.length, prefix.address)
}

/// The same for the director.
const fn access_prefix(key: &Key<Address>) -> Prefix {
    Prefix {
        length: key.prefix_len(),
        address: key.data(),
    }
}

fn clear(stats: &mut PerCpuArray<MapData, Counters>, slot: u32, processors: usize) -> Result<(), MapError> {
    let zeros = PerCpuValues::try_from(vec![Counters::default(); processors]).map_err(|io_error| {
        MapError::SyscallError(aya::sys::SyscallError {
            call: "nr_cpus",
            io_error,
        })
    })?;
    stats.set(slot, zeros, 0)
}

/// A plan may remove what something else has removed meanwhile.
fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
