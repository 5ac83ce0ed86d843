//! The loop that speaks VRRP: what must happen at once, in one order, at a failover, is owned here.
//!
//! This file takes in what happens; `effects.rs` carries out what the virtual routers make of it.

mod effects;
mod interfaces;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::{debug, error, info, warn};

use super::channel::{AssignedInstance, Assignment, Exits, InstanceReport, InterfaceReport, Report};
use super::listeners::{Listeners, Packet};
use super::programs::{Programs, Request};
use crate::director::LeaseSlot;
use crate::io::announce::Announcer;
use crate::io::bpf::{Attachments, Leases, monotonic_now};
use crate::io::limits;
use crate::io::netlink::{self, Events, Link, Netlink, Topic};
use crate::model::{AddressFamily, VirtualRouterName, VrrpInstance};
use crate::vrrp::{Advertisement, VirtualRouter};
use interfaces::{Port, port};

/// How often what events may have missed is looked at again: links, addresses.
const RESYNC: Duration = Duration::from_secs(10);

/// How often it is looked whether the program is still where it was attached: the kernel does not tell when somebody
/// detaches a link, and until it is back the local stack resets every connection to the virtual addresses.
const LOOK_AT_PROGRAMS: Duration = Duration::from_millis(500);

/// How many events are taken in before a deadline that has passed. As many packets as wait in the loop's queue after a
/// pause, so that they are heard first; not more, or a flood of them would keep a master from advertising.
const AHEAD_OF_DEADLINE: u32 = 64;

/// Everything that can happen to this loop.
enum Event {
    /// A packet of the VRRP protocol.
    Packet(Packet),
    /// The kernel tells of a change.
    Kernel(Result<netlink::Event, netlink::Error>),
    /// The assignment has changed, or the other loop has ended.
    Assignment(Result<(), watch::error::RecvError>),
    /// A deadline has passed.
    Timeout,
}

/// A virtual router and what surrounds it.
struct Router {
    machine: VirtualRouter,
    lease_slot: LeaseSlot,
    /// It was told to stop, and hands over.
    stopping: bool,
    /// The machine has been told of its interface.
    told: bool,
    /// The interface as the machine was last told of it, while it is up.
    on: Option<Port>,
    /// When the state last changed.
    last_transition: Option<SystemTime>,
}

/// What the loop is made of.
pub(super) struct VrrpLoop {
    netlink: Netlink,
    kernel: Events,
    announcer: Announcer,
    listeners: Listeners,
    leases: Leases,
    programs: Programs,
    links: Vec<Link>,
    routers: BTreeMap<VirtualRouterName, Router>,
    assignment: watch::Receiver<Assignment>,
    report: watch::Sender<Report>,
}

impl VrrpLoop {
    /// Runs on the calling thread until the assignment says to stop and everything is handed over.
    ///
    /// # Errors
    /// If sockets cannot be opened, or the kernel's notices end.
    pub(super) fn run(
        leases: Leases,
        attachments: Attachments,
        assignment: watch::Receiver<Assignment>,
        report: watch::Sender<Report>,
    ) -> anyhow::Result<()> {
        if let Err(error) = limits::run_in_real_time() {
            info!(%error, "no real-time priority: on a busy machine, advertisements may be late");
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let mut vrrp_loop = Self {
                netlink: Netlink::new()?,
                kernel: Events::subscribe(&[Topic::Links, Topic::Addresses])?,
                announcer: Announcer::open().context("cannot open a socket for gratuitous ARP")?,
                listeners: Listeners::new(),
                leases,
                programs: Programs::new(attachments).context("cannot take over the pinned links")?,
                links: Vec::new(),
                routers: BTreeMap::new(),
                assignment,
                report,
            };
            vrrp_loop.turn().await
        })
    }

    async fn turn(&mut self) -> anyhow::Result<()> {
        self.reassign();
        self.look_at_links().await;
        let mut resync_at = Instant::now() + RESYNC;
        let mut look_at = Instant::now() + LOOK_AT_PROGRAMS;
        let mut ahead = 0;
        loop {
            self.carry_out_all().await;
            self.let_go().await;
            self.attach_where_wanted().await;
            self.publish();
            if self.assignment.borrow().stopping && self.routers.is_empty() {
                return Ok(());
            }
            let deadline = self
                .routers
                .values()
                .filter_map(|router| router.machine.deadline())
                .min();
            let mut deadline = deadline.map_or(resync_at, |deadline| deadline.min(resync_at));
            if self.programs.are_attached() {
                deadline = deadline.min(look_at);
            }
            let event = if ahead < AHEAD_OF_DEADLINE {
                self.next_event(deadline).await
            } else {
                Event::Timeout
            };
            ahead = match event {
                Event::Timeout => 0,
                _ if deadline <= Instant::now() => ahead + 1,
                _ => 0,
            };
            match event {
                Event::Packet(packet) => self.receive(&packet),
                Event::Kernel(event) => self.observe(&event.context("the kernel's notices ended")?).await,
                Event::Assignment(changed) => {
                    changed.context("the director loop ended")?;
                    self.reassign();
                    self.look_at_links().await;
                }
                Event::Timeout => {
                    let now = Instant::now();
                    for router in self.routers.values_mut() {
                        router.machine.timeout(now);
                    }
                    if look_at <= now {
                        look_at = now + LOOK_AT_PROGRAMS;
                        self.programs.look_again();
                    }
                    if resync_at <= now {
                        resync_at = now + RESYNC;
                        self.look_at_links().await;
                        self.hold_addresses().await;
                    }
                }
            }
        }
    }

    /// Packets come before the deadline, within [`AHEAD_OF_DEADLINE`]: after a pause, what lies in the sockets is heard
    /// before silence is concluded from the clock.
    async fn next_event(&mut self, deadline: Instant) -> Event {
        tokio::select! {
            biased;
            packet = self.listeners.next() => Event::Packet(packet),
            event = self.kernel.next() => Event::Kernel(event),
            changed = self.assignment.changed() => Event::Assignment(changed),
            () = sleep_until(deadline.into()) => Event::Timeout,
        }
    }

    /// Makes the virtual routers those of the assignment.
    fn reassign(&mut self) {
        let assignment = self.assignment.borrow_and_update().clone();
        let now = Instant::now();
        let wanted: BTreeMap<VirtualRouterName, AssignedInstance> = if assignment.stopping {
            BTreeMap::new()
        } else {
            assignment
                .instances
                .into_iter()
                .map(|assigned| (assigned.instance.router_name(), assigned))
                .collect()
        };
        for (key, router) in &mut self.routers {
            if !wanted.contains_key(key) {
                router.machine.stop(now);
                router.stopping = true;
            }
        }
        for (key, AssignedInstance { instance, lease_slot }) in wanted {
            match self.routers.get_mut(&key) {
                // Wanted again while it hands over: it begins anew once it has (`let_go`).
                Some(router) if router.stopping => {}
                Some(router) => router.machine.reconfigure(instance, now),
                None => {
                    let router = self.begin(instance, lease_slot, now);
                    self.routers.insert(key, router);
                }
            }
        }
    }

    /// A virtual router that is new to this daemon; perhaps not to the node, whose lease may still hold.
    fn begin(&self, instance: VrrpInstance, lease_slot: LeaseSlot, now: Instant) -> Router {
        let lease = self.leases.read(lease_slot);
        let present = monotonic_now();
        let mut machine = VirtualRouter::new(instance);
        if lease.interval != 0
            && lease.entitlement(present).may_answer
            && let Some(last_advertised) =
                now.checked_sub(Duration::from_nanos(present.saturating_sub(lease.renewed_at)))
        {
            machine.resume(last_advertised);
        }
        Router {
            machine,
            lease_slot,
            stopping: false,
            told: false,
            on: None,
            last_transition: None,
        }
    }

    /// Tells the virtual routers what their interfaces are like now.
    async fn look_at_links(&mut self) {
        match self.netlink.links().await {
            Ok(links) => self.links = links,
            Err(error) => {
                warn!(%error, "cannot list the interfaces");
                return;
            }
        }
        let request = {
            let assignment = self.assignment.borrow();
            Request {
                ingress: assignment.interfaces.clone(),
                egress: assignment.egress.clone(),
                mode: assignment.xdp_mode,
            }
        };
        self.programs.try_out(request, &self.links, &self.netlink).await;
        let now = Instant::now();
        for (VirtualRouterName { interface, .. }, router) in &mut self.routers {
            let link = self.links.iter().find(|link| link.up && link.name == *interface);
            let port = match link {
                Some(link) if self.programs.refusal_of(interface).is_none() => {
                    port(&self.netlink, link, router.machine.instance()).await
                }
                _ => None,
            };
            if router.told && port == router.on {
                continue;
            }
            match port {
                Some(port) => {
                    if let Err(error) = self.listeners.listen(interface, port.index) {
                        error!(interface, %error, "cannot open the VRRP socket");
                        continue;
                    }
                    // Another interface of the same name: what was held on the first one went with it.
                    if router.on.is_some_and(|before| before.index != port.index) {
                        router.machine.interface_down(now);
                    }
                    router.machine.interface_up(port.primary_address, now);
                }
                None => {
                    if link.is_some() && self.programs.refusal_of(interface).is_none() {
                        warn!(
                            interface,
                            "no IPv4 address beside the virtual ones: out of the election until there is one"
                        );
                    }
                    router.machine.interface_down(now);
                }
            }
            router.on = port;
            router.told = true;
        }
        let routers = &self.routers;
        self.listeners
            .keep(|interface| routers.keys().any(|name| name.interface == interface));
    }

    /// Takes in what the kernel told.
    async fn observe(&mut self, event: &netlink::Event) {
        match event {
            netlink::Event::Link(link) if self.links.contains(link) => {}
            netlink::Event::Link(_) | netlink::Event::LinkRemoved { .. } => self.look_at_links().await,
            netlink::Event::Address { present, address, .. } => {
                let ours = self.routers.values().any(|router| {
                    let mut addresses = router.machine.instance().virtual_addresses.iter();
                    addresses.any(|virtual_address| virtual_address.address.addr() == address.addr())
                });
                match (ours, present) {
                    (false, _) => self.look_at_links().await,
                    (true, false) => self.hold_addresses().await,
                    (true, true) => {}
                }
            }
            netlink::Event::Overrun => {
                self.look_at_links().await;
                self.hold_addresses().await;
            }
            netlink::Event::Neighbour(_) | netlink::Event::NeighbourRemoved { .. } => {}
        }
    }

    fn receive(&mut self, packet: &Packet) {
        let interface = packet.interface();
        let received = match Advertisement::parse(packet.bytes()) {
            Ok(received) => received,
            Err(error) => {
                self.listeners.complain(interface, &error.to_string());
                return;
            }
        };
        let key = VirtualRouterName {
            interface: interface.to_owned(),
            virtual_router_id: received.advertisement.virtual_router_id,
            family: AddressFamily::Ipv4,
        };
        match self.routers.get_mut(&key) {
            Some(router) => router
                .machine
                .received(received.source, &received.advertisement, Instant::now()),
            None => {
                debug!(interface, virtual_router_id = %key.virtual_router_id, "advertisement of a virtual router that is not ours")
            }
        }
    }

    fn publish(&self) {
        let assignment = self.assignment.borrow();
        let instances = assignment.instances.iter().filter_map(|assigned| {
            let instance = &assigned.instance;
            let router = self.routers.get(&instance.router_name())?;
            Some(InstanceReport {
                instance: instance.clone(),
                state: router.machine.state(),
                effective_priority: router.machine.effective_priority(),
                master_address: router.machine.master_address(),
                transitions: router.machine.transitions(),
                last_transition: router.last_transition,
            })
        });
        let names = assignment.interfaces.iter().map(String::as_str);
        let interfaces = names.chain(self.programs.helpers()).map(|name| InterfaceReport {
            name: name.to_owned(),
            attached: self.programs.on(name),
        });
        let fit = self.programs.fit();
        let report = Report {
            revision: assignment.revision,
            handing_over: self.routers.values().any(|router| router.stopping),
            instances: instances.collect(),
            interfaces: interfaces.collect(),
            exits: Exits {
                blocked: fit.blocked.clone(),
                trunks: fit.trunks.clone(),
            },
        };
        self.report.send_if_modified(|current| {
            let changed = *current != report;
            *current = report;
            changed
        });
    }
}
