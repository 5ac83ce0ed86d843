//! What stands in a virtual router's way, and what becomes of it.

use std::net::IpAddr;
use std::time::Instant;

use super::VirtualRouter;
use super::phase::{Backup, Holding, Phase};
use crate::model::Priority;
use crate::vrrp::effect::{Effect, Reason};
use crate::vrrp::obstacle::Obstacle;
use crate::vrrp::timers;

impl VirtualRouter {
    /// Advertisements come from `primary_address` from now on. To be told before the last obstacle is cleared, and
    /// again when that address changes.
    pub(in crate::vrrp) fn addressed(&mut self, primary_address: IpAddr, now: Instant) {
        self.lapse(now);
        self.primary_address = Some(primary_address);
    }

    /// Something stands in the way: the Shutdown event of RFC 9568 section 6.4. Whatever was held is given up. Nobody
    /// would hear a priority 0 without a link; a master that the others know of resigns where it can, perhaps by an
    /// interface that only its name has left.
    pub(in crate::vrrp) fn obstructed(&mut self, obstacle: Obstacle, now: Instant) {
        self.lapse(now);
        let news = self.obstacles.insert(obstacle);
        match &self.phase {
            Phase::Backup(_) => {
                self.withdraw();
                self.transition(Phase::Fault, Reason::Obstructed(obstacle));
            }
            Phase::Master(master) => {
                let can_be_heard = matches!(
                    obstacle,
                    Obstacle::ProgramRefused | Obstacle::NoInterface | Obstacle::NoDevice
                );
                let resigns = master.known && can_be_heard;
                if obstacle == Obstacle::ProgramRefused {
                    // That is heard when the lease is granted: what was asked for with it is not to be done any more.
                    self.effects.clear();
                }
                if resigns {
                    self.effects
                        .push_back(Effect::SendLast(self.advertisement(Priority::RESIGN)));
                }
                self.withdraw();
                self.transition(Phase::Fault, Reason::Obstructed(obstacle));
            }
            // Whoever took over meanwhile could not be heard: there is nothing to resume.
            Phase::Init { .. } => {
                // One that it begins with is news as well, once it is found to be there.
                let first = self.holding == Holding::Unknown;
                self.withdraw();
                self.phase = Phase::Init {
                    last_advertised: None,
                };
                self.effects
                    .extend((news || first).then_some(Effect::Obstructed(obstacle)));
            }
            Phase::Fault => {
                self.withdraw();
                self.effects.extend(news.then_some(Effect::Obstructed(obstacle)));
            }
            Phase::Stopped => self.withdraw(),
        }
    }

    /// It stands in the way no more. With the last one, the Startup event of RFC 9568 section 6.4.1. As in Keepalived
    /// an instance below priority 255 waits as a backup whatever its configured initial state.
    pub(in crate::vrrp) fn cleared(&mut self, obstacle: Obstacle, now: Instant) {
        self.lapse(now);
        if !self.obstacles.remove(&obstacle) {
            return;
        }
        if self.nothing_but_sending() {
            self.probe = Some(now);
        }
        let last_advertised = match self.phase {
            Phase::Init { last_advertised } => last_advertised,
            Phase::Fault => None,
            Phase::Backup(_) | Phase::Master(_) | Phase::Stopped => return,
        };
        if !self.obstacles.is_empty() {
            return;
        }
        let lease_end = last_advertised
            .zip(self.lease_interval())
            .map(|(sent, interval)| timers::lease_end(sent, interval));
        match lease_end {
            Some(end) if now < end => self.become_master(Reason::Resumed, now),
            _ if self.priority() == Priority::OWNER && !self.is_cold() => {
                self.become_master(Reason::Owner, now)
            }
            lease_end => {
                let reason = match lease_end {
                    Some(_) => Reason::LeaseRanOutBeforeStart,
                    None => Reason::Cleared(obstacle),
                };
                self.withdraw();
                self.transition(Phase::Backup(Backup::new(now)), reason);
            }
        }
    }

    /// An advertisement of a priority above 0 could not be sent at `now`. A claim comes to nothing by that. A master
    /// goes on, for the next one may leave, until its lease is over or another master has spoken: then the others do
    /// not believe it any more, and the addresses are to be where they look for them.
    pub(in crate::vrrp) fn send_failed(&mut self, now: Instant) {
        self.lapse(now);
        let Phase::Master(master) = &mut self.phase else {
            return;
        };
        master.failing = true;
        if master.claim.is_some() {
            self.withdraw();
            self.fall_silent(now);
        } else if master.contested {
            self.hand_over(now + timers::LINGER, true);
            self.fall_silent(now);
        }
    }

    /// Out of the election until something leaves.
    pub(super) fn fall_silent(&mut self, now: Instant) {
        self.obstacles.insert(Obstacle::NotSent);
        self.probe = Some(now + timers::probe_pause(self.instance.advert_int.duration()));
        self.transition(Phase::Fault, Reason::Obstructed(Obstacle::NotSent));
    }

    /// Looks whether anything leaves, by what no router acts on: the addresses are another one's meanwhile.
    pub(super) fn probe_if_due(&mut self, now: Instant) {
        if self.probe.is_some_and(|at| now >= at) {
            self.probe = None;
            if self.nothing_but_sending() {
                self.probe = Some(now + timers::probe_pause(self.instance.advert_int.duration()));
                self.effects.push_back(Effect::Probe);
            }
        }
    }

    /// Only trying it out says whether advertisements leave now.
    fn nothing_but_sending(&self) -> bool {
        self.obstacles.iter().eq([&Obstacle::NotSent])
    }

    /// What no router acts on has left.
    pub(in crate::vrrp) fn probe_sent(&mut self, now: Instant) {
        self.probe = None;
        self.cleared(Obstacle::NotSent, now);
    }
}
