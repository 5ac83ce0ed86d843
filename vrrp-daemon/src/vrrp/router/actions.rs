//! What a virtual router does when its state changes, in the order that clients need, and what it reckons with.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::VirtualRouter;
use super::phase::{Backup, Claim, Holding, Master, Phase};
use crate::model::{Interval, Priority, Version, VirtualAddress};
use crate::vrrp::effect::{Effect, Reason, State};
use crate::vrrp::timers;
use crate::vrrp::wire::Advertisement;

impl VirtualRouter {
    /// The lease comes first on every input: a master whose right to answer has run out holds its tongue, leaves
    /// without a priority 0 (there is another master by now) and waits as any backup does.
    pub(super) fn lapse(&mut self, now: Instant) {
        let Phase::Master(master) = &self.phase else {
            return;
        };
        if self.patience().is_some_and(|end| now >= end) {
            if master.failing {
                self.withdraw();
                self.fall_silent(now);
                return;
            }
            let silence = now.saturating_duration_since(master.renewed);
            self.withdraw();
            self.transition(Phase::Backup(Backup::new(now)), Reason::LeaseRanOut { silence });
        }
    }

    /// When a master gives up that gets no advertisement out: at the end of its lease, or, if that does not run out,
    /// when the others have given up on it.
    pub(super) fn patience(&self) -> Option<Instant> {
        let Phase::Master(master) = &self.phase else {
            return None;
        };
        let given_up = master
            .failing
            .then(|| timers::lease_end(master.renewed, self.instance.advert_int.duration()));
        master.lease_end.or(given_up)
    }

    /// Claims the mastership: the lease first, and an advertisement. Nothing more is done before that has left
    /// ([`Self::establish`]): who took the addresses and could not say so would take them from a healthy master.
    pub(super) fn become_master(&mut self, reason: Reason, now: Instant) {
        let lease_interval = self.lease_interval();
        self.effects.push_back(Effect::GrantLease {
            interval: lease_interval,
        });
        // What a previous daemon has left is to be given up as a whole if nothing comes of it.
        self.holding = match self.holding {
            Holding::Unknown | Holding::Everything => Holding::Everything,
            Holding::Nothing | Holding::Lease | Holding::Forwarding { .. } => Holding::Lease,
        };
        let from = self.state();
        let master = Master {
            advertise: now,
            renewed: now,
            lease_interval,
            lease_end: lease_interval.map(|interval| timers::first_lease_end(now, interval)),
            announce: None,
            known: reason == Reason::Resumed,
            claim: Some(Claim { from, reason }),
            failing: false,
            contested: false,
            began: now,
            rival: None,
            defended: None,
            ask: now + timers::ASK_FIRST,
            asked: 0,
        };
        self.phase = Phase::Master(master);
        self.advertise(now);
    }

    /// The others have been told. Now the addresses are added, and hosts are told after that (RFC 9568, section 6.4.2).
    pub(super) fn establish(&mut self, claim: Claim, now: Instant) {
        self.holding = Holding::Everything;
        self.effects
            .push_back(Effect::AcquireAddresses(self.instance.virtual_addresses.clone()));
        self.announce(now);
        self.transitioned(claim.from, claim.reason);
    }

    /// There is a better master. It may have been one all the time, beyond a partition that is over, and does not know
    /// that hosts there believe us: hearing us once, it announces its addresses again (Keepalived's
    /// `vrrp_higher_prio_send_advert`).
    pub(super) fn yield_to(
        &mut self,
        source: IpAddr,
        advertisement: &Advertisement,
        reason: Reason,
        now: Instant,
    ) {
        if matches!(&self.phase, Phase::Master(master) if master.claim.is_none() && !master.failing) {
            self.effects
                .push_back(Effect::SendLast(self.advertisement(self.priority())));
        }
        self.hand_over(now + timers::LINGER, true);
        self.transition(Phase::Backup(Backup::hearing(source, advertisement, now)), reason);
    }

    /// Stops answering now and forwarding at `until`; both now if there is no lease, as Keepalived would.
    pub(super) fn hand_over(&mut self, until: Instant, succeeded: bool) {
        let leased = matches!(&self.phase, Phase::Master(master) if master.lease_interval.is_some());
        if !leased {
            self.withdraw();
            return;
        }
        self.effects.push_back(Effect::HandOverLease);
        self.release(self.instance.virtual_addresses.clone());
        self.holding = Holding::Forwarding { until, succeeded };
    }

    /// Gives up whatever is still held: the addresses first, as packets for them meet the local stack once there is
    /// no lease.
    pub(super) fn withdraw(&mut self) {
        if matches!(self.holding, Holding::Unknown | Holding::Everything) {
            self.release(self.instance.virtual_addresses.clone());
        }
        if self.holding != Holding::Nothing {
            self.effects.push_back(Effect::VacateLease);
            self.holding = Holding::Nothing;
        }
    }

    /// Takes virtual addresses off their interfaces, but never the interface's own: a virtual router's owner has one
    /// of its addresses from the administrator (RFC 9568, section 1.6), and would be off the network without it. As
    /// long as the owner's interface has not been up, nobody knows which one that is, and all of them stay: it is to
    /// have them in a moment anyway.
    pub(super) fn release(&mut self, mut addresses: Vec<VirtualAddress>) {
        match self.primary_address {
            Some(own) => addresses.retain(|address| address.address.addr() != own),
            None if self.priority() == Priority::OWNER => return,
            None => {}
        }
        if !addresses.is_empty() {
            self.effects.push_back(Effect::ReleaseAddresses(addresses));
        }
    }

    /// Sends an advertisement and restarts `Adver_Timer`.
    pub(super) fn advertise(&mut self, now: Instant) {
        if let Phase::Master(master) = &mut self.phase {
            master.advertise = now + self.instance.advert_int.duration();
            self.effects
                .push_back(Effect::Send(self.advertisement(self.priority())));
        }
    }

    /// Gratuitous ARP for all addresses, now, soon once more, and then now and again.
    pub(super) fn announce(&mut self, now: Instant) {
        self.announce_and_at(now + timers::ANNOUNCE_AGAIN);
    }

    /// Gratuitous ARP for all addresses, and again at `next`. Not from whom the others may not hear: the addresses may
    /// be with a successor.
    pub(super) fn announce_and_at(&mut self, next: Instant) {
        if let Phase::Master(master) = &mut self.phase {
            master.announce = Some(next);
            if !master.failing {
                self.effects
                    .push_back(Effect::Announce(self.instance.virtual_addresses.clone()));
            }
        }
    }

    pub(super) fn transition(&mut self, phase: Phase, reason: Reason) {
        let from = self.state();
        if matches!(self.phase, Phase::Master(_)) {
            let ended = self.concerns.end_mastership();
            self.effects.extend(ended.into_iter().map(Effect::Relief));
        }
        self.phase = phase;
        if from != self.state() {
            self.transitioned(from, reason);
        }
    }

    pub(super) fn transitioned(&mut self, from: State, reason: Reason) {
        self.transitions += 1;
        self.effects.push_back(Effect::Transitioned {
            from,
            to: self.state(),
            reason,
        });
        if from == State::Backup {
            self.let_loose(false);
        }
    }

    pub(super) fn advertisement(&self, priority: Priority) -> Advertisement {
        Advertisement {
            version: self.instance.version,
            virtual_router_id: self.instance.virtual_router_id,
            priority,
            interval: self.instance.advert_int,
            password: self.instance.password,
            addresses: self.advertised_addresses().collect(),
        }
    }

    pub(super) fn advertised_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let addresses = self.instance.virtual_addresses.iter();
        addresses.map(|address| address.address.addr())
    }

    pub(super) fn backup_deadline(&self) -> Option<Instant> {
        let Phase::Backup(backup) = &self.phase else {
            return None;
        };
        let (version, priority) = (self.instance.version, self.priority());
        let wait = match backup.resigned {
            true => timers::skew_time(version, priority, self.master_interval()),
            false => timers::master_down_interval(version, priority, self.master_interval()),
        };
        Some(backup.since + wait)
    }

    /// `Active_Adver_Interval`: the master's in version 3, once heard; our own before that and in version 2.
    pub(super) fn master_interval(&self) -> Interval {
        match (&self.phase, self.instance.version) {
            (Phase::Backup(backup), Version::V3) => backup.learned_interval,
            _ => None,
        }
        .unwrap_or(self.instance.advert_int)
    }

    /// The owner preempts always (RFC 9568, section 6.1, `Preempt_Mode`).
    pub(super) fn preempts(&self) -> bool {
        self.instance.preempt || self.priority() == Priority::OWNER
    }

    /// The priority that this node takes part in the election with: whoever needs to know asks here.
    pub(super) fn priority(&self) -> Priority {
        self.instance.priority
    }

    pub(super) fn lease_interval(&self) -> Option<Duration> {
        self.instance.lease.then(|| self.instance.advert_int.duration())
    }
}
