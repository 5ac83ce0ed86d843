//! The loop that keeps the forwarding maps: health checks, neighbours, reload, and the daemon's commands.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;
use tracing::{error, info, warn};

use super::channel::{Assignment, Exits, Report};
use super::forwarding::Forwarding;
use super::pace::Pace;
use super::probes::{Ended, Probes};
use super::reload::{self, Reloaded};
use super::{by_name, status};
use crate::api::{Problem, Request, Response};
use crate::director::{Inputs, Interfaces, LeaseSlots, Neighbour, Neighbours, NetworkInterface};
use crate::health::{Effect, Health, Monitors};
use crate::io::bpf::Flows;
use crate::io::control::ControlSocket;
use crate::io::netlink::{self, Events, Netlink, Observed, Resolver};
use crate::io::probe::ProbeError;
use crate::model::{Configuration, RealServerId};

/// How often everything is read again that events may have missed: maps, routes, neighbours.
const RESYNC: Duration = Duration::from_secs(30);

/// A stop that takes longer than the longest handover and this is ended: the leases run out by themselves.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Everything that can happen to this loop.
enum Event {
    /// A probe has ended.
    Probed(Ended),
    /// The kernel tells of a change.
    Kernel(Result<netlink::Event, netlink::Error>),
    /// A command asks something of us.
    Request(Request, oneshot::Sender<Response>),
    /// The other loop's report has changed, or that loop has ended.
    Report(Result<(), watch::error::RecvError>),
    /// SIGHUP.
    Hangup,
    /// SIGTERM or SIGINT.
    Terminate,
    /// A deadline has passed.
    Timeout,
}

/// What the loop is made of.
pub(super) struct DirectorLoop {
    pub(super) config_path: PathBuf,
    pub(super) configuration: Configuration,
    /// The configuration with what virtual routers that a reload removed need, while they hand over.
    pub(super) departing: Option<Configuration>,
    pub(super) started: Instant,
    pub(super) netlink: Netlink,
    pub(super) kernel: Events,
    pub(super) resolver: Resolver,
    pub(super) interfaces: Interfaces,
    pub(super) forwarding: Forwarding,
    /// Bringing the maps to what is wanted: ten thousand servers that come up one by one are not ten thousand plans.
    pub(super) converging: Pace,
    /// Looking at routes and neighbours.
    pub(super) resolving: Pace,
    pub(super) monitors: Monitors,
    pub(super) probes: Probes,
    pub(super) lease_slots: LeaseSlots,
    pub(super) assignment: watch::Sender<Assignment>,
    pub(super) report: watch::Receiver<Report>,
    /// How packets leave, as it was last reported.
    pub(super) exits: Exits,
    pub(super) control: ControlSocket,
    /// What was not as it should be at the start, and cannot be mended while the daemon runs.
    pub(super) problems: Vec<Problem>,
}

/// The signals that the daemon listens to.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl DirectorLoop {
    /// Fills the maps from what is known at the start.
    pub(super) async fn prepare(&mut self) {
        self.resolve().await;
        self.converge();
    }

    /// Runs until the daemon is told to stop and the other loop has handed everything over.
    ///
    /// # Errors
    /// If the other loop ends unasked, or the kernel's notices end.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut signals = Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        let mut resync_at = Instant::now() + RESYNC;
        let mut stop_by: Option<Instant> = None;
        self.converging.want();
        loop {
            if self.resolving.is_due(Instant::now()) {
                self.resolve().await;
                self.converging.want();
            }
            if self.carry_out() {
                self.converging.want();
            }
            if self.converging.is_due(Instant::now()) {
                self.converge();
            }
            let deadline = [
                self.monitors.deadline(),
                self.converging.deadline(),
                self.resolving.deadline(),
                Some(resync_at),
                stop_by,
            ]
            .into_iter()
            .flatten()
            .min();
            let changed = match self.next_event(&mut signals, deadline.unwrap_or(resync_at)).await {
                Event::Probed(ended) => {
                    self.probed(ended);
                    false
                }
                Event::Kernel(event) => self.observe(&event.context("the kernel's notices ended")?).await,
                Event::Request(request, answer) => self.answer(request, answer).await,
                Event::Report(Ok(())) => self.end_departure() | self.take_exits(),
                Event::Report(Err(_)) if stop_by.is_some() => {
                    self.release_neighbours().await;
                    return Ok(());
                }
                Event::Report(Err(_)) => bail!("the VRRP loop ended"),
                Event::Hangup => {
                    self.reload().await;
                    true
                }
                Event::Terminate => {
                    info!("stopping");
                    stop_by.get_or_insert_with(|| Instant::now() + self.longest_handover() + STOP_MARGIN);
                    self.assignment
                        .send_modify(|assignment| assignment.stopping = true);
                    false
                }
                Event::Timeout => {
                    let now = Instant::now();
                    self.monitors.timeout(now);
                    if stop_by.is_some_and(|stop_by| stop_by <= now) {
                        bail!("the VRRP loop did not hand over in time; the leases run out by themselves");
                    }
                    let resync = resync_at <= now;
                    if resync {
                        resync_at = now + RESYNC;
                        self.forwarding.read_again();
                        self.resolving.want();
                    }
                    resync
                }
            };
            if changed {
                self.converging.want();
            }
        }
    }

    /// A successor waits for its skew, which is below one interval.
    fn longest_handover(&self) -> Duration {
        let instances = self.planned().vrrp_instances.iter();
        instances
            .map(|instance| instance.advert_int.duration())
            .max()
            .unwrap_or_default()
    }

    async fn next_event(&mut self, signals: &mut Signals, deadline: Instant) -> Event {
        tokio::select! {
            biased;
            _ = signals.terminate.recv() => Event::Terminate,
            _ = signals.interrupt.recv() => Event::Terminate,
            _ = signals.hangup.recv() => Event::Hangup,
            changed = self.report.changed() => Event::Report(changed),
            ended = self.probes.ended() => Event::Probed(ended),
            event = self.kernel.next() => Event::Kernel(event),
            (request, answer) = self.control.next_call() => Event::Request(request, answer),
            () = sleep_until(deadline.into()) => Event::Timeout,
        }
    }

    /// Brings the maps to what is configured and known.
    fn converge(&mut self) {
        let began = Instant::now();
        let neighbours = self.neighbours();
        let inputs = Inputs {
            // Not `self.planned()`, which would borrow the maps as well.
            configuration: self.departing.as_ref().unwrap_or(&self.configuration),
            health: self.monitors.health(),
            neighbours: &neighbours,
            interfaces: &self.interfaces,
            leases: &self.lease_slots,
        };
        self.forwarding.converge(&inputs);
        self.converging.done(began, Instant::now());
    }

    /// What the maps follow.
    fn planned(&self) -> &Configuration {
        self.departing.as_ref().unwrap_or(&self.configuration)
    }

    /// Forgets the virtual routers that a reload has removed, once they have handed over. Returns whether the maps may
    /// have to change.
    fn end_departure(&mut self) -> bool {
        let done = {
            let report = self.report.borrow();
            report.revision == self.assignment.borrow().revision && !report.handing_over
        };
        if !done || self.departing.take().is_none() {
            return false;
        }
        let instances = &self.configuration.vrrp_instances;
        match self
            .lease_slots
            .assign(self.forwarding.plane(), instances, &self.interfaces)
        {
            Ok(lease_slots) => self.lease_slots = lease_slots,
            // They have slots already; the departed ones keep theirs until the next reload.
            Err(shortage) => warn!(%shortage, "cannot take back leases"),
        }
        let interfaces: Vec<String> = self
            .configuration
            .interfaces()
            .into_iter()
            .map(str::to_owned)
            .collect();
        self.assignment.send_if_modified(|assignment| {
            let changed = assignment.interfaces != interfaces;
            assignment.interfaces = interfaces;
            changed
        });
        self.watch_planned();
        self.resolving.want();
        true
    }

    /// Takes in how packets leave. Returns whether the maps may have to change.
    fn take_exits(&mut self) -> bool {
        let report = self.report.borrow();
        let changed = report.exits != self.exits;
        if changed {
            self.exits = report.exits.clone();
        }
        changed
    }

    fn watch_planned(&mut self) {
        let seeds = self.forwarding.plane().seeds();
        let planned = self.departing.as_ref().unwrap_or(&self.configuration);
        let seed = |id: &RealServerId| seeds.get(id).map(|seed| seed.health);
        self.monitors.watch(planned, seed, Instant::now());
        self.probes.reconfigure(planned);
    }

    /// Tells a check how its probe went.
    fn probed(&mut self, (check, outcome): Ended) {
        let now = Instant::now();
        match outcome {
            Err(error @ ProbeError::NotMade { .. }) => {
                warn!(%error, "health check left out");
                self.monitors.not_probed(check, now);
            }
            outcome => self
                .monitors
                .probed(check, outcome.map_err(|error| error.to_string()), now),
        }
    }

    /// Carries out what the checks want: starts probes and logs changes. Returns whether any health has changed.
    fn carry_out(&mut self) -> bool {
        let mut changed = false;
        while let Some(effect) = self.monitors.next_effect() {
            match effect {
                Effect::Probe { check, kind } => self.probes.begin(check, kind),
                Effect::Changed {
                    real_server: id,
                    from,
                    to,
                    reason,
                } => {
                    changed = true;
                    if to == Health::Down {
                        warn!(service = %id.service, real_server = %id.address, %from, %to, %reason, "real server");
                    } else {
                        info!(service = %id.service, real_server = %id.address, %from, %to, %reason, "real server");
                    }
                }
            }
        }
        changed
    }

    fn neighbours(&self) -> Neighbours {
        let exits = &self.exits;
        let resolutions = self.resolver.resolutions().iter();
        resolutions
            .filter_map(|(address, resolution)| {
                let resolution = resolution.as_ref().ok()?;
                if exits.blocked.contains_key(&resolution.interface) {
                    return None;
                }
                let trunk = exits.trunks.get(&resolution.interface);
                let neighbour = Neighbour {
                    interface: trunk.map_or(resolution.interface, |(trunk, _)| *trunk),
                    source_mac: resolution.source_mac,
                    destination_mac: resolution.destination_mac?,
                };
                Some((*address, neighbour))
            })
            .collect()
    }

    /// Takes in what the kernel told. Returns whether the maps may have to change.
    async fn observe(&mut self, event: &netlink::Event) -> bool {
        let interfaces_changed = match event {
            netlink::Event::Link(link) => {
                let interface = NetworkInterface {
                    index: link.index,
                    mac: link.mac,
                };
                self.interfaces.get(&link.name) != Some(&interface)
            }
            netlink::Event::LinkRemoved { .. } | netlink::Event::Overrun => true,
            netlink::Event::Address { .. }
            | netlink::Event::Neighbour(_)
            | netlink::Event::NeighbourRemoved { .. } => false,
        };
        if interfaces_changed {
            match self.netlink.links().await {
                Ok(links) => self.interfaces = by_name(links),
                Err(error) => warn!(%error, "cannot list the interfaces"),
            }
        }
        match self.resolver.observe(event) {
            Observed::Unchanged => interfaces_changed,
            Observed::Changed => true,
            Observed::Stale => {
                self.resolving.want();
                interfaces_changed
            }
        }
    }

    /// Finds out how the real servers are reached. Tells of those that direct routing cannot reach, once.
    async fn resolve(&mut self) {
        let began = Instant::now();
        let addresses: BTreeSet<_> = self
            .planned()
            .virtual_services
            .iter()
            .flat_map(|service| {
                service
                    .real_servers
                    .iter()
                    .map(|real_server| real_server.address.ip())
            })
            .collect();
        let before = self.resolver.resolutions().clone();
        let resolved = self.resolver.resolve(&addresses).await;
        self.resolving.done(began, Instant::now());
        if let Err(error) = resolved {
            warn!(%error, "cannot resolve the real servers");
            return;
        }
        for (address, resolution) in self.resolver.resolutions() {
            if let Err(unreachable) = resolution
                && before.get(address) != Some(resolution)
            {
                warn!(real_server = %address, reason = %unreachable, "real server cannot be reached");
            }
        }
        self.assign_egress();
    }

    /// Has the program fit on the interfaces that lead to the real servers.
    fn assign_egress(&self) {
        let resolutions = self.resolver.resolutions().values().flatten();
        let egress: BTreeSet<u32> = resolutions.map(|resolution| resolution.interface).collect();
        self.assignment.send_if_modified(|assignment| {
            let changed = assignment.egress != egress;
            assignment.egress = egress;
            changed
        });
    }

    /// Nobody asks for the real servers' link-layer addresses any more.
    async fn release_neighbours(&mut self) {
        if let Err(error) = self.resolver.resolve(&BTreeSet::new()).await {
            warn!(%error, "cannot release the neighbour entries of the real servers");
        }
    }

    /// Answers a command. Returns whether the maps may have to change.
    async fn answer(&mut self, request: Request, answer: oneshot::Sender<Response>) -> bool {
        match request {
            Request::Status => {
                self.answer_status(answer);
                false
            }
            Request::Reload => {
                let response = self.reload().await;
                // A command that did not wait for its answer has lost nothing else.
                answer.send(response).ok();
                true
            }
        }
    }

    /// Counting the flows takes as long as there are flows: another thread does it, and answers.
    fn answer_status(&self, answer: oneshot::Sender<Response>) {
        let neighbours = self.neighbours();
        let snapshot = status::Snapshot {
            configuration: &self.configuration,
            uptime: self.started.elapsed(),
            report: &self.report.borrow(),
            plane: self.forwarding.plane(),
            tables: self.forwarding.tables(),
            monitors: &self.monitors,
            inputs: &Inputs {
                configuration: &self.configuration,
                health: self.monitors.health(),
                neighbours: &neighbours,
                interfaces: &self.interfaces,
                leases: &self.lease_slots,
            },
            problems: &self.problems,
        };
        let draft = snapshot.draft();
        let pin_dir = self.configuration.node.pin_dir.clone();
        tokio::task::spawn_blocking(move || {
            let response = match draft.and_then(|draft| Ok(draft.with_flows(&Flows::count(&pin_dir)?))) {
                Ok(status) => Response::Status(Box::new(status)),
                Err(error) => Response::Refused {
                    message: format!("{:#}", anyhow::Error::from(error)),
                },
            };
            answer.send(response).ok();
        });
    }

    /// Reads the configuration file again and carries it out, or leaves everything as it is and says why.
    async fn reload(&mut self) -> Response {
        if self.assignment.borrow().stopping {
            return refused("lbd is stopping: the file is read at its next start".to_owned());
        }
        let links = match self.netlink.links().await {
            Ok(links) => links,
            Err(error) => return refused(format!("cannot list the interfaces: {error}")),
        };
        let names: BTreeSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let Reloaded {
            configuration,
            message,
        } = match reload::read(&self.config_path, &self.configuration, |name| {
            names.contains(name)
        }) {
            Ok(reloaded) => reloaded,
            Err(message) => return refused(message),
        };
        self.interfaces = by_name(links);
        let departing = configuration.with_departing(self.planned());
        let lease_slots = match self.lease_slots.assign(
            self.forwarding.plane(),
            &departing.as_ref().unwrap_or(&configuration).vrrp_instances,
            &self.interfaces,
        ) {
            Ok(lease_slots) => lease_slots,
            Err(shortage) => return refused(shortage.to_string()),
        };
        let mut assignment = Assignment::new(&configuration, &lease_slots);
        if let Some(departing) = &departing {
            // They forward to the end.
            assignment.interfaces = departing.interfaces().into_iter().map(str::to_owned).collect();
        }
        self.configuration = configuration;
        self.departing = departing;
        self.lease_slots = lease_slots;
        self.watch_planned();
        self.resolve().await;
        self.assignment.send_modify(|current| {
            *current = Assignment {
                revision: current.revision + 1,
                egress: std::mem::take(&mut current.egress),
                stopping: current.stopping,
                ..assignment
            }
        });
        info!(%message, "configuration reloaded");
        Response::Done { message }
    }
}

fn refused(message: String) -> Response {
    error!("reload refused, nothing has changed:\n{message}");
    Response::Refused { message }
}
