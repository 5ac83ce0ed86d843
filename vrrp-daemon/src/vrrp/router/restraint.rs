//! A node that does not know its real servers preempts nobody.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::VirtualRouter;
use super::phase::Phase;
use crate::model::Priority;
use crate::vrrp::awaited::Awaited;
use crate::vrrp::effect::{Effect, Reason};

impl VirtualRouter {
    /// What this node does not know of its real servers. As long as there is anything, because it has just begun or its
    /// link was away, it could serve nobody: it takes over from a master that is gone or resigns, but preempts none.
    pub(in crate::vrrp) fn await_servers(&mut self, awaited: &BTreeSet<Awaited>, now: Instant) {
        let was_cold = self.is_cold();
        self.awaited.clone_from(awaited);
        if was_cold == self.is_cold() {
            return;
        }
        let is_owner = self.priority() == Priority::OWNER;
        let Phase::Backup(backup) = &mut self.phase else {
            return;
        };
        if !was_cold {
            // Who was being preempted is listened to again.
            if backup.inferior.take().is_some() {
                backup.since = now;
            }
            return;
        }
        self.let_loose(true);
        if is_owner {
            self.become_master(Reason::Owner, now);
        }
    }

    /// Whether it does not know its real servers.
    pub(super) fn is_cold(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// A master is heard that it would preempt, were it not cold. That is told once, until [`Self::let_loose`].
    pub(super) fn hold_back(&mut self, from: IpAddr, priority: Priority) {
        if !std::mem::replace(&mut self.held_back, true) {
            let awaited = self.awaited.clone();
            self.effects.push_back(Effect::HoldsBack {
                from,
                priority,
                awaited,
            });
        }
    }

    /// Nothing holds it back any more: its real servers are `known`, or it is no backup.
    pub(super) fn let_loose(&mut self, known: bool) {
        if std::mem::take(&mut self.held_back) {
            self.effects.push_back(Effect::HoldsBackNoMore { known });
        }
    }
}
