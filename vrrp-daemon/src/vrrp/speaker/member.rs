//! A virtual router among the others, and what is known of it from outside.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::model::{LeaseSlot, Priority, VirtualAddress, VirtualRouterName, VrrpInstance};
use crate::vrrp::awaited::Awaited;
use crate::vrrp::concern::Concern;
use crate::vrrp::effect::State;
use crate::vrrp::obstacle::Obstacle;
use crate::vrrp::router::VirtualRouter;

/// What the speaker calls one of its virtual routers. One that begins anew gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouterHandle(pub(super) u32);

/// What a speaker has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The virtual routers to take part in.
    pub members: Vec<Member>,
    /// The program is to be on its interfaces whether this node is master or not.
    pub program_always: bool,
    /// What this node does not know of its real servers: a master that is well is left alone until it does.
    pub awaited: BTreeSet<Awaited>,
}

/// A virtual router and its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is configured with.
    pub instance: Arc<VrrpInstance>,
    /// The slot of its lease.
    pub lease_slot: LeaseSlot,
}

/// What is to be known of a virtual router.
#[derive(Clone, Debug)]
pub struct RouterState {
    /// What it is configured with.
    pub instance: Arc<VrrpInstance>,
    /// Its state.
    pub state: State,
    /// Why it is in `init` or `fault`, if it is.
    pub obstacles: BTreeSet<Obstacle>,
    /// The priority that it takes part in the election with now.
    pub effective_priority: Priority,
    /// The master that it knows of, itself included.
    pub master_address: Option<IpAddr>,
    /// How often the state has changed.
    pub transitions: u64,
    /// When it last changed.
    pub last_transition: Option<Instant>,
    /// What is not as it should be, and since when.
    pub concerns: Vec<(Concern, Instant)>,
    /// Since when nothing leaves, and the kernel's answer, if something was to be sent and could not be.
    pub cannot_send: Option<(Instant, String)>,
    /// What it has sent and heard. These numbers go on without another state being told.
    pub counters: Arc<Counters>,
}

/// How many advertisements a virtual router has sent and heard.
#[derive(Debug, Default)]
pub struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
}

/// The same ones: what they show goes on.
impl PartialEq for Counters {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Counters {}

impl Counters {
    /// Those that have left this node.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Those that arrived whole, whether they counted or not.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Those that arrived and did not count: malformed, or not as they are configured here.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// A virtual router and what surrounds it.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) name: VirtualRouterName,
    pub(super) machine: VirtualRouter,
    pub(super) lease_slot: LeaseSlot,
    /// This node answers or forwards by its lease, or would if that had not run out.
    pub(super) holds_lease: bool,
    /// It was told to stop, and hands over.
    pub(super) stopping: bool,
    /// It is wanted again once it has.
    pub(super) again: Option<Member>,
    /// Its interface was looked at.
    pub(super) looked_at: bool,
    /// The index of its interface, while there is one, and the address that it advertises from.
    pub(super) port: Option<(u32, Option<IpAddr>)>,
    /// What was last asked to be sent.
    pub(super) sending: Sending,
    /// The virtual addresses that could not be removed, and the interfaces that they stay on.
    pub(super) staying: Vec<(u32, VirtualAddress)>,
    /// Its lease is to be given up as soon as they are gone.
    pub(super) vacates: bool,
    /// The last time that something was to be sent, it could not be: since when, and why.
    pub(super) cannot_send: Option<(Instant, String)>,
    /// When the state last changed.
    pub(super) last_transition: Option<Instant>,
    pub(super) counters: Arc<Counters>,
    /// What was last told to be its state.
    told: Option<Told>,
}

/// What is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Advertisement,
    /// The last of a mastership.
    Last,
    Probe,
}

/// All of a [`RouterState`] that makes it another one.
type Told = (
    State,
    BTreeSet<Obstacle>,
    Priority,
    Option<IpAddr>,
    u64,
    u64,
    bool,
);

impl Router {
    pub(super) fn new(member: &Member) -> Self {
        Self {
            name: member.instance.router_name(),
            machine: VirtualRouter::new(Arc::clone(&member.instance)),
            lease_slot: member.lease_slot,
            holds_lease: false,
            stopping: false,
            again: None,
            looked_at: false,
            port: None,
            sending: Sending::Advertisement,
            staying: Vec::new(),
            vacates: false,
            cannot_send: None,
            last_transition: None,
            counters: Arc::default(),
            told: None,
        }
    }

    /// The virtual addresses, each with the name of the interface that it belongs on.
    pub(super) fn places(&self) -> impl Iterator<Item = (&VirtualAddress, &str)> {
        self.machine.instance().places()
    }

    /// The name of the interface that `address` belongs on.
    pub(super) fn device_of(&self, address: &VirtualAddress) -> String {
        let own = &self.name.interface;
        address.device.as_ref().unwrap_or(own).clone()
    }

    pub(super) fn state(&self) -> RouterState {
        RouterState {
            instance: Arc::clone(self.machine.instance()),
            state: self.machine.state(),
            obstacles: self.machine.obstacles().clone(),
            effective_priority: self.machine.effective_priority(),
            master_address: self.machine.master_address(),
            transitions: self.machine.transitions(),
            last_transition: self.last_transition,
            concerns: self
                .machine
                .concerns()
                .map(|(concern, since)| (concern.clone(), since))
                .collect(),
            cannot_send: self.cannot_send.clone(),
            counters: Arc::clone(&self.counters),
        }
    }

    /// Whether the state is another than when this was last asked.
    pub(super) fn has_changed(&mut self) -> bool {
        let machine = &self.machine;
        let now = (
            machine.state(),
            machine.obstacles().clone(),
            machine.effective_priority(),
            machine.master_address(),
            machine.transitions(),
            machine.changes_of_concerns(),
            self.cannot_send.is_some(),
        );
        let changed = self.told.as_ref() != Some(&now);
        self.told = Some(now);
        changed
    }
}
