//! A deterministic world of several routers on one network: virtual time, delay, loss, partitions, processes that are
//! stopped, killed and restarted, links that go down. Every node has the XDP program's half of the lease too, which
//! goes on when its daemon does not; advertisements travel as packets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lb_common::lease_state;

use super::effect::State;
use super::router::VirtualRouter;
use super::wire::{Advertisement, Received};
use crate::model::{Interval, Priority, Version, VirtualAddress, VirtualRouterId, VrrpInstance};

mod node;
mod scenarios;

use node::{Fault, Node};

/// The longest that an advertisement travels.
const DELAY: Duration = Duration::from_millis(2);

/// An instance for tests: virtual router 51 with 10.0.0.100, version 2, one second, preempting.
pub(super) fn instance(priority: u8) -> VrrpInstance {
    VrrpInstance {
        name: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        virtual_router_id: VirtualRouterId::new(51).unwrap(),
        version: Version::V2,
        priority: Priority::new(priority),
        advert_int: Interval::from_seconds(1).unwrap(),
        preempt: true,
        password: None,
        lease: true,
        virtual_addresses: vec![virtual_address("10.0.0.100/24")],
    }
}

/// An address on the instance's own interface.
pub(super) fn virtual_address(address: &str) -> VirtualAddress {
    VirtualAddress {
        address: address.parse().unwrap(),
        device: None,
        label: None,
    }
}

/// The beginning of virtual time.
#[allow(
    clippy::disallowed_methods,
    reason = "an Instant has no other origin; tests only add to it"
)]
pub(super) fn origin() -> Instant {
    Instant::now()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Deliver { to: usize, packet: usize },
    Wake(usize),
}

struct World {
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    sequence: u64,
    in_flight: Vec<Option<(Rc<Received>, u8)>>,
    free: Vec<usize>,
    random: u64,
    partition: usize,
    loss: u8,
    two_answer_since: Option<Instant>,
    longest_overlap: Duration,
    none_answers_since: Option<Instant>,
    longest_gap: Duration,
}

impl World {
    fn new(instances: impl IntoIterator<Item = VrrpInstance>, seed: u64) -> Self {
        let start = origin();
        let nodes = instances
            .into_iter()
            .zip(1..)
            .map(|(configured, host)| Node::new(configured, Ipv4Addr::new(10, 0, 0, host)));
        let mut world = Self {
            start,
            // The kernel's clock is not 0 when a lease is first granted.
            now: start + Duration::from_secs(100),
            nodes: nodes.collect(),
            queue: BinaryHeap::new(),
            sequence: 0,
            in_flight: Vec::new(),
            free: Vec::new(),
            random: seed,
            partition: 0,
            loss: 0,
            two_answer_since: None,
            longest_overlap: Duration::ZERO,
            none_answers_since: None,
            longest_gap: Duration::ZERO,
        };
        for node in 0..world.nodes.len() {
            world.happen(Fault::Start(node));
        }
        world
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    fn nanoseconds(&self) -> u64 {
        u64::try_from((self.now - self.start).as_nanos()).unwrap()
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.queue.peek().is_some_and(|Reverse((at, _, _))| *at <= end) {
            let Some(Reverse((at, _, event))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            self.observe();
            match event {
                Event::Deliver { to, packet } => self.deliver(to, packet),
                Event::Wake(node) => self.wake(node),
            }
            self.observe();
        }
        self.now = end;
        self.observe();
    }

    fn happen(&mut self, fault: Fault) {
        match fault {
            Fault::Stop(node) => self.nodes[node].paused = true,
            Fault::Freeze(node) => {
                self.nodes[node].paused = true;
                self.nodes[node].frozen = true;
            }
            Fault::Continue(node) => self.unpause(node),
            Fault::Kill(node) => {
                self.nodes[node].daemon = None;
                self.nodes[node].inbox.clear();
            }
            Fault::Start(node) => self.start(node),
            Fault::Terminate(node) => self.input(node, VirtualRouter::stop),
            Fault::Unplug(node) => {
                self.nodes[node].link = false;
                self.input(node, VirtualRouter::interface_down);
            }
            Fault::Plug(node) => {
                self.nodes[node].link = true;
                let source = self.nodes[node].source;
                self.input(node, |router, now| router.interface_up(source, now));
            }
            Fault::Partition(border) => self.partition = border,
            Fault::Lose(percent) => self.loss = percent,
        }
        self.observe();
    }

    /// Everything is put right, and every daemon runs.
    fn heal(&mut self) {
        self.happen(Fault::Partition(0));
        self.happen(Fault::Lose(0));
        for node in 0..self.nodes.len() {
            self.happen(Fault::Continue(node));
            self.happen(Fault::Plug(node));
        }
        // Who is handing over finishes first.
        let interval = self.nodes[0].configured.advert_int.duration();
        self.run(interval + Duration::from_secs(1));
        for node in 0..self.nodes.len() {
            self.happen(Fault::Start(node));
        }
    }

    fn start(&mut self, node: usize) {
        let now = self.now;
        let nanoseconds = self.nanoseconds();
        let world_start = self.start;
        let this = &mut self.nodes[node];
        if this.daemon.is_some() || this.frozen {
            return;
        }
        let mut router = VirtualRouter::new(this.configured.clone());
        let lease = this.lease;
        if lease.state == lease_state::HELD
            && lease.interval != 0
            && lease.entitlement(nanoseconds).may_answer
        {
            router.resume(world_start + Duration::from_nanos(lease.renewed_at));
        }
        if this.link {
            router.interface_up(this.source, now);
        } else {
            router.interface_down(now);
        }
        this.daemon = Some(router);
        this.paused = false;
        this.wake = None;
        self.drain(node);
    }

    /// What a loop does that comes back: packets first, then the clock.
    fn unpause(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].paused) {
            return;
        }
        self.nodes[node].frozen = false;
        while let Some(received) = self.nodes[node].inbox.pop_front() {
            self.input(node, |router, now| {
                router.received(received.source, &received.advertisement, now);
            });
        }
        if self.nodes[node].link {
            let source = self.nodes[node].source;
            self.input(node, |router, now| router.interface_up(source, now));
        } else {
            self.input(node, VirtualRouter::interface_down);
        }
        self.nodes[node].wake = None;
        self.input(node, VirtualRouter::timeout);
    }

    fn deliver(&mut self, to: usize, packet: usize) {
        let Some((received, pending)) = &mut self.in_flight[packet] else {
            return;
        };
        let received = Rc::clone(received);
        *pending -= 1;
        if *pending == 0 {
            self.in_flight[packet] = None;
            self.free.push(packet);
        }
        let nanoseconds = self.nanoseconds();
        let node = &mut self.nodes[to];
        if !node.link || node.frozen {
            return;
        }
        // The program: a peer speaks while our own advertisement is overdue.
        if node.lease.state == lease_state::HELD && nanoseconds > node.lease.overdue_at() {
            node.lease.successor_at = nanoseconds;
        }
        if node.paused {
            if node.daemon.is_some() && node.inbox.len() < 64 {
                node.inbox.push_back(received);
            }
            return;
        }
        self.input(to, |router, now| {
            router.received(received.source, &received.advertisement, now);
        });
    }

    fn wake(&mut self, node: usize) {
        if self.nodes[node].wake != Some(self.now) {
            return;
        }
        self.nodes[node].wake = None;
        self.input(node, VirtualRouter::timeout);
        assert!(
            self.nodes[node].wake != Some(self.now),
            "a deadline that stays would spin"
        );
    }

    fn input(&mut self, node: usize, input: impl FnOnce(&mut VirtualRouter, Instant)) {
        let now = self.now;
        let this = &mut self.nodes[node];
        if this.paused {
            return;
        }
        if let Some(router) = &mut this.daemon {
            input(router, now);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node]
            .daemon
            .as_mut()
            .and_then(VirtualRouter::next_effect)
        {
            let nanoseconds = self.nanoseconds();
            if let Some(advertisement) = self.nodes[node].carry_out(effect, self.now, nanoseconds) {
                self.transmit(node, &advertisement);
            }
        }
        let now = self.now;
        let this = &mut self.nodes[node];
        let Some(router) = &this.daemon else { return };
        if router.is_stopped() {
            assert_eq!(this.lease.state, lease_state::VACANT);
            this.daemon = None;
            return;
        }
        // A wake-up that comes too early only looks at the deadline again.
        if let Some(deadline) = router.deadline()
            && this.wake.is_none_or(|wake| deadline < wake)
        {
            let wake = deadline.max(now);
            this.wake = Some(wake);
            self.schedule(wake, Event::Wake(node));
        }
    }

    fn transmit(&mut self, from: usize, advertisement: &Advertisement) {
        let source = self.nodes[from].source;
        if !self.nodes[from].link {
            return;
        }
        let received = Advertisement::parse(&advertisement.packet(source)).expect("we understand ourselves");
        let packet = self.free.pop().unwrap_or_else(|| {
            self.in_flight.push(None);
            self.in_flight.len() - 1
        });
        let mut pending = 0;
        for to in 0..self.nodes.len() {
            let heard = (from < self.partition) == (to < self.partition);
            if to == from || !heard || self.random(100) < u64::from(self.loss) {
                continue;
            }
            let delay = Duration::from_nanos(1 + self.random(u64::try_from(DELAY.as_nanos()).unwrap()));
            pending += 1;
            self.schedule(self.now + delay, Event::Deliver { to, packet });
        }
        if pending == 0 {
            self.free.push(packet);
        } else {
            self.in_flight[packet] = Some((Rc::new(received), pending));
        }
    }

    /// The nodes whose kernel would answer a client's ARP request.
    fn answering(&self) -> Vec<usize> {
        let nanoseconds = self.nanoseconds();
        (0..self.nodes.len())
            .filter(|node| self.nodes[*node].answers(nanoseconds))
            .collect()
    }

    fn masters(&self) -> Vec<usize> {
        let is_master = |node: &Node| {
            node.daemon
                .as_ref()
                .is_some_and(|router| router.state() == State::Master)
        };
        (0..self.nodes.len())
            .filter(|node| is_master(&self.nodes[*node]))
            .collect()
    }

    fn observe(&mut self) {
        let nanoseconds = self.nanoseconds();
        let count = self.nodes.iter().filter(|node| node.answers(nanoseconds)).count();
        let now = self.now;
        let follow = |holds: bool, since: &mut Option<Instant>, longest: &mut Duration| {
            if holds {
                *longest = (*longest).max(now - *since.get_or_insert(now));
            } else {
                *since = None;
            }
        };
        follow(count > 1, &mut self.two_answer_since, &mut self.longest_overlap);
        follow(count == 0, &mut self.none_answers_since, &mut self.longest_gap);
    }

    /// Forgets what was observed so far.
    fn observe_anew(&mut self) {
        self.two_answer_since = None;
        self.none_answers_since = None;
        self.longest_overlap = Duration::ZERO;
        self.longest_gap = Duration::ZERO;
        self.observe();
    }
}
