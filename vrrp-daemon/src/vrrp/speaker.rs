//! All virtual routers of this node, and the interfaces that they work on.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_common::Lease;

use super::awaited::Awaited;
use super::effect::State;
use super::obstacle::Obstacle;
use super::router::VirtualRouter;
use super::wire::{Advertisement, Datagram, Error};
use crate::agenda::Agenda;
use crate::model::{AddressFamily, LeaseSlot, VirtualRouterId, VirtualRouterName};

mod command;
mod effects;
mod member;
mod port;
mod ports;

pub use command::{Command, News};
pub use member::{Counters, Member, RouterHandle, RouterState, Task};
pub use port::{Port, PortAddress};

use member::{Router, Sending};

/// All virtual routers of this node: inputs and the time go in, [`Command`]s come out.
///
/// Only those that something happened to are ever looked at: an advertisement costs the same whether there is one
/// virtual router or hundreds.
#[derive(Debug)]
pub struct Speaker {
    routers: BTreeMap<RouterHandle, Router>,
    names: HashMap<VirtualRouterName, RouterHandle>,
    /// Who hears what comes in by an interface.
    hearers: HashMap<(u32, VirtualRouterId, AddressFamily), RouterHandle>,
    /// The virtual addresses, and the virtual routers that have them: while a reload moves one, there are two.
    addresses: HashMap<IpAddr, Vec<RouterHandle>>,
    /// The interfaces, by index.
    ports: BTreeMap<u32, Port>,
    /// They are known.
    looked_at_ports: bool,
    /// Where advertisements are heard.
    listening: BTreeSet<(u32, AddressFamily)>,
    /// Where the socket for them cannot be opened.
    deaf: BTreeSet<(u32, AddressFamily)>,
    /// What was last wrong with a datagram, by interface: told when it changes, or a bad neighbour would fill the log.
    complaints: HashMap<u32, Error>,
    /// Which interface an address was added to, by the name that the interface had.
    placed: HashMap<(IpAddr, String), u32>,
    /// The program is wanted whether this node holds a lease or not.
    program_always: bool,
    /// What this node does not know of its real servers.
    awaited: BTreeSet<Awaited>,
    /// How many leases this node holds.
    held: usize,
    /// Whether the program was last wanted; unknown when it may not be so any more.
    program_runs: Option<bool>,
    agenda: Agenda<RouterHandle>,
    /// The virtual router whose effects are being carried out.
    turn: Option<RouterHandle>,
    commands: VecDeque<Command>,
    /// The virtual routers whose [`RouterState`] is another than when [`Self::take_changes`] was last asked.
    changed: BTreeSet<RouterHandle>,
    next_handle: u32,
    /// The time of the latest input.
    latest: Instant,
}

impl Speaker {
    /// A speaker without virtual routers or interfaces.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            routers: BTreeMap::new(),
            names: HashMap::new(),
            hearers: HashMap::new(),
            addresses: HashMap::new(),
            ports: BTreeMap::new(),
            looked_at_ports: false,
            listening: BTreeSet::new(),
            deaf: BTreeSet::new(),
            complaints: HashMap::new(),
            placed: HashMap::new(),
            program_always: false,
            awaited: BTreeSet::new(),
            held: 0,
            program_runs: None,
            agenda: Agenda::default(),
            turn: None,
            commands: VecDeque::new(),
            changed: BTreeSet::new(),
            next_handle: 0,
            latest: now,
        }
    }

    /// The virtual routers are those of `task` from now on. New ones begin: whoever finds its lease still holding, as a
    /// previous daemon left it, resumes that mastership. Those that are not in it any more hand over, and one that is
    /// wanted again meanwhile begins anew once it has.
    ///
    /// `lease` reads a slot, whose times count in the nanoseconds of `nanoseconds`, which are those of `now`.
    pub fn assign(&mut self, task: Task, lease: impl Fn(LeaseSlot) -> Lease, now: Instant, nanoseconds: u64) {
        self.latest = now;
        self.program_always = task.program_always;
        self.awaited.clone_from(&task.awaited);
        self.program_runs = None;
        let wanted: HashMap<VirtualRouterName, &Member> = task
            .members
            .iter()
            .map(|member| (member.instance.router_name(), member))
            .collect();
        let present: Vec<RouterHandle> = self.routers.keys().copied().collect();
        for handle in present {
            let router = self.routers.get_mut(&handle).expect("it is present");
            match wanted.get(&router.name) {
                None => {
                    router.stopping = true;
                    router.again = None;
                    self.input(handle, |machine| machine.stop(now));
                }
                Some(member) if router.stopping => router.again = Some((*member).clone()),
                Some(member) => {
                    let instance = Arc::clone(&member.instance);
                    self.input(handle, |machine| {
                        machine.reconfigure(instance, now);
                        machine.await_servers(&task.awaited, now);
                    });
                }
            }
        }
        let mut fresh = Vec::new();
        for member in &task.members {
            if !self.names.contains_key(&member.instance.router_name()) {
                let lease = lease(member.lease_slot);
                fresh.push(self.begin(member, Some((lease, nanoseconds)), now));
            }
        }
        self.index_addresses();
        self.connect_fresh(&fresh, now);
    }

    /// A virtual router that is new to this daemon; perhaps not to the node, whose `lease` may still hold.
    fn begin(&mut self, member: &Member, lease: Option<(Lease, u64)>, now: Instant) -> RouterHandle {
        let handle = RouterHandle(self.next_handle);
        self.next_handle += 1;
        let mut router = Router::new(member);
        router.machine.await_servers(&self.awaited, now);
        if let Some((lease, nanoseconds)) = lease {
            router.holds_lease = lease.state != lb_common::lease_state::VACANT;
            if lease.interval != 0
                && lease.entitlement(nanoseconds).may_answer
                && let Some(last_advertised) =
                    now.checked_sub(Duration::from_nanos(nanoseconds.saturating_sub(lease.renewed_at)))
            {
                router.machine.resume(last_advertised);
            }
        }
        self.held += usize::from(router.holds_lease);
        self.names.insert(router.name.clone(), handle);
        self.routers.insert(handle, router);
        self.agenda.stirred(&handle, None);
        handle
    }

    fn index_addresses(&mut self) {
        self.addresses.clear();
        for (handle, router) in &self.routers {
            for address in &router.machine.instance().virtual_addresses {
                self.addresses
                    .entry(address.address.addr())
                    .or_default()
                    .push(*handle);
            }
        }
    }

    /// Gives the machine of `handle` an input, if it is still there.
    fn input<T>(&mut self, handle: RouterHandle, input: impl FnOnce(&mut VirtualRouter) -> T) -> Option<T> {
        let router = self.routers.get_mut(&handle)?;
        let answer = input(&mut router.machine);
        self.agenda.stirred(&handle, router.machine.deadline());
        Some(answer)
    }

    /// `datagram` came in by the interface with the index `interface`.
    pub fn received(&mut self, interface: u32, datagram: &Datagram<'_>, now: Instant) {
        self.latest = now;
        let family = AddressFamily::of(datagram.source);
        let id = datagram.payload.get(1).copied().and_then(VirtualRouterId::new);
        let hearer = id.and_then(|id| self.hearers.get(&(interface, id, family)).copied());
        let counters = hearer
            .and_then(|handle| self.routers.get(&handle))
            .map(|router| &router.counters);
        match Advertisement::parse(datagram) {
            Ok(advertisement) => {
                let Some(handle) = hearer else { return };
                counters.inspect(|counters| counters.count_received());
                let source = datagram.source;
                let admitted = self.input(handle, |machine| machine.received(source, &advertisement, now));
                if admitted == Some(false)
                    && let Some(router) = self.routers.get(&handle)
                {
                    router.counters.count_refused();
                }
            }
            // How another one finds out whether it can send.
            Err(Error::VirtualRouterId) => {}
            Err(error) => {
                counters.inspect(|counters| counters.count_refused());
                if self.complaints.insert(interface, error) != Some(error) {
                    let name = self.ports.get(&interface).map(|port| port.name.clone());
                    self.commands.push_back(Command::Malformed {
                        interface: name.unwrap_or_default(),
                        error,
                    });
                }
            }
        }
    }

    /// What was last asked to be sent for `router` has left.
    pub fn sent(&mut self, router: RouterHandle, now: Instant) {
        self.latest = now;
        let Some(this) = self.routers.get_mut(&router) else {
            return;
        };
        match this.sending {
            Sending::Advertisement => {
                this.counters.count_sent();
                let slot = this.lease_slot;
                self.commands.push_back(Command::RenewLease { slot });
                self.sends_again(router);
                self.input(router, |machine| machine.sent(now));
            }
            Sending::Last => this.counters.count_sent(),
            Sending::Probe => {
                self.sends_again(router);
                self.input(router, |machine| machine.probe_sent(now));
            }
        }
    }

    fn sends_again(&mut self, router: RouterHandle) {
        if let Some(this) = self.routers.get_mut(&router)
            && this.cannot_send.take().is_some()
        {
            self.commands.push_back(Command::Tell {
                instance: Arc::clone(this.machine.instance()),
                news: News::SentAgain,
            });
        }
    }

    /// What was last asked to be sent for `router` could not be: `error` says why.
    pub fn send_failed(&mut self, router: RouterHandle, error: &str, now: Instant) {
        self.latest = now;
        let Some(this) = self.routers.get_mut(&router) else {
            return;
        };
        if this.cannot_send.is_none() {
            // Nothing follows the last one that could tell when it is over.
            this.cannot_send = (this.sending != Sending::Last).then(|| (now, error.to_owned()));
            self.commands.push_back(Command::Tell {
                instance: Arc::clone(this.machine.instance()),
                news: News::NotSent {
                    error: error.to_owned(),
                },
            });
        }
        if this.sending == Sending::Advertisement {
            self.input(router, |machine| machine.send_failed(now));
        }
    }

    /// A host with the link-layer address `mac` says, on the interface with the index `interface`, that it has
    /// `address`.
    pub fn claimed(&mut self, interface: u32, address: IpAddr, mac: [u8; 6], now: Instant) {
        self.latest = now;
        // Another interface of this node on the same network is not another host.
        if self.ports.values().any(|port| port.mac == Some(mac)) {
            return;
        }
        for handle in self.addresses.get(&address).cloned().unwrap_or_default() {
            let there = self.routers[&handle].places().any(|(virtual_address, device)| {
                virtual_address.address.addr() == address
                    && self
                        .port_named(device)
                        .is_some_and(|port| port.index == interface)
            });
            if there {
                self.input(handle, |machine| machine.claimed(address, mac, now));
            }
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        self.latest = now;
        for handle in self.agenda.take_due(now) {
            self.input(handle, |machine| machine.timeout(now));
        }
    }

    /// When [`Self::timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.agenda.deadline()
    }

    /// What is to be known of a virtual router, if it is one of this node.
    #[must_use]
    pub fn state(&self, name: &VirtualRouterName) -> Option<RouterState> {
        Some(self.routers.get(self.names.get(name)?)?.state())
    }

    /// The virtual routers whose [`RouterState`] has changed since this was last asked; nothing if none has, and none
    /// is gone either.
    pub fn take_changes(&mut self) -> Option<Vec<VirtualRouterName>> {
        if self.changed.is_empty() {
            return None;
        }
        let changed = std::mem::take(&mut self.changed);
        let present = changed.iter().filter_map(|handle| self.routers.get(handle));
        Some(present.map(|router| router.name.clone()).collect())
    }

    /// Whether a virtual router hands over that is not in the task any more.
    #[must_use]
    pub fn hands_over(&self) -> bool {
        self.routers.values().any(|router| router.stopping)
    }

    /// No virtual router is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routers.is_empty()
    }

    /// Whether `address` is a virtual one: its coming is our own doing, and its going of concern.
    #[must_use]
    pub fn is_virtual(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address)
    }

    /// Whether a master has `address`, other than `but`: a reload has moved it.
    fn has_another_master(&self, address: IpAddr, device: &str, but: RouterHandle) -> bool {
        let handles = self.addresses.get(&address).into_iter().flatten();
        handles.filter(|handle| **handle != but).any(|handle| {
            let router = &self.routers[handle];
            router.machine.state() == State::Master
                && router
                    .places()
                    .any(|(theirs, on)| theirs.address.addr() == address && on == device)
        })
    }

    /// The obstacles of `handle` are those of its interface from now on, as far as interfaces have them.
    fn obstruct(&mut self, handle: RouterHandle, obstacles: &[Obstacle], now: Instant) {
        const OF_INTERFACES: [Obstacle; 7] = [
            Obstacle::NoInterface,
            Obstacle::NoDevice,
            Obstacle::NotEthernet,
            Obstacle::NoLink,
            Obstacle::NoAddress,
            Obstacle::NoSocket,
            Obstacle::ProgramRefused,
        ];
        let Some(router) = self.routers.get_mut(&handle) else {
            return;
        };
        let before = router.machine.obstacles().clone();
        // The first time, even those that a machine begins with are news.
        let first = !std::mem::replace(&mut router.looked_at, true);
        for obstacle in obstacles {
            if first || !before.contains(obstacle) {
                self.input(handle, |machine| machine.obstructed(*obstacle, now));
            }
        }
        for gone in OF_INTERFACES {
            if before.contains(&gone) && !obstacles.contains(&gone) {
                self.input(handle, |machine| machine.cleared(gone, now));
            }
        }
    }
}

#[cfg(test)]
mod tests;
