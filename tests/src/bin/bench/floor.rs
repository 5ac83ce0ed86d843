//! The programs that lbd is compared with.

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, PerCpuArray};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader, Pod};
use lab::dataplane::object;
use lab::packet::DIRECTOR_MAC;
use lb_common::{Address, Service, ServiceKey, Verdict, protocol};

use crate::traffic::{HTTP, Range};

/// One of the programs of `lb-ebpf/bench/floor`.
pub(crate) struct Floor {
    ebpf: Ebpf,
    program: &'static str,
    services: u32,
}

/// The places of a service's ring: enough for any weights, and a power of two near the primes of Maglev's tables.
const RING: u32 = 1 << 16;
/// The real servers of a service.
const REALS: u32 = 3;

impl Floor {
    /// Loads `program` with an LRU table of `entries` connections.
    pub(crate) fn load(program: &'static str, entries: u32) -> Result<Self> {
        let mut ebpf = load(entries)?;
        load_program(&mut ebpf, program)?;
        Ok(Self {
            ebpf,
            program,
            services: 0,
        })
    }

    /// Configures virtual services at these addresses: one shares the ring among its real servers, more have one of
    /// each.
    pub(crate) fn serve(mut self, vips: Range) -> Result<Self> {
        self.services = vips.count;
        let reals = if vips.count == 1 { REALS } else { vips.count };
        for slot in 0..reals {
            let addresses = [DIRECTOR_MAC, [2, 0, 0, 0, 0, 1]];
            self.array::<[[u8; 6]; 2]>("FLOOR_REALS")?
                .set(slot, addresses, 0)?;
        }
        // Who has which place does not change what it costs to look there.
        let mut rings = self.array::<u32>("FLOOR_RINGS")?;
        for place in 0..RING {
            rings.set(place, place % reals, 0)?;
        }
        for index in 0..vips.count {
            let key = ServiceKey {
                address: Address::v4((vips.first + index).to_be_bytes()),
                port: HTTP,
                last_port: 0,
                protocol: u32::from(protocol::TCP),
            };
            let service = Service {
                index,
                ring_offset: if vips.count == 1 { 0 } else { index },
                ring_length: if vips.count == 1 { RING } else { 1 },
                lease: 0,
                ..Service::default()
            };
            let map = self.ebpf.map_mut("FLOOR_SERVICES").context("no FLOOR_SERVICES")?;
            HashMap::<_, ServiceKey, Service>::try_from(map)?.insert(key, service, 0)?;
        }
        Ok(self)
    }

    fn array<V: Pod>(&mut self, name: &str) -> Result<Array<&mut aya::maps::MapData, V>> {
        let map = self.ebpf.map_mut(name).with_context(|| format!("no {name}"))?;
        Ok(Array::try_from(map)?)
    }

    /// The program.
    pub(crate) fn program(&self) -> Result<&Xdp> {
        program(&self.ebpf, self.program)
    }

    /// How many packets had this fate, as far as the program tells.
    pub(crate) fn counted(&mut self, verdict: Verdict) -> Result<Option<u64>> {
        if self.program != "tracked" {
            return Ok(None);
        }
        let services = self.services;
        let cursors = self.array::<u64>("TRACKED_CURSORS")?;
        let mut new = 0;
        for index in 0..services {
            new += cursors.get(&index, 0)?;
        }
        Ok(match verdict {
            Verdict::ForwardNew => Some(new),
            Verdict::ForwardFlow => Some(self.forwarded()? - new),
            _ => None,
        })
    }

    fn forwarded(&self) -> Result<u64> {
        let map = self
            .ebpf
            .map("FLOOR_SERVICE_STATS")
            .context("no FLOOR_SERVICE_STATS")?;
        let counters = PerCpuArray::<_, [u64; 2]>::try_from(map)?;
        let mut packets = 0;
        for index in 0..self.services {
            packets += counters
                .get(&index, 0)?
                .iter()
                .map(|[packets, _]| packets)
                .sum::<u64>();
        }
        Ok(packets)
    }
}

/// Loads the object.
pub(crate) fn load(entries: u32) -> Result<Ebpf> {
    EbpfLoader::new()
        .map_max_entries("FLOOR_FLOWS", entries)
        .map_max_entries("TRACKED_FLOWS", entries)
        .load_file(object("floor.o")?)
        .context("cannot load floor.o")
}

/// Loads one of its programs.
pub(crate) fn load_program(ebpf: &mut Ebpf, name: &str) -> Result<()> {
    let program: &mut Xdp = ebpf
        .program_mut(name)
        .with_context(|| format!("no program {name}"))?
        .try_into()?;
    program
        .load()
        .with_context(|| format!("the kernel refuses {name}"))
}

/// One of its programs.
pub(crate) fn program<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Xdp> {
    let program = ebpf.program(name).with_context(|| format!("no program {name}"))?;
    Ok(program.try_into()?)
}
