//! One virtual router as this node takes part in it (RFC 9568, section 6.4; RFC 3768, section 6.4).

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::awaited::Awaited;
use super::concern::Concerns;
use super::effect::{Effect, Reason, State};
use super::obstacle::Obstacle;
use super::timers;
use super::wire::Advertisement;
use crate::model::{Priority, VirtualAddress, VrrpInstance};

mod actions;
mod admission;
mod obstruction;
mod phase;
mod restraint;
mod rivals;

use phase::{Backup, Holding, Phase};

/// One virtual router: inputs and the time go in, [`Effect`]s come out.
///
/// Every input first looks whether the lease has run out meanwhile (a stopped process, a paused machine): a master
/// that was away for so long is a backup before it says anything. Two inputs at the same time, an input before its
/// deadline and a deadline reported twice are all harmless.
#[derive(Debug)]
pub(super) struct VirtualRouter {
    instance: Arc<VrrpInstance>,
    phase: Phase,
    holding: Holding,
    /// What keeps it out of the election now.
    obstacles: BTreeSet<Obstacle>,
    /// What this node does not know of its real servers: with any of it, it is no better master than one that is well.
    awaited: BTreeSet<Awaited>,
    /// It was told that only this keeps it from preempting a master.
    held_back: bool,
    /// When to look next whether anything leaves, while nothing does.
    probe: Option<Instant>,
    /// The source of our advertisements and our side of the tie-break; known once the interface was up.
    primary_address: Option<IpAddr>,
    transitions: u64,
    /// What an operator should know.
    concerns: Concerns,
    effects: VecDeque<Effect>,
}

impl VirtualRouter {
    /// A virtual router that waits for its interface: of that it is told by [`Self::obstructed`], [`Self::addressed`]
    /// and [`Self::cleared`].
    pub(super) fn new(instance: impl Into<Arc<VrrpInstance>>) -> Self {
        Self {
            instance: instance.into(),
            phase: Phase::Init {
                last_advertised: None,
            },
            holding: Holding::Unknown,
            obstacles: BTreeSet::from([Obstacle::NoInterface]),
            awaited: BTreeSet::new(),
            held_back: false,
            probe: None,
            primary_address: None,
            transitions: 0,
            concerns: Concerns::default(),
            effects: VecDeque::new(),
        }
    }

    /// A previous daemon of this node was master, last advertised at `last_advertised`, and its lease says that it
    /// may still answer. To be told before the interface is up, which then resumes that mastership if the lease
    /// still holds. Without a lease nothing says whose the addresses are now: then this changes nothing.
    pub(super) fn resume(&mut self, last_advertised: Instant) {
        if let Phase::Init {
            last_advertised: hint,
        } = &mut self.phase
        {
            *hint = Some(last_advertised);
        }
    }

    /// `advertisement` arrived from `source`. Returns whether it counted.
    pub(super) fn received(&mut self, source: IpAddr, advertisement: &Advertisement, now: Instant) -> bool {
        self.lapse(now);
        if !self.admits(source, advertisement, now) {
            return false;
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
        true
    }

    /// RFC 9568, section 6.4.2.
    fn received_as_backup(&mut self, source: IpAddr, advertisement: &Advertisement, now: Instant) {
        let is_better = advertisement.priority >= self.priority() || !self.preempts();
        if self.is_cold() && !is_better && advertisement.priority != Priority::RESIGN {
            self.hold_back(source, advertisement.priority);
        }
        let follows = is_better || self.is_cold();
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
    fn received_as_master(&mut self, source: IpAddr, advertisement: &Advertisement, now: Instant) {
        let priority = advertisement.priority;
        if priority == Priority::RESIGN {
            self.advertise(now);
        } else if priority > self.priority() {
            self.yield_to(
                source,
                advertisement,
                Reason::HigherPriority {
                    from: source,
                    priority,
                },
                now,
            );
        } else if priority == self.priority() && Some(source) > self.primary_address {
            self.yield_to(
                source,
                advertisement,
                Reason::HigherAddress {
                    from: source,
                    priority,
                },
                now,
            );
        } else if let Phase::Master(master) = &mut self.phase {
            // Hosts and switches may have believed the other one (Keepalived's garp_lower_prio_repeat): they are told
            // once our advertisement has left.
            master.contested = true;
            self.rivalled(source, priority, now);
            self.advertise(now);
        }
    }

    /// A deadline has passed; one that has not is harmless.
    pub(super) fn timeout(&mut self, now: Instant) {
        self.lapse(now);
        let over = self.concerns.timeout(now);
        self.effects.extend(over.into_iter().map(Effect::Relief));
        self.ask_if_due(now);
        if let Holding::Forwarding { until, .. } = self.holding
            && now >= until
        {
            self.withdraw();
        }
        match &mut self.phase {
            Phase::Backup(_) => self.waited(now),
            Phase::Master(master) => {
                let repeat = master.announce.is_some_and(|at| now >= at);
                if now >= master.advertise {
                    self.advertise(now);
                }
                if repeat {
                    self.announce_and_at(now + timers::REFRESH);
                }
            }
            Phase::Fault => self.probe_if_due(now),
            Phase::Init { .. } | Phase::Stopped => {}
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
    pub(super) fn sent(&mut self, now: Instant) {
        self.lapse(now);
        let lease_interval = self.lease_interval();
        let Phase::Master(master) = &mut self.phase else {
            return;
        };
        master.known = true;
        master.failing = false;
        master.renewed = now;
        master.lease_end = lease_interval.map(|interval| timers::lease_end(now, interval));
        let contested = std::mem::take(&mut master.contested);
        let claim = master.claim.take();
        // A new interval counts from the advertisement that told the backups.
        if master.lease_interval != lease_interval {
            master.lease_interval = lease_interval;
            self.effects.push_back(Effect::GrantLease {
                interval: lease_interval,
            });
        }
        if let Some(claim) = claim {
            self.establish(claim, now);
        } else if contested {
            self.announce(now);
        }
    }

    /// Hands over and leaves: the Shutdown event of RFC 9568 section 6.4. [`Self::is_stopped`] says when that is done.
    pub(super) fn stop(&mut self, now: Instant) {
        self.lapse(now);
        match self.phase {
            Phase::Master(_) => {
                self.effects
                    .push_back(Effect::SendLast(self.advertisement(Priority::RESIGN)));
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
    pub(super) fn reconfigure(&mut self, instance: impl Into<Arc<VrrpInstance>>, now: Instant) {
        self.lapse(now);
        let instance = instance.into();
        if instance == self.instance {
            return;
        }
        let previous = std::mem::replace(&mut self.instance, instance);
        self.agree(|_| true);
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
    pub(super) fn deadline(&self) -> Option<Instant> {
        let linger = match self.holding {
            Holding::Forwarding { until, .. } => Some(until),
            Holding::Unknown | Holding::Nothing | Holding::Lease | Holding::Everything => None,
        };
        let phase = match &self.phase {
            Phase::Backup(_) => self.backup_deadline(),
            Phase::Master(master) => [
                Some(master.advertise),
                Some(master.ask),
                master.announce,
                self.patience(),
            ]
            .into_iter()
            .flatten()
            .min(),
            Phase::Fault => self.probe,
            Phase::Init { .. } | Phase::Stopped => None,
        };
        let concern = self.concerns.deadline();
        linger.into_iter().chain(phase).chain(concern).min()
    }

    /// The next thing to do. To be asked after every input until there is none.
    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The state of this node in the virtual router.
    pub(super) fn state(&self) -> State {
        match &self.phase {
            Phase::Init { .. } | Phase::Stopped => State::Init,
            Phase::Backup(_) => State::Backup,
            Phase::Master(master) => master.claim.map_or(State::Master, |claim| claim.from),
            Phase::Fault => State::Fault,
        }
    }

    /// [`Self::stop`] is done: nothing is held and nothing is left to wait for.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped) && self.holding == Holding::Nothing
    }

    /// What this virtual router is configured with.
    #[must_use]
    pub(super) fn instance(&self) -> &Arc<VrrpInstance> {
        &self.instance
    }

    /// The priority that this node takes part in the election with.
    pub(super) fn effective_priority(&self) -> Priority {
        self.priority()
    }

    /// What this node advertises as master.
    pub(super) fn own_advertisement(&self) -> Advertisement {
        self.advertisement(self.priority())
    }

    /// What keeps it out of the election: why it is in `init` or `fault`.
    pub(super) fn obstacles(&self) -> &BTreeSet<Obstacle> {
        &self.obstacles
    }

    /// The primary address of the master, as far as this node knows; its own if it is that.
    pub(super) fn master_address(&self) -> Option<IpAddr> {
        match &self.phase {
            Phase::Backup(backup) => backup.master,
            Phase::Master(_) => self.primary_address,
            Phase::Init { .. } | Phase::Fault | Phase::Stopped => None,
        }
    }

    /// How often the state has changed.
    pub(super) fn transitions(&self) -> u64 {
        self.transitions
    }
}

#[cfg(test)]
mod tests;
