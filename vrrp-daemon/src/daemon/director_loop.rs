//! The loop around the [`Director`]: the maps, neighbours, probes, signals and commands on one side, its inputs and
//! effects on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, bail};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;
use tracing::{debug, warn};

use super::by_name;
use super::chain::Chain;
use super::channel::{Assignment, Report};
use super::losses::LossesNow;
use super::news::NewsSender;
use super::probes::{Ended, Probes};
use super::signals::Signals;
use super::sweeper::{Sweeper, Swept};
use crate::api::{Problem, RefusedReload, Request, Response};
use crate::director::{Director, Effect, Operation, Route, Ways};
use crate::io::bpf::{FlowTable, MapPins, Statistics, Tables};
use crate::io::control::ControlSocket;
use crate::io::netlink::{self, Events, Netlink, Observed, Resolution, Resolver};
use crate::io::probe::ProbeError;
use crate::io::service_manager::{Pulse, ServiceManager};

/// Everything that can happen to this loop.
enum Event {
    /// A probe has ended.
    Probed(Ended),
    /// A sweep has ended, or the thread that sweeps.
    Swept(Option<Swept>),
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
    pub(super) director: Director,
    pub(super) config_path: PathBuf,
    pub(super) started: Instant,
    /// When the configuration in force was read.
    pub(super) loaded_at: SystemTime,
    /// The last reload, if it was refused.
    pub(super) refused_reload: Option<RefusedReload>,
    pub(super) netlink: Netlink,
    pub(super) kernel: Events,
    pub(super) resolver: Resolver,
    pub(super) tables: Tables,
    pub(super) map_pins: MapPins,
    pub(super) flows: Arc<FlowTable>,
    pub(super) statistics: Statistics,
    pub(super) probes: Probes,
    pub(super) sweeper: Sweeper,
    pub(super) assignment: watch::Sender<Assignment>,
    pub(super) report: watch::Receiver<Report>,
    pub(super) control: ControlSocket,
    pub(super) news: NewsSender,
    /// What was not as it should be at the start, and cannot be mended while the daemon runs.
    pub(super) problems: Vec<Problem>,
    /// What is lost on its way out.
    pub(super) losses: LossesNow,
    pub(super) manager: ServiceManager,
    /// Shown at each turn.
    pub(super) pulse: Pulse,
}

impl DirectorLoop {
    /// Fills the maps from what is known at the start.
    ///
    /// # Errors
    /// Never at the start; as [`Self::run`].
    pub(super) async fn prepare(&mut self) -> anyhow::Result<()> {
        while self.is_due() {
            self.take_turn().await?;
        }
        Ok(())
    }

    /// Runs until the daemon is told to stop and the other loop has handed everything over.
    ///
    /// # Errors
    /// If the other loop ends unasked or does not end when asked, or the kernel's notices end.
    pub(super) async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        loop {
            self.pulse.beat();
            self.take_turn().await?;
            match self.next_event(&mut signals).await {
                Event::Probed(ended) => self.probed(ended),
                Event::Swept(Some(swept)) => self.director.swept(swept, Instant::now()),
                Event::Swept(None) => bail!("the thread that sweeps ended"),
                Event::Kernel(event) => self.observe(&event.context("the kernel's notices ended")?).await,
                Event::Request(request, answer) => self.answer(request, answer).await,
                Event::Report(Ok(())) => {
                    let report = self.report.borrow_and_update();
                    self.director.reported(
                        report.revision,
                        report.handing_over,
                        &report.exits,
                        Instant::now(),
                    );
                }
                Event::Report(Err(_)) if self.director.is_stopping() => {
                    self.release_neighbours().await;
                    return Ok(());
                }
                Event::Report(Err(_)) => bail!("the VRRP loop ended"),
                Event::Hangup => drop(self.reload().await),
                Event::Terminate => self.director.stop(Instant::now()),
                Event::Timeout => {}
            }
        }
    }

    /// Whether the director waits for its turn now.
    fn is_due(&self) -> bool {
        self.director
            .deadline()
            .is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Tells the director the time, and carries out what it wants.
    async fn take_turn(&mut self) -> anyhow::Result<()> {
        self.director.timeout(Instant::now());
        while let Some(effect) = self.director.next_effect() {
            match effect {
                Effect::Probe { check, kind } => self.probes.begin(check, kind),
                Effect::CheckFromNoneOf(addresses) => self.probes.leave_from_none_of(addresses),
                Effect::Resolve(addresses) => self.resolve(&addresses).await,
                Effect::Confirm(addresses) => {
                    if let Err(error) = self.resolver.confirm(&addresses).await {
                        debug!(%error, "cannot ask a neighbour whether it is still there");
                    }
                }
                Effect::KeepPins => {
                    let kept = self.map_pins.keep().map_err(|error| Chain(&error).to_string());
                    self.director.kept_pins(kept, Instant::now());
                }
                Effect::LookAtEpisodes => {
                    let episodes = self.tables.episodes();
                    self.director.found_episodes(&episodes, Instant::now());
                }
                Effect::ReadMaps => match self.tables.read() {
                    Ok(plane) => self.director.read(plane),
                    Err(error) => warn!(error = %Chain(&error), "cannot read the maps"),
                },
                Effect::Write(operations) => self.write(&operations),
                Effect::Sweep(sweep) => self.sweeper.begin(sweep),
                Effect::Assign(assignment) => drop(self.assignment.send_replace(assignment)),
                Effect::Tell(notice) => self.news.tell(notice),
                Effect::GiveUp => {
                    bail!("the VRRP loop did not hand over in time; the leases run out by themselves")
                }
            }
        }
        Ok(())
    }

    async fn next_event(&mut self, signals: &mut Signals) -> Event {
        let deadlines = [self.director.deadline(), self.pulse.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        tokio::select! {
            biased;
            _ = signals.terminate.recv() => Event::Terminate,
            _ = signals.interrupt.recv() => Event::Terminate,
            _ = signals.hangup.recv() => Event::Hangup,
            changed = self.report.changed() => Event::Report(changed),
            ended = self.probes.ended() => Event::Probed(ended),
            swept = self.sweeper.ended() => Event::Swept(swept),
            event = self.kernel.next() => Event::Kernel(event),
            (request, answer) = self.control.next_call() => Event::Request(request, answer),
            () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => Event::Timeout,
        }
    }

    /// Carries out the operations of a plan, up to the first that fails.
    fn write(&mut self, operations: &[Operation]) {
        for (done, operation) in operations.iter().enumerate() {
            debug!(%operation, "map write");
            if let Err(error) = self.tables.apply(operation) {
                let failure = (operation, Chain(&error).to_string());
                self.director
                    .wrote(&operations[..done], Some(failure), Instant::now());
                return;
            }
        }
        self.director.wrote(operations, None, Instant::now());
    }

    /// Tells a check how its probe went.
    fn probed(&mut self, (check, outcome): Ended) {
        let now = Instant::now();
        match outcome {
            Err(error @ ProbeError::NotMade { .. }) => {
                self.director.not_probed(check, error.to_string(), now)
            }
            outcome => {
                debug!(%check, ?outcome, "health check");
                self.director
                    .probed(check, outcome.map_err(|error| error.to_string()), now);
            }
        }
    }

    /// Takes in what the kernel told.
    async fn observe(&mut self, event: &netlink::Event) {
        if matches!(
            event,
            netlink::Event::Link(_) | netlink::Event::LinkRemoved { .. } | netlink::Event::Overrun
        ) {
            match self.netlink.links().await {
                Ok(links) => self.director.found_interfaces(by_name(links), Instant::now()),
                Err(error) => warn!(%error, "cannot list the interfaces"),
            }
        }
        match self.resolver.observe(event) {
            Observed::Unchanged => {}
            Observed::Changed(addresses) => {
                for address in addresses {
                    if let Some(Ok(resolution)) = self.resolver.resolutions().get(&address) {
                        self.director.found_route(address, route(resolution));
                    }
                }
            }
            Observed::Stale => self.director.lost_routes(),
        }
    }

    /// Finds out how the real servers are reached.
    async fn resolve(&mut self, addresses: &BTreeSet<IpAddr>) {
        if let Err(error) = self.resolver.resolve(addresses).await {
            warn!(%error, "cannot resolve the real servers");
            self.director.not_resolved(Instant::now());
            return;
        }
        let mut routes = BTreeMap::new();
        let mut unreachable = BTreeMap::new();
        for (address, resolution) in self.resolver.resolutions() {
            match resolution {
                Ok(resolution) => drop(routes.insert(*address, route(resolution))),
                Err(reason) => drop(unreachable.insert(*address, reason.to_string())),
            }
        }
        let ways = Ways {
            routes,
            own: self.resolver.own().clone(),
            unreachable,
        };
        self.director.resolved(ways, Instant::now());
    }

    /// Nobody asks for the real servers' link-layer addresses any more.
    async fn release_neighbours(&mut self) {
        if let Err(error) = self.resolver.resolve(&BTreeSet::new()).await {
            warn!(%error, "cannot release the neighbour entries of the real servers");
        }
    }
}

/// What the resolver says, in the director's words.
const fn route(resolution: &Resolution) -> Route {
    Route {
        interface: resolution.interface,
        source_mac: resolution.source_mac,
        destination_mac: resolution.destination_mac,
        gateway: resolution.gateway,
        source: resolution.source,
        mtu: resolution.mtu,
    }
}
