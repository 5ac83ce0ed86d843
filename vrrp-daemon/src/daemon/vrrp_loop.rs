//! The loop that speaks VRRP: what must happen at once, in one order, at a failover, is owned here.
//!
//! It decides nothing: the [`Speaker`] does. This file takes in what happens, `commands.rs` carries out what the
//! speaker makes of it, `ports.rs` looks at the interfaces, and `reports.rs` tells the other loop.

mod commands;
mod ports;
mod reports;

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime;
use tokio::sync::watch;
use tracing::info;

use super::channel::{Assignment, Report};
use super::listeners::Listeners;
use super::news::NewsSender;
use super::programs::{Presence, Programs};
use super::silence::Silence;
use crate::io::arp::{ArpSocket, Claim};
use crate::io::bpf::Leases;
use crate::io::clock::{self, boot_now};
use crate::io::limits;
use crate::io::netlink::{self, Events, Link, Netlink, Topic};
use crate::io::rtnl::RtnlLock;
use crate::io::service_manager::Pulse;
use crate::vrrp::{Rounds, Speaker, Task};
use reports::Reports;

/// How often what events may have missed is looked at again: links, addresses.
const RESYNC: Duration = Duration::from_secs(10);

/// How often it is looked whether the program is still where it was attached: the kernel does not tell when somebody
/// detaches a link, and until it is back the local stack resets every connection to the virtual addresses.
const LOOK_AT_PROGRAMS: Duration = Duration::from_millis(500);

/// How many packets are taken in before a deadline that has passed. As many as a socket holds after a pause, so that
/// they are heard first; not more, or a flood of them would keep a master from advertising.
const AHEAD_OF_DEADLINE: usize = 256;

/// Everything that can happen to this loop.
enum Event {
    /// Packets of the VRRP protocol have come in by the interface with this index: the listeners have them.
    Packets(u32),
    /// A host says that an address is its own.
    Claim(io::Result<Claim>),
    /// The kernel tells of a change.
    Kernel(Result<netlink::Event, netlink::Error>),
    /// The kernel's lock of the interfaces is free: they can be looked at without a wait.
    Unlocked(io::Result<()>),
    /// The assignment has changed, or the other loop has ended.
    Assignment(Result<(), watch::error::RecvError>),
    /// A deadline has passed.
    Timeout,
}

/// What is to be looked at as soon as the kernel lets us: advertisements do not wait for that.
#[derive(Default)]
struct ToLookAt {
    ports: bool,
    programs: bool,
}

/// What the loop is made of.
pub(super) struct VrrpLoop {
    speaker: Speaker,
    netlink: Netlink,
    kernel: Events,
    rtnl: RtnlLock,
    to_look_at: ToLookAt,
    arp: ArpSocket,
    listeners: Listeners,
    leases: Leases,
    programs: Programs,
    silence: Silence,
    links: Vec<Link>,
    assignment: watch::Receiver<Assignment>,
    reports: Reports,
    news: NewsSender,
    /// Shown at each turn.
    pulse: Pulse,
}

impl VrrpLoop {
    /// Runs on the calling thread until the assignment says to stop and everything is handed over.
    ///
    /// # Errors
    /// If sockets cannot be opened, or the kernel's notices end.
    pub(super) fn run(
        leases: Leases,
        programs: Programs,
        silence: Silence,
        assignment: watch::Receiver<Assignment>,
        report: watch::Sender<Report>,
        news: NewsSender,
        pulse: Pulse,
    ) -> anyhow::Result<()> {
        if let Err(error) = limits::run_in_real_time() {
            info!(%error, "no real-time priority: on a busy machine, advertisements may be late (CAP_SYS_NICE helps)");
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let mut vrrp_loop = Self {
                speaker: Speaker::new(clock::now()),
                netlink: Netlink::new()?,
                kernel: Events::subscribe(&[Topic::Links, Topic::Addresses])?,
                rtnl: RtnlLock::watch()
                    .context("cannot start the thread that waits for the kernel's lock")?,
                to_look_at: ToLookAt::default(),
                arp: ArpSocket::open().context("cannot open a socket for ARP")?,
                listeners: Listeners::default(),
                leases,
                programs,
                silence,
                links: Vec::new(),
                assignment,
                reports: Reports::new(report),
                news,
                pulse,
            };
            vrrp_loop.turn().await
        })
    }

    async fn turn(&mut self) -> anyhow::Result<()> {
        self.reassign();
        self.look_at_ports().await;
        let mut resync_at = clock::now() + RESYNC;
        let mut look_at = clock::now() + LOOK_AT_PROGRAMS;
        let mut ahead = 0;
        loop {
            self.pulse.beat();
            self.carry_out_all().await;
            self.silence.settle();
            self.publish();
            if self.assignment.borrow().stopping && self.speaker.is_empty() {
                self.silence.close();
                self.programs.keep(Presence::Ending, &self.netlink).await;
                return Ok(());
            }
            let deadline = self.speaker.deadline();
            let mut deadline = deadline.map_or(resync_at, |deadline| deadline.min(resync_at));
            if self.programs.are_attached() {
                deadline = deadline.min(look_at);
            }
            if let Some(at) = self.pulse.deadline() {
                deadline = deadline.min(at);
            }
            let event = if ahead < AHEAD_OF_DEADLINE {
                self.next_event(deadline).await
            } else {
                Event::Timeout
            };
            let passed = deadline <= clock::now();
            ahead = match &event {
                Event::Packets(_) if passed => ahead + self.listeners.count(),
                Event::Timeout => 0,
                _ if passed => ahead + 1,
                _ => 0,
            };
            match event {
                Event::Packets(interface) => {
                    let now = clock::now();
                    for datagram in self.listeners.datagrams() {
                        self.speaker.received(interface, &datagram, now);
                    }
                }
                Event::Claim(claim) => {
                    let Claim {
                        interface,
                        address,
                        mac,
                    } = claim.context("cannot hear ARP any more")?;
                    self.speaker.claimed(interface, address.into(), mac, clock::now());
                }
                Event::Kernel(event) => self.observe(&event.context("the kernel's notices ended")?),
                Event::Unlocked(outcome) => {
                    outcome.context("nobody waits for the kernel's lock any more")?;
                    self.look().await;
                }
                Event::Assignment(changed) => {
                    changed.context("the director loop ended")?;
                    self.reassign();
                    self.look_at_ports().await;
                }
                Event::Timeout => {
                    let now = clock::now();
                    self.speaker.timeout(now);
                    if look_at <= now {
                        look_at = now + LOOK_AT_PROGRAMS;
                        self.to_look_at.programs = true;
                    }
                    if resync_at <= now {
                        resync_at = now + RESYNC;
                        self.to_look_at.ports = true;
                    }
                }
            }
            if self.to_look_at.ports || self.to_look_at.programs {
                self.rtnl.ask();
            }
        }
    }

    /// Looks at what is to be looked at.
    async fn look(&mut self) {
        let ToLookAt { ports, programs } = mem::take(&mut self.to_look_at);
        if programs {
            self.programs.look_again();
            self.speaker.look_at_program();
        }
        if ports {
            self.look_at_ports().await;
        }
    }

    /// Packets come before the deadline, within [`AHEAD_OF_DEADLINE`]: after a pause, what lies in the sockets is heard
    /// before silence is concluded from the clock.
    async fn next_event(&mut self, deadline: Instant) -> Event {
        tokio::select! {
            biased;
            interface = self.listeners.next() => Event::Packets(interface),
            claim = self.arp.next() => Event::Claim(claim),
            event = self.kernel.next() => Event::Kernel(event),
            free = self.rtnl.free() => Event::Unlocked(free),
            changed = self.assignment.changed() => Event::Assignment(changed),
            () = clock::sleep_until(deadline) => self.listeners.look_early().map_or(Event::Timeout, Event::Packets),
        }
    }

    /// Makes the virtual routers those of the assignment.
    fn reassign(&mut self) {
        let assignment = self.assignment.borrow_and_update().clone();
        let task = Task {
            members: match assignment.stopping {
                true => Vec::new(),
                false => assignment.instances.clone(),
            },
            program_always: assignment.attach_always && !assignment.stopping,
            awaited: assignment.awaited.clone(),
        };
        let members = task.members.iter();
        self.listeners.set_pause(Rounds::pause(
            members.map(|member| member.instance.advert_int.duration()),
        ));
        let leases = &self.leases;
        self.speaker
            .assign(task, |slot| leases.read(slot), clock::now(), boot_now());
        self.reports.begin(&assignment);
    }
}
