//! Whether this node knows its real servers well enough to take over from a master that is well.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Director;
use crate::director::Interfaces;
use crate::health::{CheckHandle, Health};
use crate::model::CheckKind;
use crate::vrrp::Awaited;

/// Why a master that is well is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cold<'a> {
    /// What is not known of the real servers.
    pub awaited: &'a BTreeSet<Awaited>,
    /// How many health checks have had no outcome.
    pub checks: usize,
    /// How many real servers' link-layer addresses are not known.
    pub neighbours: usize,
    /// The latest end; nothing while an interface has no link, which may be for ever.
    pub until: Option<Instant>,
}

impl Director {
    /// Whether this node does not know its real servers, and what it waits for.
    #[must_use]
    pub fn cold(&self) -> Option<Cold<'_>> {
        let awaited = &self.assignment.awaited;
        let is_link = |awaited: &Awaited| matches!(awaited, Awaited::Link { .. });
        let until = self.warming.deadline();
        (!awaited.is_empty()).then(|| Cold {
            awaited,
            checks: self.warming.checks(),
            neighbours: self.warming.neighbours(),
            until: until.filter(|_| !awaited.iter().any(is_link)),
        })
    }

    /// Nothing is known yet.
    pub(super) fn begin_to_warm(&mut self, now: Instant) {
        let addresses = self.real_server_addresses();
        for name in &self.assignment.interfaces {
            if self.interfaces.get(name).is_none_or(|interface| !interface.up) {
                self.warming.lost(name, addresses.clone());
            }
        }
        let checks: Vec<CheckHandle> = self.monitors.handles().collect();
        self.await_again(&checks, addresses, now);
        self.assignment.awaited = self.awaited(now);
    }

    /// Links have come and gone since `before`.
    pub(super) fn follow_links(&mut self, before: &Interfaces, now: Instant) {
        for (name, interface) in before.iter().filter(|(_, interface)| interface.up) {
            let there = self.interfaces.get(name);
            if there.is_none_or(|there| !there.up || there.index != interface.index) {
                let reached = self.routes.reached_by(interface.index);
                if !reached.is_empty() {
                    self.warming.lost(name, reached);
                }
            }
        }
        let with_link = self.interfaces.iter().filter(|(_, interface)| interface.up);
        let returned: Vec<BTreeSet<IpAddr>> = with_link
            .filter_map(|(name, _)| self.warming.returned(name))
            .collect();
        for addresses in returned {
            let checks = self
                .monitors
                .begin_again(|_, id, _| addresses.contains(&id.address.ip()), now);
            self.await_again(&checks, addresses, now);
            // What is known of the way there is of before.
            self.resolving.want();
        }
        self.look_at_warmth(now);
    }

    fn await_again(&mut self, checks: &[CheckHandle], addresses: BTreeSet<IpAddr>, now: Instant) {
        let timeouts = checks.iter().filter_map(|check| {
            let CheckKind::Tcp { connect_timeout, .. } = self.monitors.check(*check)?.kind();
            Some(*connect_timeout)
        });
        let longest = timeouts.max().unwrap_or(Duration::ZERO);
        self.warming.await_again(checks, addresses, longest, now);
    }

    /// Has the real servers checked whose neighbours were found meanwhile: what failed before may have failed for that.
    pub(super) fn check_those_found(&mut self, now: Instant) {
        let found = self
            .warming
            .take_settled(|address| self.routes.is_settled(address));
        if found.is_empty() {
            return;
        }
        let checks = self.monitors.begin_again(
            |check, id, health| {
                found.contains(&id.address.ip()) && (health != Health::Up || self.warming.awaits(check))
            },
            now,
        );
        self.warming.await_checks(&checks);
    }

    /// Tells the VRRP loop when all is known, and when it is not any more, or another kind of thing is not.
    pub(super) fn look_at_warmth(&mut self, now: Instant) {
        let awaited = self.awaited(now);
        if self.assignment.awaited != awaited {
            self.assignment.awaited = awaited;
            self.assign();
        }
    }

    fn awaited(&mut self, now: Instant) -> BTreeSet<Awaited> {
        // What was found out is in the maps before anyone counts on it.
        let is_written = self.converging.is_idle() && self.resolving.is_idle();
        self.warming
            .awaited(|name| self.interfaces.contains_key(name), is_written, now)
    }
}
