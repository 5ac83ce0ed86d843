//! The health checks under way.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::director::{RealServerId, Seed};
use crate::health::{Effect, Health, LastCheck, Monitor, phase};
use crate::io::probe::tcp::{self, ProbeError};
use crate::model::Configuration;

/// A monitor for each real server that has a check, and the probes that they asked for.
pub(super) struct Monitors {
    monitors: BTreeMap<RealServerId, Monitor>,
    probes: JoinSet<(RealServerId, Result<(), ProbeError>)>,
    health: HashMap<RealServerId, Health>,
}

impl Monitors {
    pub(super) fn new() -> Self {
        Self {
            monitors: BTreeMap::new(),
            probes: JoinSet::new(),
            health: HashMap::new(),
        }
    }

    /// Watches the real servers of `configuration`: goes on with those that were there, begins with new ones (`seeds`
    /// tells what was known of them before), forgets the others.
    pub(super) fn watch(
        &mut self,
        configuration: &Configuration,
        seeds: &HashMap<RealServerId, Seed>,
        now: Instant,
    ) {
        let checked: Vec<_> = configuration
            .virtual_services
            .iter()
            .flat_map(|service| {
                service
                    .real_servers
                    .iter()
                    .map(move |real_server| (service, real_server))
            })
            .filter_map(|(service, real_server)| Some((service, real_server.address, real_server.check?)))
            .collect();
        let mut monitors = BTreeMap::new();
        // Numbered all together: the probes of different services are spread as well.
        for (position, &(service, address, check)) in checked.iter().enumerate() {
            let id = RealServerId {
                service: service.address,
                address,
            };
            let monitor = match self.monitors.remove(&id) {
                Some(mut monitor) => {
                    monitor.reconfigure(check, service.delay_loop, now);
                    monitor
                }
                None => {
                    let phase = phase(position, checked.len(), service.delay_loop);
                    let initial = seeds.get(&id).map(|seed| seed.health);
                    Monitor::new(check, service.delay_loop, phase, initial, now)
                }
            };
            monitors.insert(id, monitor);
        }
        self.monitors = monitors;
        self.health = self
            .monitors
            .iter()
            .map(|(id, monitor)| (*id, monitor.state()))
            .collect();
    }

    /// What is known of each real server that has a check.
    pub(super) fn health(&self) -> &HashMap<RealServerId, Health> {
        &self.health
    }

    /// How the latest check of a real server went.
    pub(super) fn last_check(&self, id: &RealServerId) -> Option<&LastCheck> {
        self.monitors.get(id)?.last_check()
    }

    /// When [`Self::timeout`] is next needed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.monitors.values().filter_map(Monitor::deadline).min()
    }

    /// Time has passed.
    pub(super) fn timeout(&mut self, now: Instant) {
        for monitor in self
            .monitors
            .values_mut()
            .filter(|monitor| monitor.deadline().is_some_and(|at| at <= now))
        {
            monitor.timeout(now);
        }
    }

    /// Waits for a probe to end, for ever if none is under way. Nothing is lost if the wait is given up.
    pub(super) async fn probe_ended(&mut self) -> (RealServerId, Result<(), ProbeError>) {
        loop {
            match self.probes.join_next().await {
                Some(Ok(ended)) => return ended,
                // A probe that panicked has been reported by the panic; its monitor asks again when it is due.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Tells a monitor how its probe went.
    pub(super) fn probed(&mut self, id: RealServerId, outcome: Result<(), ProbeError>, now: Instant) {
        // The real server may have been removed while the probe was under way.
        let Some(monitor) = self.monitors.get_mut(&id) else {
            return;
        };
        match outcome {
            Err(error @ ProbeError::NotMade { .. }) => {
                warn!(service = %id.service, real_server = %id.address, %error, "health check left out");
                monitor.not_probed(now);
            }
            outcome => {
                let outcome = outcome.map_err(|error| error.to_string());
                debug!(service = %id.service, real_server = %id.address, ?outcome, "health check");
                monitor.probed(outcome, now);
            }
        }
    }

    /// Carries out what the monitors want: starts probes and logs changes. Returns whether any health has changed.
    pub(super) fn carry_out(&mut self) -> bool {
        let mut changed = false;
        for (id, monitor) in &mut self.monitors {
            while let Some(effect) = monitor.next_effect() {
                match effect {
                    Effect::Probe {
                        port,
                        connect_timeout,
                    } => {
                        let id = *id;
                        let target = SocketAddr::new(id.address, port);
                        self.probes
                            .spawn(async move { (id, tcp::probe(target, connect_timeout).await) });
                    }
                    Effect::Changed { from, to, reason } => {
                        changed = true;
                        self.health.insert(*id, to);
                        if to == Health::Down {
                            warn!(service = %id.service, real_server = %id.address, %from, %to, %reason, "real server");
                        } else {
                            info!(service = %id.service, real_server = %id.address, %from, %to, %reason, "real server");
                        }
                    }
                }
            }
        }
        changed
    }
}
