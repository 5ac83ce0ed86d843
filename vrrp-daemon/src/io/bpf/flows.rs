//! How many connections the flow tables hold, and whose.

use std::collections::HashMap as Counts;
use std::path::Path;

use aya::Pod;
use aya::maps::{HashMap, Map, MapData};
use lb_common::{Flow, maps};

use super::error::{Error, in_map};
use super::leases::monotonic_now;
use super::pins::map_path;
use crate::director::{RealHandle, RealSlot};

/// What the flow tables hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Connections that are remembered, nascent ones not counted.
    pub total: u64,
    /// The active ones of each real server: established and alive ([`Flow::is_alive`]).
    pub active: Counts<RealHandle, u64>,
}

impl Flows {
    /// Counts the connections in the pinned tables. Reads every entry, about a microsecond each: not for a loop that
    /// others wait for.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub fn count(pin_dir: &Path) -> Result<Self, Error> {
        let mut flows = Self::default();
        flows.add(pin_dir, maps::FLOWS4, |key| key.protocol)?;
        flows.add(pin_dir, maps::FLOWS6, |key| key.protocol)?;
        Ok(flows)
    }

    fn add<K: Pod>(
        &mut self,
        pin_dir: &Path,
        map: maps::Map<K, Flow>,
        protocol_of: fn(&K) -> u32,
    ) -> Result<(), Error> {
        let data = MapData::from_pin(map_path(pin_dir, map.name)).map_err(in_map(map))?;
        let capacity = data.info().map_err(in_map(map))?.max_entries() as usize;
        let table = HashMap::<_, K, Flow>::try_from(Map::LruHashMap(data)).map_err(in_map(map))?;
        let now = monotonic_now();
        // A table that changes while it is read may start over: its capacity bounds the walk.
        for entry in table.iter().take(capacity) {
            // An entry may have been evicted between its key and its value.
            let Ok((key, flow)) = entry else { continue };
            self.total += 1;
            if flow.is_alive(protocol_of(&key), now) {
                let handle = RealHandle {
                    slot: RealSlot::new(flow.real),
                    generation: flow.generation,
                };
                *self.active.entry(handle).or_default() += 1;
            }
        }
        Ok(())
    }
}
