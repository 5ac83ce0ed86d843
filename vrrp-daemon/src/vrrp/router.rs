//! One virtual router as this node takes part in it (RFC 9568, section 6.4; RFC 3768, section 6.4).

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::effect::{Effect, Notice, Reason, State};
use super::timers;
use super::wire::Advertisement;
use crate::model::{Interval, Priority, Version, VirtualAddress, VirtualRouterId, VrrpInstance};

mod admission;

/// One virtual router: inputs and the time go in, [`Effect`]s come out.
///
/// Every input first looks whether the lease has run out meanwhile (a stopped process, a paused machine): a master
/// that was away for so long is a backup before it says anything. Two inputs at the same time, an input before its
/// deadline and a deadline reported twice are all harmless.
#[derive(Debug)]
pub struct VirtualRouter {
    instance: VrrpInstance,
    phase: Phase,
    holding: Holding,
    /// The source of our advertisements and our side of the tie-break; known once the interface was up.
    primary_address: Option<Ipv4Addr>,
    transitions: u64,
    /// What the operator has been told, so that it is told once.
    notices: Vec<Notice>,
    effects: VecDeque<Effect>,
}

/// The state, with what only that state knows.
#[derive(Debug)]
enum Phase {
    /// Waiting for the interface.
    Init {
        /// When a previous daemon of this node last advertised as master.
        last_advertised: Option<Instant>,
    },
    Backup(Backup),
    Master(Master),
    Fault,
    /// Told to stop; done once nothing is held.
    Stopped,
}

/// A backup waits: its deadline follows from when it last heard something and from what that was.
#[derive(Debug)]
struct Backup {
    /// When the wait began.
    since: Instant,
    /// The master has resigned: wait for `Skew_Time` only.
    resigned: bool,
    /// The source of the last advertisement.
    master: Option<Ipv4Addr>,
    /// `Active_Adver_Interval`, which version 3 learns (RFC 9568, section 6.1).
    learned_interval: Option<Interval>,
    /// The priority of a master that is being preempted by not listening to it.
    inferior: Option<Priority>,
    /// The deadline was missed by so much once that the wait began anew.
    overslept: bool,
}

/// A master speaks, or loses its right to.
#[derive(Debug)]
struct Master {
    /// When the next advertisement is due (`Adver_Timer`).
    advertise: Instant,
    /// When the lease was last renewed.
    renewed: Instant,
    /// The interval of the lease as granted; `None` if it does not run out.
    lease_interval: Option<Duration>,
    /// When the lease runs out.
    lease_end: Option<Instant>,
    /// When gratuitous ARP is repeated.
    announce: Option<Instant>,
}

/// What this node has of the addresses and the lease, which outlasts a state by the linger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    /// Whatever a previous daemon left behind.
    Unknown,
    Nothing,
    Everything,
    /// No addresses, but the right to forward.
    Forwarding {
        until: Instant,
    },
}

impl Backup {
    fn new(since: Instant) -> Self {
        Self {
            since,
            resigned: false,
            master: None,
            learned_interval: None,
            inferior: None,
            overslept: false,
        }
    }

    fn hearing(from: Ipv4Addr, advertisement: &Advertisement, now: Instant) -> Self {
        Self {
            master: Some(from),
            learned_interval: Some(advertisement.interval),
            ..Self::new(now)
        }
    }
}

impl VirtualRouter {
    /// A virtual router that waits for its interface.
    #[must_use]
    pub fn new(instance: VrrpInstance) -> Self {
        Self {
            instance,
            phase: Phase::Init {
                last_advertised: None,
            },
            holding: Holding::Unknown,
            primary_address: None,
            transitions: 0,
            notices: Vec::new(),
            effects: VecDeque::new(),
        }
    }

    /// A previous daemon of this node was master, last advertised at `last_advertised`, and its lease says that it
    /// may still answer. To be told before [`Self::interface_up`], which then resumes that mastership if the lease
    /// still holds. Without a lease nothing says whose the addresses are now: then this changes nothing.
    pub fn resume(&mut self, last_advertised: Instant) {
        if let Phase::Init {
            last_advertised: hint,
        } = &mut self.phase
        {
            *hint = Some(last_advertised);
        }
    }

    /// The interface has a link and `primary_address`; to be told again when that address changes.
    ///
    /// The Startup event of RFC 9568 section 6.4.1. As in Keepalived an instance below priority 255 waits as a backup
    /// whatever its configured initial state.
    pub fn interface_up(&mut self, primary_address: Ipv4Addr, now: Instant) {
        self.lapse(now);
        self.primary_address = Some(primary_address);
        let last_advertised = match self.phase {
            Phase::Init { last_advertised } => last_advertised,
            Phase::Fault => None,
            Phase::Backup(_) | Phase::Master(_) | Phase::Stopped => return,
        };
        let lease_end = last_advertised
            .zip(self.lease_interval())
            .map(|(sent, interval)| timers::lease_end(sent, interval));
        match lease_end {
            Some(end) if now < end => self.become_master(Reason::Resumed, now),
            _ if self.instance.priority == Priority::OWNER => self.become_master(Reason::Owner, now),
            lease_end => {
                let reason = match lease_end {
                    Some(_) => Reason::LeaseRanOutBeforeStart,
                    None => Reason::InterfaceUp,
                };
                self.withdraw();
                self.transition(Phase::Backup(Backup::new(now)), reason);
            }
        }
    }

    /// The interface has no link or no address: the Shutdown event of RFC 9568 section 6.4, but nobody is left to
    /// hear a priority 0.
    pub fn interface_down(&mut self, now: Instant) {
        self.lapse(now);
        self.withdraw();
        match self.phase {
            Phase::Backup(_) | Phase::Master(_) => self.transition(Phase::Fault, Reason::InterfaceDown),
            Phase::Init { .. } | Phase::Fault | Phase::Stopped => {}
        }
    }

    /// `advertisement` arrived from `source`.
    pub fn received(&mut self, source: Ipv4Addr, advertisement: &Advertisement, now: Instant) {
        self.lapse(now);
        if !self.admits(source, advertisement) {
            return;
        }
        match &self.phase {
            Phase::Init { .. } | Phase::Fault => {}
            Phase::Backup(_) => self.received_as_backup(source, advertisement, now),
            Phase::Master(_) => self.received_as_master(source, advertisement, now),
            Phase::Stopped => {
                // The successor has spoken. A priority 0 is no successor.
                if let Holding::Forwarding { until } = &mut self.holding
                    && advertisement.priority != Priority::RESIGN
                {
                    *until = (*until).min(now + timers::LINGER);
                }
            }
        }
    }

    /// RFC 9568, section 6.4.2.
    fn received_as_backup(&mut self, source: Ipv4Addr, advertisement: &Advertisement, now: Instant) {
        let follows = advertisement.priority >= self.instance.priority || !self.preempts();
        let Phase::Backup(backup) = &mut self.phase else {
            return;
        };
        if advertisement.priority == Priority::RESIGN {
            backup.since = now;
            backup.resigned = true;
            backup.master = Some(source);
            backup.inferior = None;
        } else if follows {
            *backup = Backup::hearing(source, advertisement, now);
        } else {
            // Discarded: the timer runs out and preempts.
            backup.master = Some(source);
            backup.inferior = Some(advertisement.priority);
        }
    }

    /// RFC 9568, section 6.4.3. Two owners of priority 255 settle it by address as well, where section 7.1 would have
    /// them ignore each other for ever.
    fn received_as_master(&mut self, source: Ipv4Addr, advertisement: &Advertisement, now: Instant) {
        let priority = advertisement.priority;
        if priority == Priority::RESIGN {
            self.advertise(now);
        } else if priority > self.instance.priority {
            self.yield_to(
                source,
                advertisement,
                Reason::HigherPriority {
                    from: source,
                    priority,
                },
                now,
            );
        } else if priority == self.instance.priority && Some(source) > self.primary_address {
            self.yield_to(
                source,
                advertisement,
                Reason::HigherAddress {
                    from: source,
                    priority,
                },
                now,
            );
        } else {
            self.advertise(now);
            // Hosts and switches may have believed the other one (Keepalived's garp_lower_prio_repeat).
            self.announce(now);
        }
    }

    /// A deadline has passed; one that has not is harmless.
    pub fn timeout(&mut self, now: Instant) {
        self.lapse(now);
        if let Holding::Forwarding { until } = self.holding
            && now >= until
        {
            self.withdraw();
        }
        match &mut self.phase {
            Phase::Backup(_) => self.waited(now),
            Phase::Master(master) => {
                let repeat = master.announce.take_if(|at| now >= *at).is_some();
                if now >= master.advertise {
                    self.advertise(now);
                }
                if repeat {
                    self.effects
                        .push_back(Effect::Announce(self.instance.virtual_addresses.clone()));
                }
            }
            Phase::Init { .. } | Phase::Fault | Phase::Stopped => {}
        }
    }

    /// `Active_Down_Timer` (RFC 9568, section 6.4.2).
    fn waited(&mut self, now: Instant) {
        let master_interval = self.master_interval().duration();
        let Some(deadline) = self.backup_deadline() else {
            return;
        };
        let Phase::Backup(backup) = &mut self.phase else {
            return;
        };
        if now < deadline {
            return;
        }
        // Who sleeps past the deadline did not listen either, and must not take silence for a dead master: once, the
        // wait begins anew. (Keepalived, for the same: timer_expired_backup.)
        if now >= deadline + master_interval && !backup.overslept {
            *backup = Backup {
                learned_interval: backup.learned_interval,
                master: backup.master,
                overslept: true,
                ..Backup::new(now)
            };
            return;
        }
        let reason = match (backup.master, backup.inferior) {
            (Some(from), Some(priority)) => Reason::Preempted { from, priority },
            (Some(from), None) if backup.resigned => Reason::Resigned { from },
            (from, _) => Reason::NoAdvertisement {
                from,
                silence: now.saturating_duration_since(backup.since),
            },
        };
        self.become_master(reason, now);
    }

    /// An advertisement of a priority above 0 went out at `now`: this, and nothing else, renews the lease.
    pub fn sent(&mut self, now: Instant) {
        self.lapse(now);
        let lease_interval = self.lease_interval();
        let Phase::Master(master) = &mut self.phase else {
            return;
        };
        master.renewed = now;
        master.lease_end = lease_interval.map(|interval| timers::lease_end(now, interval));
        // A new interval counts from the advertisement that told the backups.
        if master.lease_interval != lease_interval {
            master.lease_interval = lease_interval;
            self.effects.push_back(Effect::GrantLease {
                interval: lease_interval,
            });
        }
    }

    /// Hands over and leaves: the Shutdown event of RFC 9568 section 6.4. [`Self::is_stopped`] says when that is done.
    pub fn stop(&mut self, now: Instant) {
        self.lapse(now);
        match self.phase {
            Phase::Master(_) => {
                self.effects
                    .push_back(Effect::Send(self.advertisement(Priority::RESIGN)));
                // A backup takes over after its skew, which is below one second and one interval respectively.
                self.hand_over(now + self.instance.advert_int.duration() + timers::LINGER);
                self.transition(Phase::Stopped, Reason::Stopping);
            }
            Phase::Backup(_) | Phase::Fault => self.transition(Phase::Stopped, Reason::Stopping),
            Phase::Init { .. } => {
                self.withdraw();
                self.phase = Phase::Stopped;
            }
            Phase::Stopped => {}
        }
    }

    /// The configuration has changed; interface, identifier and name are still the same. The state stays: a backup
    /// waits as long as the new values say from when it began to wait, a master tells the others at once.
    pub fn reconfigure(&mut self, instance: VrrpInstance, now: Instant) {
        self.lapse(now);
        if instance == self.instance {
            return;
        }
        let previous = std::mem::replace(&mut self.instance, instance);
        self.notices.clear();
        let missing = |from: &[VirtualAddress], others: &[VirtualAddress]| -> Vec<VirtualAddress> {
            from.iter()
                .filter(|address| !others.contains(address))
                .cloned()
                .collect()
        };
        let removed = missing(&previous.virtual_addresses, &self.instance.virtual_addresses);
        let added = missing(&self.instance.virtual_addresses, &previous.virtual_addresses);
        if !removed.is_empty() && matches!(self.holding, Holding::Unknown | Holding::Everything) {
            self.effects.push_back(Effect::ReleaseAddresses(removed));
        }
        if matches!(self.phase, Phase::Master(_)) {
            self.advertise(now);
            if !added.is_empty() {
                self.effects.push_back(Effect::AcquireAddresses(added));
                self.announce(now);
            }
        }
    }

    /// When [`Self::timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let linger = match self.holding {
            Holding::Forwarding { until } => Some(until),
            Holding::Unknown | Holding::Nothing | Holding::Everything => None,
        };
        let phase = match &self.phase {
            Phase::Backup(_) => self.backup_deadline(),
            Phase::Master(master) => [Some(master.advertise), master.announce, master.lease_end]
                .into_iter()
                .flatten()
                .min(),
            Phase::Init { .. } | Phase::Fault | Phase::Stopped => None,
        };
        linger.into_iter().chain(phase).min()
    }

    /// The next thing to do. To be asked after every input until there is none.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The state of this node in the virtual router.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Init { .. } | Phase::Stopped => State::Init,
            Phase::Backup(_) => State::Backup,
            Phase::Master(_) => State::Master,
            Phase::Fault => State::Fault,
        }
    }

    /// [`Self::stop`] is done: nothing is held and nothing is left to wait for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped) && self.holding == Holding::Nothing
    }

    /// What this virtual router is configured with.
    #[must_use]
    pub fn instance(&self) -> &VrrpInstance {
        &self.instance
    }

    /// The identifier of the virtual router.
    #[must_use]
    pub fn virtual_router_id(&self) -> VirtualRouterId {
        self.instance.virtual_router_id
    }

    /// The priority that this node takes part in the election with.
    #[must_use]
    pub fn effective_priority(&self) -> Priority {
        self.instance.priority
    }

    /// The source of our advertisements, once known.
    #[must_use]
    pub fn primary_address(&self) -> Option<Ipv4Addr> {
        self.primary_address
    }

    /// The primary address of the master, as far as this node knows; its own if it is that.
    #[must_use]
    pub fn master_address(&self) -> Option<Ipv4Addr> {
        match &self.phase {
            Phase::Backup(backup) => backup.master,
            Phase::Master(_) => self.primary_address,
            Phase::Init { .. } | Phase::Fault | Phase::Stopped => None,
        }
    }

    /// How often the state has changed.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// The lease comes first on every input: a master whose right to answer has run out holds its tongue, leaves
    /// without a priority 0 (there is another master by now) and waits as any backup does.
    fn lapse(&mut self, now: Instant) {
        let Phase::Master(master) = &self.phase else {
            return;
        };
        if master.lease_end.is_some_and(|end| now >= end) {
            let silence = now.saturating_duration_since(master.renewed);
            self.withdraw();
            self.transition(Phase::Backup(Backup::new(now)), Reason::LeaseRanOut { silence });
        }
    }

    fn become_master(&mut self, reason: Reason, now: Instant) {
        let lease_interval = self.lease_interval();
        self.effects.push_back(Effect::GrantLease {
            interval: lease_interval,
        });
        self.holding = Holding::Everything;
        let master = Master {
            advertise: now,
            renewed: now,
            lease_interval,
            lease_end: lease_interval.map(|interval| timers::first_lease_end(now, interval)),
            announce: None,
        };
        let from = self.state();
        self.phase = Phase::Master(master);
        // The others are told before the addresses are added, and hosts after that (RFC 9568, section 6.4.2).
        self.advertise(now);
        self.effects
            .push_back(Effect::AcquireAddresses(self.instance.virtual_addresses.clone()));
        self.announce(now);
        self.transitioned(from, reason);
    }

    /// There is a better master.
    fn yield_to(&mut self, source: Ipv4Addr, advertisement: &Advertisement, reason: Reason, now: Instant) {
        self.hand_over(now + timers::LINGER);
        self.transition(Phase::Backup(Backup::hearing(source, advertisement, now)), reason);
    }

    /// Stops answering now and forwarding at `until`; both now if there is no lease, as Keepalived would.
    fn hand_over(&mut self, until: Instant) {
        let leased = matches!(&self.phase, Phase::Master(master) if master.lease_interval.is_some());
        if !leased {
            self.withdraw();
            return;
        }
        self.effects.push_back(Effect::HandOverLease);
        self.effects
            .push_back(Effect::ReleaseAddresses(self.instance.virtual_addresses.clone()));
        self.holding = Holding::Forwarding { until };
    }

    /// Gives up whatever is still held: the addresses first, as packets for them meet the local stack once there is
    /// no lease.
    fn withdraw(&mut self) {
        if matches!(self.holding, Holding::Unknown | Holding::Everything) {
            self.effects
                .push_back(Effect::ReleaseAddresses(self.instance.virtual_addresses.clone()));
        }
        if self.holding != Holding::Nothing {
            self.effects.push_back(Effect::VacateLease);
            self.holding = Holding::Nothing;
        }
    }

    /// Sends an advertisement and restarts `Adver_Timer`.
    fn advertise(&mut self, now: Instant) {
        if let Phase::Master(master) = &mut self.phase {
            master.advertise = now + self.instance.advert_int.duration();
            self.effects
                .push_back(Effect::Send(self.advertisement(self.instance.priority)));
        }
    }

    /// Gratuitous ARP for all addresses, now and once more.
    fn announce(&mut self, now: Instant) {
        if let Phase::Master(master) = &mut self.phase {
            master.announce = Some(now + timers::ANNOUNCE_AGAIN);
            self.effects
                .push_back(Effect::Announce(self.instance.virtual_addresses.clone()));
        }
    }

    fn transition(&mut self, phase: Phase, reason: Reason) {
        let from = self.state();
        self.phase = phase;
        self.transitioned(from, reason);
    }

    fn transitioned(&mut self, from: State, reason: Reason) {
        self.transitions += 1;
        self.effects.push_back(Effect::Transitioned {
            from,
            to: self.state(),
            reason,
        });
    }

    fn advertisement(&self, priority: Priority) -> Advertisement {
        Advertisement {
            version: self.instance.version,
            virtual_router_id: self.instance.virtual_router_id,
            priority,
            interval: self.instance.advert_int,
            password: self.instance.password,
            addresses: self.advertised_addresses().collect(),
        }
    }

    fn advertised_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let addresses = self.instance.virtual_addresses.iter();
        addresses.filter_map(|address| match address.address.addr() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }

    fn backup_deadline(&self) -> Option<Instant> {
        let Phase::Backup(backup) = &self.phase else {
            return None;
        };
        let (version, priority) = (self.instance.version, self.instance.priority);
        let wait = match backup.resigned {
            true => timers::skew_time(version, priority, self.master_interval()),
            false => timers::master_down_interval(version, priority, self.master_interval()),
        };
        Some(backup.since + wait)
    }

    /// `Active_Adver_Interval`: the master's in version 3, once heard; our own before that and in version 2.
    fn master_interval(&self) -> Interval {
        match (&self.phase, self.instance.version) {
            (Phase::Backup(backup), Version::V3) => backup.learned_interval,
            _ => None,
        }
        .unwrap_or(self.instance.advert_int)
    }

    /// The owner preempts always (RFC 9568, section 6.1, `Preempt_Mode`).
    fn preempts(&self) -> bool {
        self.instance.preempt || self.instance.priority == Priority::OWNER
    }

    fn lease_interval(&self) -> Option<Duration> {
        self.instance.lease.then(|| self.instance.advert_int.duration())
    }
}

#[cfg(test)]
mod tests;
