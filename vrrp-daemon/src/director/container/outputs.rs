//! What the director wants, and when.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::{Director, Effect, LOOK_AT_EPISODES, LOOK_AT_PINS, RESYNC, Told};
use crate::director::{Desired, Notice, Problem, RealServerState, ServiceState};
use crate::health::{self, Health};
use crate::model::VirtualService;

impl Director {
    /// Time has passed. Calling it early does nothing.
    pub fn timeout(&mut self, now: Instant) {
        self.monitors.timeout(now);
        self.take_from_monitors();
        if self.stop_by.is_some_and(|stop_by| stop_by <= now) {
            self.effects.push_back(Effect::GiveUp);
        }
        if self.look_at_pins <= now {
            self.look_at_pins = now + LOOK_AT_PINS;
            self.effects.push_back(Effect::KeepPins);
        }
        if self.look_at_episodes <= now {
            self.look_at_episodes = now + LOOK_AT_EPISODES;
            self.effects.push_back(Effect::LookAtEpisodes);
        }
        if self.resync_at <= now {
            self.resync_at = now + RESYNC;
            self.effects.push_back(Effect::ReadMaps);
            self.resolving.want();
        }
        self.look_at_windows(now);
        let doubtful = self.rounds.take(self.routes.routes(), now);
        if !doubtful.is_empty() {
            self.effects.push_back(Effect::Confirm(doubtful));
        }
        if self.resolving.is_due(now) {
            self.begin_to_resolve(now);
        }
        if self.routes.give_up(now) {
            self.look_at_problems(now);
        }
        // What is about to be known better goes into the plan.
        if self.converging.is_due(now) && !self.resolving.is_being_done() {
            self.plan(now);
        }
        self.look_at_sweeps(now);
        self.look_at_warmth(now);
    }

    /// When [`Self::timeout`] is next needed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let converging = self.converging.deadline();
        [
            self.monitors.deadline(),
            converging.filter(|_| !self.resolving.is_being_done()),
            self.resolving.deadline(),
            self.rounds.deadline(self.routes.routes().len()),
            self.routes.deadline(),
            Some(self.resync_at),
            Some(self.look_at_pins),
            Some(self.look_at_episodes),
            self.warming.deadline(),
            self.sweeps.deadline(),
            self.windows.deadline(&self.configuration.dataplane.flow_timeouts),
            self.stop_by,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing to do, in order.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.take_from_monitors();
        self.effects.pop_front()
    }

    fn take_from_monitors(&mut self) {
        while let Some(effect) = self.monitors.next_effect() {
            self.effects.push_back(match effect {
                health::Effect::Probe { check, kind } => Effect::Probe { check, kind },
                health::Effect::Changed {
                    real_server,
                    from,
                    to,
                    reason,
                } => {
                    self.converging.want();
                    Effect::Tell(Notice::Health {
                        real_server,
                        from,
                        to,
                        reason,
                    })
                }
            });
        }
    }

    /// Has the motions of rings settle and end. What was seen in them is in the maps.
    fn look_at_windows(&mut self, now: Instant) {
        let timeouts = &self.configuration.dataplane.flow_timeouts;
        let (has_settled, is_due) = self.windows.timeout(timeouts, now);
        if has_settled {
            self.converging.want();
        }
        if is_due {
            self.effects.push_back(Effect::ReadMaps);
        }
    }

    /// Asks for the real servers to be resolved.
    pub(super) fn begin_to_resolve(&mut self, now: Instant) {
        self.resolving.begin(now);
        self.effects
            .push_back(Effect::Resolve(self.real_server_addresses()));
    }

    pub(super) fn real_server_addresses(&self) -> BTreeSet<IpAddr> {
        let services = self.planned().virtual_services.iter();
        let real_servers = services.flat_map(|service| &service.real_servers);
        real_servers.map(|real_server| real_server.address.ip()).collect()
    }

    /// Those of the real servers that must be on a network of this node.
    pub(super) fn linked_addresses(&self) -> BTreeSet<IpAddr> {
        let services = self.planned().virtual_services.iter();
        let real_servers = services.flat_map(|service| &service.real_servers);
        let linked = real_servers.filter(|real_server| real_server.forwarding.needs_link());
        linked.map(|real_server| real_server.address.ip()).collect()
    }

    /// Works out how the maps come to what is configured and known.
    fn plan(&mut self, now: Instant) {
        self.converging.begin(now);
        self.check_those_found(now);
        let desired = Desired::new(&self.inputs(self.planned()), &self.plane);
        let plan = self.planner.plan(&self.plane, &desired);
        self.shortages = plan.shortages;
        self.effects.push_back(Effect::Write(plan.operations));
    }

    /// Finds out what is not as it should be, and tells of services that come and go.
    pub(super) fn look_at_problems(&mut self, now: Instant) {
        let mut problems: Vec<Problem> = self.shortages.iter().map(Problem::of).collect();
        problems.extend(
            self.not_written
                .clone()
                .map(|(operation, error)| Problem::NotWritten { operation, error }),
        );
        problems.extend(self.not_pinned.clone().map(|reason| Problem::PinsMissing {
            directory: self.configuration.node.pin_dir.clone(),
            reason,
        }));
        let services = self.configuration.virtual_services.iter();
        let real_servers = services.clone().flat_map(|service| &service.real_servers);
        problems.extend(real_servers.filter_map(|real_server| {
            let address = real_server.address.ip();
            let reason = self.routes.obstacle(address, real_server.forwarding)?;
            Some(Problem::Unresolved { address, reason })
        }));
        problems.extend(services.clone().filter_map(|service| {
            let (episode, _) = self.episodes.of(service.address)?;
            Some(Problem::Episode {
                service: service.address,
                cause: episode.cause,
                limit: service.new_flow_limit,
            })
        }));
        let mut states = Vec::new();
        for service in services {
            if let Some(state) = self.tellable_state(service) {
                states.push((service.address, state));
                problems.extend((state == Told::Down).then(|| Problem::NoSchedule {
                    service: service.address,
                    reason: self.why_down(service),
                }));
            }
        }
        for (service, state) in states {
            match (self.services_told.insert(service, state), state) {
                (Some(Told::Down), Told::Up) => self.tell(Notice::ServiceUp { service }),
                (None | Some(Told::Up), Told::Down) => self.tell(Notice::ServiceDown { service }),
                (Some(Told::Down), Told::Down) | (None | Some(Told::Up), Told::Up) => {}
            }
        }
        self.problems.replace(problems, now);
    }

    /// What people may be told of a service: nothing new while it is down, but checks that have not ended yet, or
    /// neighbours that have not had the time to answer, may say otherwise in a moment.
    fn tellable_state(&self, service: &VirtualService) -> Option<Told> {
        if self.state_of(service) == ServiceState::Up {
            return Some(Told::Up);
        }
        let known = self.known();
        let mut real_servers = service.real_servers.iter();
        let may_change = real_servers.any(|real_server| {
            let view = known.view(service, real_server);
            let is_sought = self.routes.is_sought(real_server.address.ip());
            view.health == Health::Unknown
                || view.share.is_scheduled()
                || (view.share.state == RealServerState::Unresolved && is_sought)
        });
        let told = self.services_told.get(&service.address);
        (!may_change || told == Some(&Told::Down)).then_some(Told::Down)
    }

    /// Why no real server of a service takes new connections: how many are in which state.
    fn why_down(&self, service: &VirtualService) -> String {
        let known = self.known();
        let states = [
            RealServerState::Down,
            RealServerState::Unresolved,
            RealServerState::Drained,
        ];
        let counts = states.iter().filter_map(|state| {
            let real_servers = service.real_servers.iter();
            let count = real_servers
                .filter(|real_server| known.view(service, real_server).share.state == *state)
                .count();
            (count > 0).then(|| format!("{count} {state}"))
        });
        let counts: Vec<String> = counts.collect();
        if counts.is_empty() {
            "it has no real server".to_owned()
        } else {
            format!("of its real servers: {}", counts.join(", "))
        }
    }
}
