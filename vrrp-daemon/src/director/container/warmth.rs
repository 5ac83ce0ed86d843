//! Whether this node knows its real servers well enough to take over from a master that is well.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Director;
use crate::director::Interfaces;
use crate::health::{CheckHandle, Health};
use crate::model::CheckKind;

impl Director {
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

    /// Tells the VRRP loop when all is known, and when it is not any more.
    pub(super) fn look_at_warmth(&mut self, now: Instant) {
        // What was found out is in the maps before anyone counts on it.
        let is_written = self.converging.is_idle() && self.resolving.is_idle();
        let is_warm = self
            .warming
            .is_over(|name| self.interfaces.contains_key(name), is_written, now);
        if self.assignment.cold == is_warm {
            self.assignment.cold = !is_warm;
            self.assign();
        }
    }
}
