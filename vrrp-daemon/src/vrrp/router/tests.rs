//! The state machine, a table of RFC 9568 section 6.4 and the cases in which two things happen at once.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::model::{Interval, Password, Version, VirtualRouterId};
use crate::vrrp::concern::Concern;
use crate::vrrp::fixtures;
use crate::vrrp::notice::{Discrepancy, Notice};
use crate::vrrp::simulation::{instance, origin, virtual_address};

const OURS: IpAddr = host(2);
const LOWER: IpAddr = host(1);
const HIGHER: IpAddr = host(3);

const fn host(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, host))
}

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// `Master_Down_Interval` of priority 100 at one second.
const MASTER_DOWN: Duration = Duration::from_nanos(3_609_375_000);

/// A router with its clock, whose loop confirms what it sends.
struct Bench {
    router: VirtualRouter,
    now: Instant,
}

impl Bench {
    fn new(instance: VrrpInstance) -> Self {
        Self {
            router: VirtualRouter::new(instance),
            now: origin() + 100 * SECOND,
        }
    }

    /// A backup of the configured priority.
    fn backup(instance: VrrpInstance) -> Self {
        let mut bench = Self::new(instance);
        bench.up();
        assert_eq!(bench.router.state(), State::Backup);
        bench
    }

    /// A master that nobody answered.
    fn master(instance: VrrpInstance) -> Self {
        let mut bench = Self::backup(instance);
        bench.next_deadline();
        bench.effects();
        assert_eq!(bench.router.state(), State::Master);
        bench
    }

    /// What the router wants done while everything leaves; but for its questions who else has an address.
    fn effects(&mut self) -> Vec<Effect> {
        let mut effects = self.all_effects();
        effects.retain(|effect| !matches!(effect, Effect::Ask(_)));
        effects
    }

    fn all_effects(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.router.next_effect() {
            if matches!(&effect, Effect::Send(_)) {
                self.router.sent(self.now);
            }
            effects.push(effect);
        }
        effects
    }

    /// The interface has a link and an address.
    fn up(&mut self) -> Vec<Effect> {
        self.router.addressed(OURS, self.now);
        self.router.cleared(Obstacle::NoLink, self.now);
        self.router.cleared(Obstacle::NoInterface, self.now);
        self.effects()
    }

    fn down(&mut self) -> Vec<Effect> {
        self.obstructed(Obstacle::NoLink)
    }

    fn obstructed(&mut self, obstacle: Obstacle) -> Vec<Effect> {
        self.router.obstructed(obstacle, self.now);
        self.effects()
    }

    fn cleared(&mut self, obstacle: Obstacle) -> Vec<Effect> {
        self.router.cleared(obstacle, self.now);
        self.effects()
    }

    /// What the router wants done while nothing that it sends leaves.
    fn effects_of_a_mute(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.router.next_effect() {
            if matches!(&effect, Effect::Send(_)) {
                self.router.send_failed(self.now);
            }
            effects.push(effect);
        }
        effects
    }

    /// Time passes until `duration` later, and the loop is on time.
    fn after(&mut self, duration: Duration) -> Vec<Effect> {
        let end = self.now + duration;
        let mut effects = Vec::new();
        while let Some(deadline) = self.router.deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline.max(self.now);
            self.router.timeout(self.now);
            effects.extend(self.effects());
        }
        self.now = end;
        effects
    }

    /// Time passes, and the loop does not run.
    fn held_up(&mut self, duration: Duration) {
        self.now += duration;
    }

    fn next_deadline(&mut self) -> Vec<Effect> {
        self.now = self.router.deadline().expect("there is a deadline");
        self.router.timeout(self.now);
        self.effects()
    }

    fn remaining(&self) -> Duration {
        self.router.deadline().expect("there is a deadline") - self.now
    }

    fn hear(&mut self, from: IpAddr, priority: u8) -> Vec<Effect> {
        let advertisement = self.advertisement(priority);
        self.hear_this(from, &advertisement)
    }

    fn hear_this(&mut self, from: IpAddr, advertisement: &Advertisement) -> Vec<Effect> {
        self.router.received(from, advertisement, self.now);
        self.effects()
    }

    /// What a peer with our configuration and `priority` sends.
    fn advertisement(&self, priority: u8) -> Advertisement {
        self.router.advertisement(Priority::new(priority))
    }

    fn addresses(&self) -> Vec<VirtualAddress> {
        self.router.instance().virtual_addresses.clone()
    }

    fn release(&self) -> Effect {
        Effect::ReleaseAddresses(self.addresses())
    }

    fn announce(&self) -> Effect {
        Effect::Announce(self.addresses())
    }

    fn send(&self) -> Effect {
        Effect::Send(self.advertisement(self.router.effective_priority().get()))
    }

    fn grant(&self) -> Effect {
        let instance = self.router.instance();
        Effect::GrantLease {
            interval: instance.lease.then(|| instance.advert_int.duration()),
        }
    }

    /// What becoming master asks for, once the advertisement has left.
    fn promotion(&self, from: State, reason: Reason) -> Vec<Effect> {
        vec![
            self.grant(),
            self.send(),
            Effect::AcquireAddresses(self.addresses()),
            self.announce(),
            transitioned(from, State::Master, reason),
        ]
    }
}

fn transitioned(from: State, to: State, reason: Reason) -> Effect {
    Effect::Transitioned { from, to, reason }
}

fn without_preemption(priority: u8) -> VrrpInstance {
    VrrpInstance {
        preempt: false,
        ..instance(priority)
    }
}

fn without_lease(priority: u8) -> VrrpInstance {
    VrrpInstance {
        lease: false,
        ..instance(priority)
    }
}

fn version_3(priority: u8, centiseconds: u16) -> VrrpInstance {
    VrrpInstance {
        version: Version::V3,
        advert_int: Interval::from_centiseconds(centiseconds).unwrap(),
        ..instance(priority)
    }
}

mod backup;
mod inputs;
mod master;
mod obstacles;
mod rivals;
