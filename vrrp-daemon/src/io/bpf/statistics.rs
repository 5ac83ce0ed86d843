//! What the program counts, and how many connections it remembers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aya::Pod;
use aya::maps::{Map, MapData, MapError, PerCpuArray};
use lb_common::{Counters, FlowClock, FlowWord, Verdict, flow_state, maps};

use super::error::{Error, in_map};
use super::flows::FlowTable;
use super::open_maps::OpenMaps;
use crate::io::clock::boot_now;
use crate::model::RealSlot;

/// How many connections are remembered. Those that have timed out, and are yet to be swept away, do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// All of them, but those that have shown one packet only, and those that the client has closed.
    pub total: u64,
    /// Those of each real server that was asked for.
    pub real_servers: HashMap<RealSlot, Connections>,
}

/// The connections of a real server, in IPVS's words (`ip_vs_dest`, `include/net/ip_vs.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that are established (`ActiveConn`).
    pub active: u64,
    /// Those that have shown one packet only, or that the client has closed (`InActConn`).
    pub inactive: u64,
}

/// Reads what the program counts: a handle of its own, for a thread that nobody waits for. Ten thousand real servers
/// take a system call each.
#[derive(Clone)]
pub struct Statistics(Arc<Tables>);

struct Tables {
    services: PerCpuArray<MapData, Counters>,
    real_servers: PerCpuArray<MapData, Counters>,
    verdicts: PerCpuArray<MapData, u64>,
    flows: Arc<FlowTable>,
}

impl Statistics {
    pub(super) fn open(open: &OpenMaps, flows: Arc<FlowTable>) -> Result<Self, Error> {
        fn per_cpu<V: Pod>(
            open: &OpenMaps,
            map: maps::Map<u32, V>,
        ) -> Result<PerCpuArray<MapData, V>, Error> {
            Map::PerCpuArray(open.open(map)?).try_into().map_err(in_map(map))
        }
        Ok(Self(Arc::new(Tables {
            services: per_cpu(open, maps::SERVICE_STATS)?,
            real_servers: per_cpu(open, maps::REAL_STATS)?,
            verdicts: per_cpu(open, maps::VERDICTS)?,
            flows,
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

    /// Counts the connections; of the real servers in `counted`, those that a packet was seen of in the time that is
    /// named there, counted from now. Reads the whole table: some thousandths of a second for a million connections.
    #[must_use]
    pub fn flows(&self, counted: &HashMap<RealSlot, Duration>) -> Flows {
        let words = self.0.flows.words().map(|(_, _, word)| word);
        Flows::count(words, &self.0.flows.clock(), boot_now(), counted)
    }
}

impl Flows {
    fn count(
        words: impl Iterator<Item = FlowWord>,
        clock: &FlowClock,
        now: u64,
        counted: &HashMap<RealSlot, Duration>,
    ) -> Self {
        let mut total = 0;
        let mut slots: HashMap<u32, (u64, Connections)> = counted
            .iter()
            .map(|(slot, time)| {
                let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                (slot.get(), (now.saturating_sub(time), Connections::default()))
            })
            .collect();
        for word in words {
            if word == FlowWord::EMPTY || clock.is_over(word, now) {
                continue;
            }
            let is_established = matches!(word.state(), flow_state::ESTABLISHED | flow_state::DATAGRAMS);
            total += u64::from(is_established);
            let Some((since, connections)) = slots.get_mut(&word.slot()) else {
                continue;
            };
            let time = clock.of(word.state());
            // A time that is longer than the timeout leaves nobody out. The unit of the clock in which it began counts
            // as a whole: no connection is missed.
            let is_long = now.saturating_sub(*since) >> time.shift >= u64::from(time.timeout);
            if !is_long && time.age(word.seen(), now) > time.age(time.at(*since), now) {
                continue;
            }
            if is_established {
                connections.active += 1;
            } else {
                connections.inactive += 1;
            }
        }
        let connections = slots.into_iter();
        Self {
            total,
            real_servers: connections
                .map(|(slot, (_, connections))| (RealSlot::new(slot), connections))
                .collect(),
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

#[cfg(test)]
mod tests {
    use lb_common::SECOND;

    use super::*;

    const NOW: u64 = 1_000_000 * SECOND;

    fn word(state: u64, slot: u32, silence: u64) -> FlowWord {
        let seen = FlowClock::default().of(state).at(NOW - silence * SECOND);
        FlowWord::new(99, state, seen, slot)
    }

    fn count(words: &[FlowWord], counted: &[(u32, u64)]) -> Flows {
        let counted = counted.iter();
        let counted = counted.map(|(slot, time)| (RealSlot::new(*slot), Duration::from_secs(*time)));
        let words = words.iter().copied();
        Flows::count(words, &FlowClock::default(), NOW, &counted.collect())
    }

    #[test]
    fn connections_are_active_inactive_or_over_as_ipvs_has_it() {
        let words = [
            FlowWord::EMPTY,
            word(flow_state::ESTABLISHED, 1, 890),
            word(flow_state::ESTABLISHED, 1, 910),
            word(flow_state::DATAGRAMS, 1, 290),
            word(flow_state::DATAGRAMS, 1, 310),
            word(flow_state::NASCENT, 1, 50),
            word(flow_state::NASCENT, 1, 70),
            word(flow_state::CLOSING, 1, 110),
            word(flow_state::CLOSING, 1, 130),
            word(flow_state::DATAGRAM, 1, 290),
            word(flow_state::ESTABLISHED, 2, 0),
            word(flow_state::ESTABLISHED, 0, 0),
        ];
        let flows = count(&words, &[(0, 1_000), (1, 1_000), (3, 1_000)]);
        assert_eq!(flows.total, 4);
        let of = |slot| flows.real_servers.get(&RealSlot::new(slot)).copied();
        let connections = |active, inactive| Some(Connections { active, inactive });
        assert_eq!(of(0), connections(1, 0));
        assert_eq!(of(1), connections(2, 3));
        assert_eq!(of(2), None, "nobody asked");
        assert_eq!(of(3), connections(0, 0));
    }

    #[test]
    fn what_was_silent_since_before_it_was_ours_is_not_ours() {
        let words = [
            word(flow_state::ESTABLISHED, 1, 0),
            word(flow_state::ESTABLISHED, 1, 9),
            word(flow_state::ESTABLISHED, 1, 12),
            word(flow_state::CLOSING, 1, 12),
        ];
        let flows = count(&words, &[(1, 10)]);
        let connections = flows.real_servers[&RealSlot::new(1)];
        assert_eq!(
            connections,
            Connections {
                active: 2,
                inactive: 0
            }
        );
        assert_eq!(flows.total, 3);
        // A daemon that has forwarded for an instant only, and a packet that has arrived since.
        let flows = count(&words, &[(1, 0)]);
        assert_eq!(flows.real_servers[&RealSlot::new(1)].active, 1);
        let always = Flows::count(
            words.into_iter(),
            &FlowClock::default(),
            NOW,
            &HashMap::from([(RealSlot::new(1), Duration::MAX)]),
        );
        let connections = always.real_servers[&RealSlot::new(1)];
        assert_eq!(
            connections,
            Connections {
                active: 3,
                inactive: 1
            }
        );
    }
}
