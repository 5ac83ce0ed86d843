//! One virtual router as this node takes part in it (RFC 9568, section 6.4; RFC 3768, section 6.4).

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Instant;

use super::effect::{Effect, Notice, Reason, State};
use super::timers;
use super::wire::Advertisement;
use crate::model::{Priority, VirtualAddress, VirtualRouterId, VrrpInstance};

mod actions;
mod admission;
mod phase;

use phase::{Backup, Holding, Phase};

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
            // Whoever took over meanwhile could not be heard: there is nothing to resume.
            Phase::Init { .. } => {
                self.phase = Phase::Init {
                    last_advertised: None,
                };
            }
            Phase::Fault | Phase::Stopped => {}
        }
    }

    /// The lease cannot be granted, or not any more, because this node cannot forward. Whatever else was asked for
    /// with it is taken back. A master that the others know of resigns; one that they have not heard of leaves as
    /// silently as it came. Out of the election until [`Self::interface_up`].
    pub fn lease_refused(&mut self) {
        let Phase::Master(master) = &self.phase else {
            return;
        };
        let known = master.known;
        self.effects.clear();
        if known {
            self.effects
                .push_back(Effect::Send(self.advertisement(Priority::RESIGN)));
        }
        self.withdraw();
        self.transition(Phase::Fault, Reason::LeaseRefused);
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
                if let Holding::Forwarding {
                    until,
                    succeeded: succeeded @ false,
                } = &mut self.holding
                    && advertisement.priority != Priority::RESIGN
                {
                    *until = now + timers::LINGER;
                    *succeeded = true;
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
        if let Holding::Forwarding { until, .. } = self.holding
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
        master.known = true;
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
                let followed = timers::skew_bound(self.instance.version, self.instance.advert_int);
                self.hand_over(now + followed + timers::LINGER, false);
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
            self.release(removed);
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
            Holding::Forwarding { until, .. } => Some(until),
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
}

#[cfg(test)]
mod tests;
