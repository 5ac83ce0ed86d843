//! What the program counts, and how many connections it remembers.

use std::collections::HashMap as Counts;
use std::sync::Arc;
use std::time::Duration;

use aya::Pod;
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use lb_common::{Counters, Flow, FlowKey4, FlowKey6, Verdict, maps};

use super::error::{Error, in_map};
use super::open_maps::OpenMaps;

use crate::io::clock::boot_now;
use crate::model::{RealHandle, RealSlot};

/// What the flow tables hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Connections that are remembered, nascent ones not counted.
    pub total: u64,
    /// The active ones of each real server that was asked for: established and alive ([`Flow::is_alive`]).
    pub active: Counts<RealHandle, u64>,
}

/// Reads what the program counts: a handle of its own, for a thread that nobody waits for. Ten thousand real servers
/// take a system call each, and every flow one as well.
#[derive(Clone)]
pub struct Statistics(Arc<Tables>);

struct Tables {
    services: PerCpuArray<MapData, Counters>,
    real_servers: PerCpuArray<MapData, Counters>,
    verdicts: PerCpuArray<MapData, u64>,
    flows4: HashMap<MapData, FlowKey4, Flow>,
    flows6: HashMap<MapData, FlowKey6, Flow>,
    flow_table_size: usize,
}

impl Statistics {
    pub(super) fn open(open: &OpenMaps, flow_table_size: u32) -> Result<Self, Error> {
        fn per_cpu<V: Pod>(
            open: &OpenMaps,
            map: maps::Map<u32, V>,
        ) -> Result<PerCpuArray<MapData, V>, Error> {
            Map::PerCpuArray(open.open(map)?).try_into().map_err(in_map(map))
        }
        fn flows<K: Pod>(
            open: &OpenMaps,
            map: maps::Map<K, Flow>,
        ) -> Result<HashMap<MapData, K, Flow>, Error> {
            Map::LruHashMap(open.open(map)?).try_into().map_err(in_map(map))
        }
        Ok(Self(Arc::new(Tables {
            services: per_cpu(open, maps::SERVICE_STATS)?,
            real_servers: per_cpu(open, maps::REAL_STATS)?,
            verdicts: per_cpu(open, maps::VERDICTS)?,
            flows4: flows(open, maps::FLOWS4)?,
            flows6: flows(open, maps::FLOWS6)?,
            flow_table_size: flow_table_size as usize,
        })))
    }

    /// What was counted of the service `index`, on all CPUs together.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn service(&self, index: u32) -> Result<Counters, Error> {
        sum(&self.0.services, index).map_err(in_map(maps::SERVICE_STATS))
    }

    /// What was counted of the real server in `slot`, on all CPUs together.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn real_server(&self, slot: RealSlot) -> Result<Counters, Error> {
        sum(&self.0.real_servers, slot.get()).map_err(in_map(maps::REAL_STATS))
    }

    /// How many packets met each verdict, on all CPUs together.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn verdicts(&self) -> Result<Vec<(Verdict, u64)>, Error> {
        let counted = Verdict::ALL.iter().map(|verdict| {
            let counts = self.0.verdicts.get(&(*verdict as u32), 0)?;
            Ok((*verdict, counts.iter().sum()))
        });
        counted
            .collect::<Result<_, MapError>>()
            .map_err(in_map(maps::VERDICTS))
    }

    /// Counts the connections; as active ones, those of `counted` real servers that a packet was seen of in the time
    /// that is named there, counted from now. Reads every entry, about a microsecond each.
    #[must_use]
    pub fn flows(&self, counted: &Counts<RealHandle, Duration>) -> Flows {
        let mut flows = Flows::default();
        let size = self.0.flow_table_size;
        flows.add(&self.0.flows4, size, counted, |key| key.protocol);
        flows.add(&self.0.flows6, size, counted, |key| key.protocol);
        flows
    }
}

impl Flows {
    fn add<K: Pod>(
        &mut self,
        table: &HashMap<MapData, K, Flow>,
        capacity: usize,
        counted: &Counts<RealHandle, Duration>,
        protocol_of: fn(&K) -> u32,
    ) {
        let now = boot_now();
        // A table that changes while it is read may start over: its capacity bounds the walk.
        for entry in table.iter().take(capacity) {
            // An entry may have been evicted between its key and its value.
            let Ok((key, flow)) = entry else { continue };
            self.total += 1;
            let handle = RealHandle {
                slot: RealSlot::new(flow.real),
                generation: flow.generation,
            };
            let Some(time) = counted.get(&handle) else {
                continue;
            };
            let silence = Duration::from_nanos(now.saturating_sub(flow.last_seen));
            if silence <= *time && flow.is_alive(protocol_of(&key), now) {
                *self.active.entry(handle).or_default() += 1;
            }
        }
    }
}

fn sum(stats: &PerCpuArray<MapData, Counters>, slot: u32) -> Result<Counters, MapError> {
    let mut total = Counters::default();
    for Counters {
        connections,
        packets,
        bytes,
    } in stats.get(&slot, 0)?.iter()
    {
        total.connections += connections;
        total.packets += packets;
        total.bytes += bytes;
    }
    Ok(total)
}
