//! What the director learns.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::{Director, Effect, Refusal, STOP_MARGIN};
use crate::director::assignment::{Assignment, interfaces_of};
use crate::director::{
    Changes, Episode, Exits, Interfaces, Notice, Operation, Plane, Route, Ways, service_key,
};
use crate::health::CheckHandle;
use crate::model::Configuration;

impl Director {
    /// The probe of `check` has ended: with success, or with what went wrong in words for people.
    pub fn probed(&mut self, check: CheckHandle, outcome: Result<(), String>, now: Instant) {
        if let Some(watched) = self.monitors.check(check) {
            let address = watched.real_server().address.ip();
            match &outcome {
                Ok(()) => self.rounds.heard(address, now),
                Err(_) => self.rounds.suspect(address),
            }
        }
        self.not_made.remove(&check);
        if self.monitors.probed(check, outcome, now) {
            self.warming.checked(check);
        }
    }

    /// The probe of `check` could not be made, for want of something on this machine. That is told once, until one is
    /// made.
    pub fn not_probed(&mut self, check: CheckHandle, reason: String, now: Instant) {
        if let Some(watched) = self.monitors.check(check)
            && self.not_made.insert(check)
        {
            let real_server = watched.real_server();
            self.tell(Notice::NotChecked { real_server, reason });
        }
        self.monitors.not_probed(check, now);
    }

    /// These are the interfaces that there are.
    pub fn found_interfaces(&mut self, interfaces: Interfaces, now: Instant) {
        if self.interfaces != interfaces {
            let before = std::mem::replace(&mut self.interfaces, interfaces);
            self.converging.want();
            self.follow_links(&before, now);
        }
    }

    /// What was asked to be resolved is: these are the ways that the kernel knows.
    pub fn resolved(&mut self, mut ways: Ways, now: Instant) {
        self.resolving.done(now);
        ways.refuse_gateways(&self.linked_addresses());
        for (address, reason) in &ways.unreachable {
            if self.routes.unreachable().get(address) != Some(reason) {
                self.effects.push_back(Effect::Tell(Notice::Unreachable {
                    address: *address,
                    reason: reason.clone(),
                }));
            }
        }
        self.routes.replace(ways, now);
        let egress = self.routes.egress();
        if self.assignment.egress != egress {
            self.assignment.egress = egress;
            self.assign();
        }
        self.converging.want();
    }

    /// What was asked to be resolved could not be: what is known stays.
    pub fn not_resolved(&mut self, now: Instant) {
        self.resolving.done(now);
    }

    /// The kernel has told how the real servers at `address` are reached now.
    pub fn found_route(&mut self, address: IpAddr, route: Route) {
        let before = self.routes.routes().get(&address);
        if route.destination_mac.is_none() && before.is_some_and(|before| before.destination_mac.is_some()) {
            // It does not answer where it was. Somebody else may, and need not wait until the kernel asks again by
            // itself.
            self.rounds.suspect(address);
        }
        if self.routes.update(address, route) {
            self.converging.want();
        }
    }

    /// Something has changed that real servers may be reached by.
    pub fn lost_routes(&mut self) {
        self.resolving.want();
    }

    /// This is what the maps hold, whoever wrote it.
    pub fn read(&mut self, plane: Plane) {
        self.plane = plane;
        self.windows.read();
        self.look_at_quarantine();
        self.converging.want();
    }

    /// These episodes are not over, by [`lb_common::Service::index`].
    pub fn found_episodes(&mut self, found: &BTreeMap<u32, Episode>, now: Instant) {
        let services = self.configuration.virtual_services.iter();
        let episodes = services.filter_map(|service| {
            let index = self.plane.services.get(&service_key(service.address))?.index;
            let episode = found.get(&index)?;
            Some((service.address, service.new_flow_limit, *episode))
        });
        let episodes: Vec<_> = if found.is_empty() {
            Vec::new()
        } else {
            episodes.collect()
        };
        let notices = self.episodes.found(episodes, now);
        let has_changed = !notices.is_empty();
        self.effects.extend(notices.into_iter().map(Effect::Tell));
        if has_changed {
            self.look_at_problems(now);
        }
    }

    /// The maps are pinned: that needed doing again, because somebody had unpinned them, or it did not; or they are
    /// not, and cannot be.
    pub fn kept_pins(&mut self, kept: Result<bool, String>, now: Instant) {
        let directory = self.configuration.node.pin_dir.clone();
        match &kept {
            Ok(true) => self.tell(Notice::PinnedAgain { directory }),
            Ok(false) => {}
            Err(reason) if self.not_pinned.as_ref() == Some(reason) => {}
            Err(reason) => self.tell(Notice::NotPinned {
                directory,
                reason: reason.clone(),
            }),
        }
        let not_pinned = kept.err();
        if self.not_pinned != not_pinned {
            self.not_pinned = not_pinned;
            self.look_at_problems(now);
        }
    }

    /// Of what was to be written, this is done; the next one was refused, if there is an `error`.
    pub fn wrote(&mut self, done: &[Operation], error: Option<(&Operation, String)>, now: Instant) {
        for operation in done {
            self.plane.apply(operation);
        }
        self.windows.follow(&self.plane, now);
        self.look_at_quarantine();
        self.converging.done(now);
        if error.is_none() && !self.shortages.is_empty() && !done.is_empty() {
            // Operations may have made the room that was short: what still is without any is told.
            self.converging.want();
        } else if error.is_none() {
            let news: Vec<_> = self
                .shortages
                .iter()
                .filter(|shortage| !self.shortages_told.contains(shortage))
                .cloned()
                .collect();
            for shortage in news {
                self.tell(Notice::Shortage(shortage));
            }
            self.shortages_told.clone_from(&self.shortages);
        }
        self.not_written = error.map(|(operation, error)| {
            let operation = operation.to_string();
            self.effects.push_back(Effect::Tell(Notice::NotWritten {
                operation: operation.clone(),
                error: error.clone(),
            }));
            (operation, error)
        });
        self.look_at_problems(now);
        self.look_at_warmth(now);
    }

    /// The VRRP loop has done what assignment `revision` asks for, as far as it can; of those that are not in it any
    /// more, some still hand over, or none (`handing_over`). What departs is forgotten then.
    /// Packets leave by the interfaces as `exits` says.
    pub fn reported(&mut self, revision: u64, handing_over: bool, exits: &Exits, now: Instant) {
        if self.routes.leave_by(exits) {
            self.converging.want();
        }
        if revision != self.assignment.revision || handing_over || self.departing.take().is_none() {
            return;
        }
        let instances = &self.configuration.vrrp_instances;
        match self.lease_slots.assign(&self.plane, instances, &self.interfaces) {
            Ok(lease_slots) => self.lease_slots = lease_slots,
            // They have slots already; the departed ones keep theirs until the next reload.
            Err(shortage) => self.tell(Notice::Shortage(shortage)),
        }
        let interfaces = interfaces_of(&self.configuration);
        if self.assignment.interfaces != interfaces {
            self.assignment.interfaces = interfaces;
            self.assign();
        }
        self.watch(now);
        self.resolving.want();
        self.converging.want();
    }

    /// `configuration` takes the place of the one in force; virtual routers that are not in it depart first. Returns
    /// what that changes.
    ///
    /// # Errors
    /// Why it stays as it was.
    pub fn reload(
        &mut self,
        configuration: Configuration,
        interfaces: Interfaces,
        now: Instant,
    ) -> Result<Changes, Refusal> {
        if self.is_stopping() {
            return Err(Refusal::Stopping);
        }
        let departing = configuration.with_departing(self.planned());
        let planned = departing.as_ref().unwrap_or(&configuration);
        let lease_slots = self
            .lease_slots
            .assign(&self.plane, &planned.vrrp_instances, &interfaces)?;
        let changes = Changes::between(&self.configuration, &configuration);
        self.assignment = Assignment {
            revision: self.assignment.revision + 1,
            // What departs forwards to the end.
            interfaces: interfaces_of(planned),
            egress: std::mem::take(&mut self.assignment.egress),
            awaited: std::mem::take(&mut self.assignment.awaited),
            ..Assignment::new(&configuration, &lease_slots)
        };
        self.interfaces = interfaces;
        self.configuration = configuration;
        self.departing = departing;
        self.lease_slots = lease_slots;
        self.services_told.retain(|address, _| {
            self.configuration
                .virtual_services
                .iter()
                .any(|service| service.address == *address)
        });
        self.watch(now);
        // Before the virtual routers are told: how new real servers are reached is known when their packets come.
        self.begin_to_resolve(now);
        self.assign();
        self.converging.want();
        Ok(changes)
    }

    /// Everything is to be handed over.
    pub fn stop(&mut self, now: Instant) {
        if self.is_stopping() {
            return;
        }
        // A successor waits for its skew, which is below one interval.
        let instances = self.planned().vrrp_instances.iter();
        let longest = instances.map(|instance| instance.advert_int.duration()).max();
        self.stop_by = Some(now + longest.unwrap_or_default() + STOP_MARGIN);
        self.tell(Notice::Stopping);
        self.assignment.stopping = true;
        self.assign();
    }

    pub(super) fn assign(&mut self) {
        self.effects.push_back(Effect::Assign(self.assignment.clone()));
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Tell(notice));
    }
}
