//! A deterministic world of several nodes on one network, each with a speaker of several virtual routers: virtual time,
//! delay, loss, partitions, processes that are stopped, killed and restarted, links that go down, filters that keep
//! advertisements from leaving or from being heard. Every node has the XDP program's half of the leases too, which goes
//! on when its daemon does not; advertisements travel as messages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lb_common::lease_state;

use super::effect::State;
use super::speaker::{Command, Speaker};
use crate::model::{Interval, Priority, Version, VirtualAddress, VirtualRouterId, VrrpInstance};

mod clients;
mod network;
mod node;
mod scenarios;

use clients::View;
use network::Packet;
use node::{Fault, Node};

/// The longest that an advertisement travels.
const DELAY: Duration = Duration::from_millis(2);

/// The identifier of the first virtual router; the others follow.
const FIRST_ID: u8 = 51;

/// An instance for tests: virtual router 51 with 10.0.0.100, version 2, one second, preempting.
pub(super) fn instance(priority: u8) -> VrrpInstance {
    VrrpInstance {
        name: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        virtual_router_id: VirtualRouterId::new(FIRST_ID).unwrap(),
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

/// The second virtual router of a node that has `first`: the other address, and the other way round in the election.
fn second(first: &VrrpInstance) -> VrrpInstance {
    VrrpInstance {
        name: "VI_2".to_owned(),
        virtual_router_id: VirtualRouterId::new(FIRST_ID + 1).unwrap(),
        priority: Priority::new((255 - first.priority.get()).max(1)),
        virtual_addresses: vec![virtual_address("10.0.0.101/24")],
        ..first.clone()
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
    Deliver {
        to: usize,
        packet: usize,
    },
    /// `to` hears that `from` has the address of a virtual router.
    Claim {
        to: usize,
        from: usize,
        router: usize,
    },
    Wake(usize),
}

struct World {
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    sequence: u64,
    in_flight: Vec<Option<(Packet, u8)>>,
    free: Vec<usize>,
    random: u64,
    partition: usize,
    loss: u8,
    views: Vec<View>,
    /// How long two nodes answered for one address.
    longest_overlap: Duration,
    /// How long none did.
    longest_gap: Duration,
    /// How long the node that clients send to did not forward.
    longest_unserved: Duration,
}

impl World {
    fn new(instances: impl IntoIterator<Item = VrrpInstance>, seed: u64) -> Self {
        let start = origin();
        let nodes = instances.into_iter().zip(1..).map(|(first, host)| {
            let configured = vec![second(&first), first].into_iter().rev().collect();
            Node::new(configured, Ipv4Addr::new(10, 0, 0, host))
        });
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
            views: Vec::new(),
            longest_overlap: Duration::ZERO,
            longest_gap: Duration::ZERO,
            longest_unserved: Duration::ZERO,
        };
        let routers = world.nodes.iter().map(|node| node.configured.len()).max();
        let clients = world.nodes.len();
        world
            .views
            .resize_with(routers.unwrap_or(0), || View::of(clients));
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
                Event::Claim { to, from, router } => self.deliver_claim(to, from, router),
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
            Fault::Terminate(node) => self.input(node, |speaker, now| {
                speaker.assign(crate::vrrp::Task::default(), |_| panic!("nobody begins"), now, 0);
            }),
            Fault::Unplug(node) => self.plug(node, false),
            Fault::Plug(node) => self.plug(node, true),
            Fault::Mute(node) => self.nodes[node].mute = true,
            Fault::Unmute(node) => self.nodes[node].mute = false,
            Fault::Deafen(node) => self.nodes[node].deaf = true,
            Fault::Undeafen(node) => self.nodes[node].deaf = false,
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
            self.happen(Fault::Unmute(node));
            self.happen(Fault::Undeafen(node));
            self.happen(Fault::Continue(node));
            self.happen(Fault::Plug(node));
        }
        // Who is handing over finishes first.
        let interval = self.interval();
        self.run(interval + Duration::from_secs(1));
        for node in 0..self.nodes.len() {
            self.happen(Fault::Start(node));
        }
    }

    fn start(&mut self, node: usize) {
        let now = self.now;
        let nanoseconds = self.nanoseconds();
        let this = &mut self.nodes[node];
        if this.daemon.is_some() || this.frozen {
            return;
        }
        let mut speaker = Speaker::new(now);
        speaker.assign(
            this.task(),
            |slot| this.kernel[slot.get() as usize].lease,
            now,
            nanoseconds,
        );
        speaker.replace_ports(vec![this.port()], now);
        this.daemon = Some(speaker);
        this.paused = false;
        this.wake = None;
        self.drain(node);
    }

    fn plug(&mut self, node: usize, link: bool) {
        self.nodes[node].link = link;
        self.look_at_ports(node);
    }

    fn look_at_ports(&mut self, node: usize) {
        let port = self.nodes[node].port();
        self.input(node, |speaker, now| speaker.replace_ports(vec![port], now));
    }

    /// What a loop does that comes back: packets first, then the clock.
    fn unpause(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].paused) {
            return;
        }
        self.nodes[node].frozen = false;
        while let Some(packet) = self.nodes[node].inbox.pop_front() {
            self.input(node, |speaker, now| {
                speaker.received(node::INTERFACE, &packet.datagram(), now);
            });
        }
        self.look_at_ports(node);
        self.nodes[node].wake = None;
        self.input(node, Speaker::timeout);
    }

    fn wake(&mut self, node: usize) {
        if self.nodes[node].wake != Some(self.now) {
            return;
        }
        self.nodes[node].wake = None;
        self.input(node, Speaker::timeout);
        assert!(
            self.nodes[node].wake != Some(self.now),
            "a deadline that stays would spin"
        );
    }

    fn input(&mut self, node: usize, input: impl FnOnce(&mut Speaker, Instant)) {
        let now = self.now;
        let this = &mut self.nodes[node];
        if this.paused {
            return;
        }
        if let Some(speaker) = &mut this.daemon {
            input(speaker, now);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: usize) {
        let (now, nanoseconds) = (self.now, self.nanoseconds());
        while let Some(command) = self.nodes[node].daemon.as_mut().and_then(Speaker::next_effect) {
            match command {
                Command::Send {
                    router,
                    source,
                    message,
                    ..
                } => {
                    let packet = Packet {
                        source,
                        message: message.into(),
                    };
                    if self.nodes[node].send(router, &packet, now) {
                        self.transmit(node, packet);
                    }
                }
                Command::Announce { address, .. } => {
                    let router = self.nodes[node].announce(address);
                    if self.nodes[node].link {
                        self.announced(node, router);
                        self.claim(node, router);
                    }
                }
                command => self.nodes[node].carry_out(command, nanoseconds),
            }
        }
        let this = &mut self.nodes[node];
        let Some(speaker) = &this.daemon else { return };
        if speaker.is_empty() {
            let vacant = |kernel: &node::Kernel| kernel.lease.state == lease_state::VACANT;
            assert!(this.kernel.iter().all(vacant));
            this.daemon = None;
            return;
        }
        // A wake-up that comes too early only looks at the deadline again.
        if let Some(deadline) = speaker.deadline()
            && this.wake.is_none_or(|wake| deadline < wake)
        {
            let wake = deadline.max(now);
            this.wake = Some(wake);
            self.schedule(wake, Event::Wake(node));
        }
    }

    /// The advertisement interval, which is the same everywhere.
    fn interval(&self) -> Duration {
        self.nodes[0].configured[0].advert_int.duration()
    }
}
