//! No connection changes hands, whatever becomes of a ring: what the program does with packets, played beside a model
//! that remembers all connections.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lb_common::placement;
use proptest::prelude::*;

use super::*;
use crate::director::{Member, schedule};
use crate::model::{HashOptions, RealSlot, Scheduler};

const SERVERS: u16 = 8;

/// How long a silent connection is remembered, and the window of a motion, in the unit of the tests' clock.
const TIMEOUT: u64 = 100;

/// A ring that is small, and changes its size with the number of members.
fn ring(members: &[Member], fallback: bool) -> Vec<u16> {
    let options = HashOptions { port: true, fallback };
    let limit = 5 + 3 * members.len();
    let slots = schedule(Scheduler::Maglev(options), members, limit);
    slots.into_iter().map(crate::director::ring_slot).collect()
}

/// A connection as its client sees it.
#[derive(Clone, Copy, Debug)]
struct Connection {
    server: u16,
    seen: u64,
}

/// A service and its clients.
struct World {
    now: u64,
    /// By number; those that are configured.
    servers: HashMap<u16, Server>,
    /// The real server's slot, of each number: another one when it comes back after it was removed.
    generation: u16,
    is_schedule: bool,
    placement: u32,
    fallback: bool,
    ring: Vec<u16>,
    ring_placement: u32,
    ring_is_schedule: bool,
    motion: Option<Motion>,
    seen: Bits,
    window_began: u64,
    /// What the program remembers: the real server, and when a packet was seen.
    table: HashMap<u16, (u16, u64)>,
    /// All connections that go on.
    clients: HashMap<u16, Connection>,
    turn: usize,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    slot: u16,
    weight: u16,
    is_up: bool,
}

#[derive(Clone, Debug)]
enum Event {
    Add(u16, u16),
    Remove(u16),
    Weigh(u16, u16),
    Down(u16),
    Up(u16),
    Connect(u16),
    Send(u16),
    SendAll,
    End(u16),
    Pass(u64),
    Restart,
    Reschedule(bool, bool, bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..SERVERS, 0..4_u16).prop_map(|(server, weight)| Event::Add(server, weight)),
        2 => (0..SERVERS).prop_map(Event::Remove),
        3 => (0..SERVERS, 0..4_u16).prop_map(|(server, weight)| Event::Weigh(server, weight)),
        3 => (0..SERVERS).prop_map(Event::Down),
        3 => (0..SERVERS).prop_map(Event::Up),
        12 => (0..300_u16).prop_map(Event::Connect),
        6 => (0..300_u16).prop_map(Event::Send),
        2 => Just(Event::SendAll),
        1 => (0..300_u16).prop_map(Event::End),
        6 => (0..TIMEOUT + 10).prop_map(Event::Pass),
        1 => Just(Event::Restart),
        1 => any::<(bool, bool, bool)>().prop_map(|(a, b, c)| Event::Reschedule(a, b, c)),
    ]
}

/// Where a client is placed.
fn place(client: u16, placement: u32, length: usize) -> usize {
    let hash = lb_common::spread(u64::from(client) << 8 | u64::from(placement));
    (hash % length as u64) as usize
}

impl World {
    fn new() -> Self {
        Self {
            now: 0,
            servers: HashMap::new(),
            generation: 0,
            is_schedule: true,
            placement: placement::SOURCE,
            fallback: true,
            ring: Vec::new(),
            ring_placement: placement::SOURCE,
            ring_is_schedule: true,
            motion: None,
            seen: Bits::default(),
            window_began: 0,
            table: HashMap::new(),
            clients: HashMap::new(),
            turn: 0,
        }
    }

    fn is_up(&self, slot: u16) -> bool {
        self.servers
            .values()
            .any(|server| server.slot == slot && server.is_up)
    }

    /// What the daemon does after anything has changed.
    fn plan(&mut self, is_over: bool) {
        let members: Vec<Member> = self
            .servers
            .iter()
            .map(|(number, server)| Member {
                address: SocketAddr::new(IpAddr::V4(Ipv4Addr::from(u32::from(*number))), 80),
                slot: RealSlot::new(server.slot.into()),
                share: server.weight,
                serves: server.is_up && server.weight > 0,
            })
            .collect();
        let wanted = ring(&members, self.fallback);
        let present = Ring {
            slots: &self.ring,
            placement: self.ring_placement,
            is_schedule: self.ring_is_schedule,
        };
        let next = Ring {
            slots: &wanted,
            placement: self.placement,
            is_schedule: self.is_schedule,
        };
        let before = self.motion.clone();
        let motion = before.clone().and_then(|motion| match is_over {
            true => motion.rest(present, &self.seen),
            false => Some(motion),
        });
        let servers = self.servers.values().map(|server| server.slot).collect();
        let motion = Motion::next(motion, present, next, &servers);
        if is_over || motion != before || present != next {
            self.window_began = self.now;
            self.seen = Bits::none(motion.as_ref().map_or(0, |motion| motion.previous.len()));
        }
        if let Some(motion) = &motion {
            let length = motion.previous.len();
            let (read, seen) = Motion::of(&motion.slots(), length, motion.placement).expect("it is whole");
            assert_eq!((&read, seen), (motion, Bits::none(length)));
        }
        self.motion = motion;
        (self.ring_placement, self.ring_is_schedule) = (self.placement, self.is_schedule);
        self.ring = wanted;
    }

    /// What the program does with a packet. None: it is refused.
    fn packet(&mut self, client: u16, opens: bool) -> Option<u16> {
        let current =
            (!self.ring.is_empty()).then(|| self.ring[place(client, self.ring_placement, self.ring.len())]);
        let moving = self.motion.as_ref().and_then(|motion| {
            let length = motion.previous.len();
            let slot = place(client, motion.placement, length);
            let is_whole = length != self.ring.len() || motion.placement != self.ring_placement;
            (is_whole || motion.marks.has(slot)).then(|| (slot, motion.previous[slot]))
        });
        if self.ring_is_schedule && moving.is_none() {
            return current.filter(|server| self.is_up(*server));
        }
        let known = self.table.get(&client).copied();
        let known = known.filter(|(_, seen)| self.now - seen <= TIMEOUT);
        let server = match known {
            Some((server, _)) if self.is_up(server) => server,
            Some(_) if !opens => {
                self.table.remove(&client);
                return None;
            }
            _ if opens && !self.ring_is_schedule => {
                self.turn += 1;
                *self.ring.get(self.turn % self.ring.len().max(1))?
            }
            _ if opens => current?,
            _ => {
                let (_, previous) = moving?;
                Some(previous).filter(|server| self.is_up(*server)).or(current)?
            }
        };
        self.table.insert(client, (server, self.now));
        if let Some((slot, _)) = moving
            && Some(server) != current
        {
            self.seen.set(slot);
        }
        Some(server)
    }

    fn send(&mut self, client: u16) {
        let Some(connection) = self.clients.get(&client).copied() else {
            return;
        };
        if self.now - connection.seen > TIMEOUT || !self.is_up(connection.server) {
            self.clients.remove(&client);
            return;
        }
        let server = self.packet(client, false);
        assert_eq!(server, Some(connection.server), "client {client} at {}", self.now);
        self.clients.insert(
            client,
            Connection {
                seen: self.now,
                ..connection
            },
        );
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Add(number, weight) => {
                let slot = u16::try_from(self.servers.len()).expect("few") + self.generation * SERVERS;
                self.generation += 1;
                let server = Server {
                    slot,
                    weight,
                    is_up: true,
                };
                self.servers.entry(number).or_insert(server);
            }
            Event::Remove(number) => {
                self.servers.remove(&number);
            }
            Event::Weigh(number, weight) => {
                self.servers
                    .entry(number)
                    .and_modify(|server| server.weight = weight);
            }
            Event::Down(number) => {
                self.servers
                    .entry(number)
                    .and_modify(|server| server.is_up = false);
            }
            Event::Up(number) => {
                self.servers
                    .entry(number)
                    .and_modify(|server| server.is_up = true);
            }
            Event::Connect(client) => {
                // A port that was used before is used again after its connection, and whatever is known of it, is over.
                let is_known = self
                    .table
                    .get(&client)
                    .is_some_and(|(_, seen)| self.now - seen <= TIMEOUT);
                if !self.clients.contains_key(&client)
                    && !is_known
                    && let Some(server) = self.packet(client, true)
                {
                    self.clients.insert(
                        client,
                        Connection {
                            server,
                            seen: self.now,
                        },
                    );
                }
            }
            Event::Send(client) => self.send(client),
            Event::SendAll => (0..300).for_each(|client| self.send(client)),
            Event::End(client) => {
                self.clients.remove(&client);
            }
            Event::Pass(time) => self.now += time,
            Event::Restart => self.window_began = self.now,
            Event::Reschedule(is_schedule, by_port, fallback) => {
                self.is_schedule = is_schedule;
                self.fallback = fallback;
                self.placement = match by_port {
                    true => placement::SOURCE_AND_PORT,
                    false => placement::SOURCE,
                };
            }
        }
        // A connection whose server failed in between is over, whatever comes back.
        let up: HashSet<u16> = self
            .servers
            .values()
            .filter(|server| server.is_up)
            .map(|server| server.slot)
            .collect();
        self.clients
            .retain(|_, connection| up.contains(&connection.server));
        self.plan(false);
        if self.motion.is_some() && self.now > self.window_began + TIMEOUT {
            self.plan(true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_connection_changes_hands_while_its_server_serves(
        events in prop::collection::vec(event(), 1..250),
    ) {
        let mut world = World::new();
        for number in 0..3 {
            world.happen(Event::Add(number, 1));
        }
        for event in events {
            world.happen(event);
        }
        world.happen(Event::SendAll);
    }
}

fn at_rest(slots: &[u16]) -> Ring<'_> {
    Ring {
        slots,
        placement: placement::SOURCE,
        is_schedule: true,
    }
}

fn next(motion: Option<Motion>, present: &[u16], wanted: &[u16]) -> Option<Motion> {
    Motion::next(motion, at_rest(present), at_rest(wanted), &(0..10).collect())
}

#[test]
fn a_ring_that_stays_is_at_rest() {
    assert_eq!(next(None, &[1, 2, 3], &[1, 2, 3]), None);
    assert_eq!(next(None, &[], &[1, 2, 3]), None, "nobody was placed");
}

#[test]
fn a_slot_that_comes_back_stays_in_motion_and_its_previous_owner_what_it_was() {
    let there = next(None, &[1, 2, 3], &[1, 9, 3]).expect("it moves");
    assert_eq!((there.marks.has(1), there.marks.has(0)), (true, false));
    let back = next(Some(there), &[1, 9, 3], &[1, 2, 3]).expect("it moves still");
    assert!(back.marks.has(1));
    let again = next(Some(back), &[1, 2, 3], &[1, 7, 8]).expect("it moves still");
    assert_eq!(again.previous, [1, 2, 3]);
    assert!(again.marks.has(1) && again.marks.has(2) && !again.marks.has(0));
}

#[test]
fn only_slots_where_nobody_else_was_seen_come_to_rest() {
    let moving = next(None, &[1, 2, 3], &[7, 8, 3]).expect("it moves");
    let mut seen = Bits::none(3);
    seen.set(1);
    let rest = moving
        .clone()
        .rest(at_rest(&[7, 8, 3]), &seen)
        .expect("it moves still");
    assert_eq!(rest.previous, [7, 2, 3]);
    assert!(rest.marks.has(1) && !rest.marks.has(0));
    assert_eq!(moving.rest(at_rest(&[7, 8, 3]), &Bits::none(3)), None);
}

#[test]
fn another_size_moves_the_whole_ring() {
    let moving = next(None, &[1, 2, 3], &[1, 2, 3, 1, 2]).expect("it moves");
    assert_eq!(moving.previous, [1, 2, 3]);
    let back = next(Some(moving.clone()), &[1, 2, 3, 1, 2], &[1, 2, 3]).expect("what was placed meanwhile");
    assert!((0..3).all(|slot| back.marks.has(slot)));
    assert_eq!(moving.rest(at_rest(&[1, 2, 3, 1, 2]), &Bits::none(3)), None);
}

#[test]
fn who_is_removed_never_held_anything() {
    let others = [1, 3, 4].into();
    let moving = Motion::next(None, at_rest(&[1, 2, 3]), at_rest(&[1, 4, 3]), &others).expect("it moves");
    assert_eq!(moving.previous, [1, 4, 3]);
    assert!(moving.marks.has(1));
    let nobody = Motion::next(None, at_rest(&[1, 2]), at_rest(&[]), &BTreeSet::new());
    assert_eq!(nobody, None);
}
