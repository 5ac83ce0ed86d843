//! The health checks under way.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::agenda::Agenda;
use crate::director::{RealServerId, Seed};
use crate::health::{Effect, Health, LastCheck, Monitor, phase};
use crate::io::probe::Sources;
use crate::io::probe::tcp::{self, ProbeError};
use crate::model::Configuration;

/// A monitor for each real server that has a check, and the probes that they asked for.
///
/// There may be ten thousand, each with its own times: only those that something has happened to are ever looked at.
pub(super) struct Monitors {
    monitors: BTreeMap<RealServerId, Monitor>,
    agenda: Agenda<RealServerId>,
    probes: JoinSet<(RealServerId, Result<(), ProbeError>)>,
    health: HashMap<RealServerId, Health>,
    /// Where the probes leave from.
    sources: Arc<Sources>,
}

impl Monitors {
    pub(super) fn new() -> Self {
        Self {
            monitors: BTreeMap::new(),
            agenda: Agenda::default(),
            probes: JoinSet::new(),
            health: HashMap::new(),
            sources: Arc::default(),
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
        self.sources = Arc::new(Sources::except(configuration.virtual_addresses()));
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
        self.agenda = Agenda::default();
        for (id, monitor) in &self.monitors {
            self.agenda.stirred(id, monitor.deadline());
        }
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
        self.agenda.deadline()
    }

    /// Time has passed.
    pub(super) fn timeout(&mut self, now: Instant) {
        for id in self.agenda.take_due(now) {
            self.input(id, |monitor| monitor.timeout(now));
        }
    }

    /// Gives the monitor `id` an input, if there still is one: the real server may have been removed while its probe
    /// was under way.
    fn input(&mut self, id: RealServerId, input: impl FnOnce(&mut Monitor)) {
        let Some(monitor) = self.monitors.get_mut(&id) else {
            return;
        };
        input(monitor);
        self.agenda.stirred(&id, monitor.deadline());
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
        match outcome {
            Err(error @ ProbeError::NotMade { .. }) => {
                warn!(service = %id.service, real_server = %id.address, %error, "health check left out");
                self.input(id, |monitor| monitor.not_probed(now));
            }
            outcome => {
                let outcome = outcome.map_err(|error| error.to_string());
                debug!(service = %id.service, real_server = %id.address, ?outcome, "health check");
                self.input(id, |monitor| monitor.probed(outcome, now));
            }
        }
    }

    /// Carries out what the monitors want: starts probes and logs changes. Returns whether any health has changed.
    pub(super) fn carry_out(&mut self) -> bool {
        let mut changed = false;
        for id in self.agenda.take_stirred() {
            let Some(monitor) = self.monitors.get_mut(&id) else {
                continue;
            };
            while let Some(effect) = monitor.next_effect() {
                match effect {
                    Effect::Probe {
                        port,
                        connect_timeout,
                    } => {
                        let target = SocketAddr::new(id.address, port);
                        let sources = Arc::clone(&self.sources);
                        self.probes
                            .spawn(async move { (id, tcp::probe(target, connect_timeout, &sources).await) });
                    }
                    Effect::Changed { from, to, reason } => {
                        changed = true;
                        self.health.insert(id, to);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// `count` real servers, each with a check every ten seconds.
    fn configuration(count: u8) -> Configuration {
        let mut text = "[dataplane]\ninterfaces = [\"eth0\"]\n[[virtual_server]]\naddress = \"192.0.2.1\"\nport = 80\ndelay_loop = \"10s\"\n".to_owned();
        for host in 1..=count {
            text += &format!(
                "[[virtual_server.real_server]]\naddress = \"192.0.2.{}\"\ntcp_check = {{}}\n",
                host + 1
            );
        }
        config::parse(&text)
            .expect("the configuration is valid")
            .configuration
    }

    fn watching(count: u8, now: Instant) -> Monitors {
        let mut monitors = Monitors::new();
        monitors.watch(&configuration(count), &HashMap::new(), now);
        monitors
    }

    fn is_queued_as_it_says(monitors: &Monitors) -> bool {
        let all = monitors.monitors.iter();
        let first = all.clone().filter_map(|(_, monitor)| monitor.deadline()).min();
        first == monitors.agenda.deadline()
            && all
                .map(|(id, monitor)| (monitor.deadline(), monitors.agenda.deadline_of(id)))
                .all(|(said, queued)| said == queued)
    }

    #[test]
    fn every_monitor_is_queued_for_the_time_that_it_names() {
        let start = Instant::now();
        let mut monitors = watching(20, start);
        assert!(is_queued_as_it_says(&monitors));
        let first = monitors.deadline().expect("there are checks to make");
        monitors.timeout(first);
        assert!(is_queued_as_it_says(&monitors));
        assert!(monitors.deadline() > Some(first), "the first one is probing");

        let id = *monitors.monitors.keys().next().expect("there are monitors");
        let later = start + std::time::Duration::from_secs(2);
        monitors.timeout(later);
        monitors.probed(id, Ok(()), later);
        assert!(is_queued_as_it_says(&monitors));
    }

    #[test]
    fn a_probe_of_a_removed_real_server_says_nothing() {
        let start = Instant::now();
        let mut monitors = watching(2, start);
        let id = *monitors.monitors.keys().next_back().expect("there are monitors");
        monitors.timeout(start + std::time::Duration::from_secs(2));
        monitors.watch(&configuration(1), &HashMap::new(), start);
        monitors.probed(id, Ok(()), start);
        assert!(is_queued_as_it_says(&monitors));
        assert!(!monitors.health().contains_key(&id));
    }
}
