//! *schedule*, by how many connections there are: each choice is compared with that of IPVS's algorithm, which is written
//! here once more after `net/netfilter/ipvs/ip_vs_*.c` (Linux 6.12), and each count with the words of the table.

use std::collections::BTreeMap;

use lab::dataplane::Action;
use lab::packet::{ACK, FIN_ACK, Flags, Packet, RST, SYN};
use lb_common::{Load, Thresholds, Verdict, flow_state, placement, real_flags};

use crate::world::{
    LEASE, TCP4, TCP6, UDP4, World, client, client6, datagram_service, mac, real, service, service6,
};

/// The slots of the real servers: of the service over IPv4 from here on, and of that over IPv6.
const FIRST: [u32; 2] = [20, 120];

/// Numbers that look random, and are the same each time (Marsaglia, "Xorshift RNGs", 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// A real server as IPVS has it (`struct ip_vs_dest`).
#[derive(Clone, Debug, Default)]
struct Destination {
    weight: i64,
    active: i64,
    inactive: i64,
    upper: i64,
    lower: i64,
    overload: bool,
}

impl Destination {
    fn overhead(&self) -> i64 {
        (self.active << 8) + self.inactive
    }

    /// What `ip_vs_bind_dest` does with the flag.
    fn bind(&mut self) {
        self.active += 1;
        if self.upper != 0 && self.active + self.inactive >= self.upper {
            self.overload = true;
        }
    }

    /// What `ip_vs_unbind_dest` does with it.
    fn unbound(&mut self) {
        let connections = self.active + self.inactive;
        if self.lower != 0 {
            if connections < self.lower {
                self.overload = false;
            }
        } else if self.upper == 0 || connections * 4 < self.upper * 3 {
            self.overload = false;
        }
    }
}

/// The first one with the least overhead: `ip_vs_lc_schedule`.
fn lc(all: &[Destination]) -> Option<usize> {
    let mut least: Option<(usize, i64)> = None;
    for (number, destination) in all.iter().enumerate() {
        if destination.overload || destination.weight == 0 {
            continue;
        }
        let overhead = destination.overhead();
        if least.is_none_or(|(_, least)| overhead < least) {
            least = Some((number, overhead));
        }
    }
    least.map(|(number, _)| number)
}

/// The loop that `ip_vs_wlc_schedule` and `ip_vs_sed_schedule` share.
fn least_by_weight(all: &[Destination], overhead: impl Fn(&Destination) -> i64) -> Option<usize> {
    let mut least = (0..all.len()).find(|number| !all[*number].overload && all[*number].weight > 0)?;
    let mut least_overhead = overhead(&all[least]);
    for number in least + 1..all.len() {
        let destination = &all[number];
        if destination.overload {
            continue;
        }
        let other = overhead(destination);
        if least_overhead * destination.weight > other * all[least].weight {
            least = number;
            least_overhead = other;
        }
    }
    Some(least)
}

fn wlc(all: &[Destination]) -> Option<usize> {
    least_by_weight(all, Destination::overhead)
}

fn sed(all: &[Destination]) -> Option<usize> {
    least_by_weight(all, |destination| destination.active + 1)
}

fn nq(all: &[Destination]) -> Option<usize> {
    let mut least: Option<(usize, i64)> = None;
    for (number, destination) in all.iter().enumerate() {
        if destination.overload || destination.weight == 0 {
            continue;
        }
        let overhead = destination.active + 1;
        if destination.active == 0 {
            return Some(number);
        }
        let is_less = |(least, least_overhead): (usize, i64)| {
            least_overhead * destination.weight > overhead * all[least].weight
        };
        if least.is_none_or(is_less) {
            least = Some((number, overhead));
        }
    }
    least.map(|(number, _)| number)
}

fn fo(all: &[Destination]) -> Option<usize> {
    let mut highest: Option<(usize, i64)> = None;
    for (number, destination) in all.iter().enumerate() {
        let best = highest.map_or(0, |(_, weight)| weight);
        if !destination.overload && destination.weight > best {
            highest = Some((number, destination.weight));
        }
    }
    highest.map(|(number, _)| number)
}

fn ovf(all: &[Destination]) -> Option<usize> {
    let mut highest: Option<(usize, i64)> = None;
    for (number, destination) in all.iter().enumerate() {
        let weight = destination.weight;
        if destination.overload || destination.active > weight || weight == 0 {
            continue;
        }
        if highest.is_none_or(|(_, best)| weight > best) {
            highest = Some((number, weight));
        }
    }
    highest.map(|(number, _)| number)
}

type Algorithm = fn(&[Destination]) -> Option<usize>;

const ALGORITHMS: [(&str, u32, Algorithm); 6] = [
    ("lc", placement::LEAST_CONNECTION, lc),
    ("wlc", placement::LEAST_CONNECTION, wlc),
    ("sed", placement::SHORTEST_DELAY, sed),
    ("nq", placement::NEVER_QUEUE, nq),
    ("fo", placement::FAILOVER, fo),
    ("ovf", placement::OVERFLOW, ovf),
];

/// The service over IPv4 or IPv6, its real servers, and the model of them.
struct Site {
    world: World,
    is_ipv6: bool,
    destinations: Vec<Destination>,
    /// The connections that are open: their ports and their real servers.
    open: BTreeMap<u16, usize>,
    /// Those that the client has closed.
    closed: BTreeMap<u16, usize>,
    next_port: u16,
}

impl Site {
    fn new(is_ipv6: bool, placement: u32, destinations: Vec<Destination>) -> Self {
        Self::with_room(2_000, is_ipv6, placement, destinations)
    }

    /// The same, with a table for this many connections.
    fn with_room(connections: u32, is_ipv6: bool, placement: u32, destinations: Vec<Destination>) -> Self {
        let mut site = Self {
            world: World::with_room(connections),
            is_ipv6,
            destinations,
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
            next_port: 1,
        };
        let index = if is_ipv6 { TCP6 } else { TCP4 };
        for (slot, destination) in (site.first()..).zip(&site.destinations) {
            let mut real = real(slot, index);
            real.flags |= real_flags::COUNTED;
            real.weight = destination.weight as u16;
            real.thresholds = Thresholds::new(destination.upper as u32, destination.lower as u32);
            site.world.dataplane.put_real(slot, real);
        }
        // As the daemon lays it out: by weight where nothing else counts.
        let mut order: Vec<u32> = (0..site.destinations.len() as u32).collect();
        if [placement::FAILOVER, placement::OVERFLOW].contains(&placement) {
            order.sort_by_key(|number| -site.destinations[*number as usize].weight);
        }
        let ring: Vec<u32> = order.iter().map(|number| site.first() + number).collect();
        site.world.schedule_placed(index, &ring, LEASE, placement);
        site
    }

    fn first(&self) -> u32 {
        FIRST[usize::from(self.is_ipv6)]
    }

    fn segment(&self, port: u16, flags: Flags) -> Vec<u8> {
        if self.is_ipv6 {
            Packet::tcp(client6(port), service6(), flags).build()
        } else {
            Packet::tcp(client(port), service(), flags).build()
        }
    }

    /// Opens a connection. Returns its port and its real server; none if it was refused.
    fn open(&mut self) -> Option<(u16, usize)> {
        let port = self.next_port;
        self.next_port += 1;
        let fate = self.world.dataplane.send(&self.segment(port, SYN));
        if fate.verdict == Verdict::AnswerUnreachable {
            assert_eq!(fate.action, Action::Transmit);
            return None;
        }
        assert_eq!(fate.verdict, Verdict::ForwardNew);
        let server = (0..self.destinations.len())
            .find(|server| fate.frame[..6] == mac(self.first() + *server as u32))
            .expect("one of the real servers");
        self.open.insert(port, server);
        self.destinations[server].bind();
        Some((port, server))
    }

    fn go_on(&mut self, port: u16) {
        self.world.dataplane.run(&self.segment(port, ACK));
    }

    /// Closes a connection.
    fn close(&mut self, port: u16, flags: Flags) {
        let server = self.open.remove(&port).expect("it is open");
        self.closed.insert(port, server);
        self.world.dataplane.run(&self.segment(port, flags));
        self.destinations[server].active -= 1;
        self.destinations[server].inactive += 1;
    }

    /// A closed connection times out, as the daemon's sweep finds it.
    fn expire(&mut self, port: u16) {
        let server = self.closed.remove(&port).expect("it is closed");
        let slot = self.first() + server as u32;
        let load = self.world.dataplane.load_of(slot);
        let less = load.0.wrapping_sub(Load::of(flow_state::CLOSING));
        self.world.dataplane.put_load(slot, Load(less));
        self.destinations[server].inactive -= 1;
        self.destinations[server].unbound();
    }

    /// The program counts as the model does.
    #[track_caller]
    fn compare(&mut self) {
        for (slot, destination) in (self.first()..).zip(self.destinations.clone()) {
            let load = self.world.dataplane.load_of(slot);
            assert_eq!(
                (load.active() as i64, load.inactive() as i64),
                (destination.active, destination.inactive),
                "slot {slot}"
            );
        }
    }
}

fn weights(weights: &[i64]) -> Vec<Destination> {
    let destination = |weight: &i64| Destination {
        weight: *weight,
        ..Destination::default()
    };
    weights.iter().map(destination).collect()
}

/// Connections that come, go on, end and are forgotten, in an order that a chance gave once.
fn compare_with_model(
    name: &str,
    placement: u32,
    algorithm: Algorithm,
    is_ipv6: bool,
    all: Vec<Destination>,
) {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut site = Site::new(is_ipv6, placement, all);
    for step in 0..400 {
        let open: Vec<u16> = site.open.keys().copied().collect();
        let closed: Vec<u16> = site.closed.keys().copied().collect();
        match random.below(6) {
            0 if !open.is_empty() => site.close(open[random.below(open.len())], FIN_ACK),
            1 if !open.is_empty() => site.close(open[random.below(open.len())], RST),
            2 if !open.is_empty() => site.go_on(open[random.below(open.len())]),
            3 if !closed.is_empty() => site.expire(closed[random.below(closed.len())]),
            _ => {
                let expected = algorithm(&site.destinations);
                let chosen = site.open().map(|(_, server)| server);
                assert_eq!(chosen, expected, "{name}, step {step}: {:?}", site.destinations);
            }
        }
        site.compare();
    }
}

#[test]
fn connections_go_where_ipvs_would_send_them() {
    for (name, placement, algorithm) in ALGORITHMS {
        // `lc` knows no weights.
        let all: &[i64] = if name == "lc" {
            &[1, 1, 1, 1]
        } else {
            &[3, 1, 4, 1, 5]
        };
        for is_ipv6 in [false, true] {
            compare_with_model(name, placement, algorithm, is_ipv6, weights(all));
        }
    }
}

#[test]
fn thresholds_are_those_of_ipvs_under_each_scheduler() {
    for (name, placement, algorithm) in ALGORITHMS {
        let mut all = weights(if name == "lc" { &[1, 1, 1] } else { &[2, 7, 5] });
        for (destination, (upper, lower)) in all.iter_mut().zip([(6, 3), (9, 0), (4, 4)]) {
            destination.upper = upper;
            destination.lower = lower;
        }
        compare_with_model(name, placement, algorithm, false, all);
    }
}

/// The first connections of all, worked out by hand.
#[test]
fn the_first_connections_go_where_they_must() {
    let cases: [(u32, &[i64], &[usize]); 6] = [
        (placement::LEAST_CONNECTION, &[1, 1, 1], &[0, 1, 2, 0, 1, 2, 0]),
        // 0/3 = 0/2 = 0/1: the first; 1/3 > 0/2: the second; then the third, which has nothing; then 1/3 is least.
        (placement::LEAST_CONNECTION, &[3, 2, 1], &[0, 1, 2, 0, 1, 0, 0, 1]),
        // 1/3; 2/3 > 1/2; 2/3; 3/3, 2/2 and 1/1 are alike: the first; and so on.
        (placement::SHORTEST_DELAY, &[3, 2, 1], &[0, 1, 0, 0, 1, 2, 0, 1]),
        // Each has one before anybody has two.
        (placement::NEVER_QUEUE, &[3, 2, 1], &[0, 1, 2, 0, 0, 1, 0, 1]),
        (placement::FAILOVER, &[1, 3, 2], &[1, 1, 1, 1, 1]),
        // As many as its weight, and one more.
        (placement::OVERFLOW, &[1, 3, 2], &[1, 1, 1, 1, 2, 2, 2, 0, 0]),
    ];
    for (placement, weights_of_all, expected) in cases {
        let mut site = Site::new(false, placement, weights(weights_of_all));
        let chosen: Vec<usize> = expected
            .iter()
            .map(|_| site.open().expect("somebody takes it").1)
            .collect();
        assert_eq!(chosen, expected, "placement {placement}");
    }
}

/// Where all have more than their weights, a client is told so at once.
#[test]
fn what_nobody_may_have_is_refused() {
    let mut site = Site::new(false, placement::OVERFLOW, weights(&[1, 1]));
    for _ in 0..4 {
        site.open().expect("somebody takes it");
    }
    assert_eq!(site.open(), None);
    let port = *site.open.keys().next().expect("they are open");
    site.close(port, FIN_ACK);
    assert_eq!(site.open().map(|(_, server)| server), Some(0));
}

/// Servers that go down or whose address is unknown are passed over, in the moment before the daemon changes the list.
#[test]
fn who_cannot_be_reached_is_not_chosen() {
    for missing in [real_flags::UP, real_flags::RESOLVED, real_flags::CONFIGURED] {
        let mut site = Site::new(false, placement::LEAST_CONNECTION, weights(&[1, 1]));
        let slot = site.first();
        site.world.change_real(slot, |real| real.flags &= !missing);
        for _ in 0..3 {
            assert_eq!(site.open().map(|(_, server)| server), Some(1));
        }
        site.world.change_real(slot + 1, |real| real.flags &= !missing);
        let syn = site.segment(1_000, SYN);
        site.world.expect(&syn, Verdict::DropNoRealServer);
    }
}

/// Long connections in proportion to the weights, within one in a hundred, whatever short ones come between.
#[test]
fn least_connections_are_in_proportion_to_the_weights() {
    const WEIGHTS: [i64; 3] = [5, 3, 2];
    const CONNECTIONS: usize = 6_000;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut site = Site::with_room(20_000, false, placement::LEAST_CONNECTION, weights(&WEIGHTS));
    let mut short = Vec::new();
    for _ in 0..CONNECTIONS {
        let (port, _) = site.open().expect("somebody takes it");
        site.go_on(port);
        // Half of them end, each some time after it has begun.
        if random.below(2) == 0 {
            short.push(port);
        }
        if short.len() > 20 {
            let port = short.swap_remove(random.below(short.len()));
            site.close(port, FIN_ACK);
        }
    }
    site.compare();
    let active: i64 = site
        .destinations
        .iter()
        .map(|destination| destination.active)
        .sum();
    assert!(active > CONNECTIONS as i64 / 3, "{active} are left");
    for destination in &site.destinations {
        let fair = active * destination.weight / WEIGHTS.iter().sum::<i64>();
        let off = destination.active.abs_diff(fair) as i64;
        assert!(off * 100 <= fair, "{off} of {fair}: {:?}", site.destinations);
    }
}

/// Whoever pushes another connection out of a table that is full takes it from that one's real server.
#[test]
fn what_is_counted_is_what_the_table_holds_when_that_is_full() {
    let mut random = Random(0xd1b5_4a32_d192_ed03);
    let mut site = Site::with_room(40, false, placement::LEAST_CONNECTION, weights(&[1, 2, 3]));
    for _ in 0..1_500 {
        let port = 1 + random.below(120) as u16;
        let flags = [SYN, SYN, SYN, ACK, FIN_ACK, RST][random.below(6)];
        let segment = site.segment(port, flags);
        site.world.dataplane.run(&segment);
    }
    let words = site.world.dataplane.flows();
    assert!(words.len() > 40, "{} are left", words.len());
    for slot in (site.first()..).take(3) {
        let of_slot = words.iter().filter(|word| word.slot() == slot);
        let expected = of_slot.fold(0_u64, |sum, word| sum.wrapping_add(Load::of(word.state())));
        assert_eq!(site.world.dataplane.load_of(slot), Load(expected), "slot {slot}");
    }
}

/// A datagram proves nothing; the second one of a client does.
#[test]
fn datagrams_count_as_active_from_the_second_on() {
    let mut world = World::new();
    let slot = World::slot(UDP4, 0);
    world.change_real(slot, |real| real.flags |= real_flags::COUNTED);
    let datagram = Packet::udp(client(1), datagram_service()).build();
    for expected in [(0, 1), (1, 0), (1, 0)] {
        world.dataplane.run(&datagram);
        let load = world.dataplane.load_of(slot);
        assert_eq!((load.active(), load.inactive()), expected);
    }
}

#[test]
fn nothing_is_counted_where_nobody_asks() {
    let mut world = World::new();
    let slot = World::slot(TCP4, 0);
    for flags in [SYN, ACK, FIN_ACK] {
        world
            .dataplane
            .run(&Packet::tcp(client(1), service(), flags).build());
    }
    assert_eq!(world.dataplane.load_of(slot), Load::default());
}

/// Of a hundred, sixty-four are compared; which ones changes with each connection.
#[test]
fn of_many_real_servers_a_part_is_compared() {
    const SERVERS: usize = 100;
    const COMPARED: usize = 64;
    let mut site = Site::new(true, placement::LEAST_CONNECTION, weights(&[1; SERVERS]));
    for turn in 0..500 {
        let start = (turn * COMPARED % SERVERS).min(SERVERS - COMPARED);
        let expected = start + lc(&site.destinations[start..start + COMPARED]).expect("all serve");
        assert_eq!(
            site.open().map(|(_, server)| server),
            Some(expected),
            "turn {turn}"
        );
    }
    let counts = site.destinations.iter().map(|destination| destination.active);
    assert!(counts.clone().min() > Some(0) && counts.max() < Some(15));
}

/// How often each of two servers is chosen in a thousand draws, whose connections are not counted.
fn draws(loads: [i64; 2], ring: &[usize]) -> [u32; 2] {
    let mut site = Site::new(false, placement::TWO_CHOICES, weights(&[1, 1]));
    let first = site.first();
    let ring: Vec<u32> = ring.iter().map(|server| first + *server as u32).collect();
    let shares = [0, 1].map(|server| ring.iter().filter(|slot| **slot == first + server).count());
    site.world
        .schedule_placed(TCP4, &ring, LEASE, placement::TWO_CHOICES);
    let mut chosen = [0; 2];
    for _ in 0..1_000 {
        for (server, active) in (0..).zip(loads) {
            site.world.change_real(first + server, |real| {
                real.weight = shares[server as usize] as u16
            });
            site.world
                .dataplane
                .put_load(first + server, Load(Load::sum(active, 0)));
        }
        let (_, server) = site.open().expect("somebody takes it");
        chosen[server] += 1;
    }
    chosen
}

/// Four times the root of the variance of a thousand draws, at most: less than one in ten thousand tries is worse.
const CHANCE: u32 = 64;

#[test]
fn of_two_that_are_drawn_the_one_with_fewer_connections_is_chosen() {
    // The busy one only where it was drawn twice.
    let [busy, _] = draws([10, 0], &[0, 1]);
    assert!(busy.abs_diff(250) < CHANCE, "{busy}");
    // They are alike: whoever was drawn first.
    let [heavy, _] = draws([0, 0], &[0, 0, 1, 0]);
    assert!(heavy.abs_diff(750) < CHANCE, "{heavy}");
    // Three times as many for three times the weight are alike, too; one more is not: 9 of 16.
    let [heavy, _] = draws([30, 10], &[0, 0, 1, 0]);
    assert!(heavy.abs_diff(750) < CHANCE, "{heavy}");
    let [heavy, _] = draws([31, 10], &[0, 0, 1, 0]);
    assert!(heavy.abs_diff(562) < CHANCE, "{heavy}");
}

/// `rr` and its like pass over whoever has reached its threshold, however long its turns are.
#[test]
fn thresholds_hold_where_connections_take_turns() {
    let mut all = weights(&[50, 1]);
    all[0].upper = 10;
    let mut site = Site::new(false, placement::LEAST_CONNECTION, all);
    let first = site.first();
    let ring = [[first; 50].as_slice(), &[first + 1]].concat();
    for placement in [placement::TURN, placement::SOURCE_AND_PORT] {
        site.world.schedule_placed(TCP4, &ring, LEASE, placement);
        for _ in 0..40 {
            let busy = site.destinations[0].overload;
            let (_, server) = site.open().expect("somebody takes it");
            assert!(!(busy && server == 0), "{:?}", site.destinations);
        }
        assert_eq!(site.destinations[0].active, 10);
    }
    // Seven are less than three quarters of ten.
    for _ in 0..3 {
        let port = *site
            .open
            .iter()
            .find(|(_, server)| **server == 0)
            .expect("it has some")
            .0;
        site.close(port, FIN_ACK);
        assert!(site.destinations[0].overload, "closing ones count");
        site.expire(port);
    }
    assert!(!site.destinations[0].overload);
    while site.open().expect("somebody takes it").1 != 0 {}
    // Nobody has room.
    site.world
        .change_real(first + 1, |real| real.thresholds = Thresholds::new(1, 0));
    while site.open().is_some() {}
    assert_eq!(site.destinations[0].active, 10);
}
