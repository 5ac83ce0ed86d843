//! The director: all that is configured and known of the data plane, and what follows from it.

mod inputs;
mod outputs;
mod sweeps;
mod warmth;

pub use warmth::Cold;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lb_common::maps;

use super::assignment::Assignment;
use super::episodes::Episodes;
use super::pace::Pace;
use super::problem::Problems;
use super::rounds::Rounds;
use super::routes::Routes;
use super::warming::Warming;
use super::{
    Episode, Inputs, Interfaces, LeaseSlots, Notice, Operation, Plane, Planner, Problem, ServiceState,
    Shortage, Sweep, Windows, service_key,
};
use crate::health::{CheckHandle, Monitors};
use crate::model::shares::{Rounding, ScheduleLimit};
use crate::model::{CheckKind, Configuration, RealServerId, ServiceAddress, VirtualService};
use sweeps::Sweeps;

/// How often everything is read again that events may have missed: maps, routes, neighbours.
const RESYNC: Duration = Duration::from_secs(30);

/// How often it is looked whether somebody has removed the pins: nobody tells of that.
const LOOK_AT_PINS: Duration = Duration::from_secs(1);

/// How often it is looked whether new connections are too many to be remembered: the program tells of that by a store.
const LOOK_AT_EPISODES: Duration = Duration::from_secs(1);

/// A stop that takes longer than the longest handover and this is ended: the leases run out by themselves.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// What the director wants done, in the order asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Try `kind`, and say how it went with [`Director::probed`], or with [`Director::not_probed`].
    Probe {
        /// Whose outcome it will be.
        check: CheckHandle,
        /// What to try.
        kind: CheckKind,
    },
    /// From now on, no check leaves from one of these addresses: real servers have them as their own.
    CheckFromNoneOf(BTreeSet<IpAddr>),
    /// Find out how these addresses are reached, have the kernel keep their neighbours resolved, and no others; say how
    /// that went with [`Director::resolved`], or with [`Director::not_resolved`].
    Resolve(BTreeSet<IpAddr>),
    /// Ask these neighbours whether they are still there, and who has their addresses otherwise; whatever comes of
    /// that, say it with [`Director::found_route`].
    Confirm(BTreeSet<IpAddr>),
    /// Look whether the maps are pinned, pin again what is not, and say how that went with [`Director::kept_pins`].
    KeepPins,
    /// Look which services have more new connections than are remembered, and say it with
    /// [`Director::found_episodes`].
    LookAtEpisodes,
    /// Read the maps, in case something else wrote them, and say what they hold with [`Director::read`].
    ReadMaps,
    /// Carry these out in order, up to the first that fails, and say with [`Director::wrote`] how far that went.
    Write(Vec<Operation>),
    /// Walk through the table of connections, beside everything else, and say with [`Director::swept`] when that is
    /// done.
    Sweep(Sweep),
    /// Have the VRRP loop do this from now on.
    Assign(Assignment),
    /// Tell people.
    Tell(Notice),
    /// The stop has taken too long: end. The leases run out by themselves.
    GiveUp,
}

/// Why a reload was refused: nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The daemon stops.
    #[error("lbd is stopping: the file is read at its next start")]
    Stopping,
    /// It does not fit.
    #[error(transparent)]
    Shortage(#[from] Shortage),
}

/// Whether a virtual service had a real server that takes connections when people were last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Down,
    Up,
}

/// Everything that the director knows, and the decisions that follow: events and the time go in, [`Effect`]s come out.
#[derive(Debug)]
pub struct Director {
    configuration: Configuration,
    /// The configuration with what virtual routers that a reload removed need, while they hand over.
    departing: Option<Configuration>,
    interfaces: Interfaces,
    lease_slots: LeaseSlots,
    /// What the maps hold.
    plane: Plane,
    planner: Planner,
    monitors: Monitors,
    /// The checks that could not be made the last time.
    not_made: HashSet<CheckHandle>,
    routes: Routes,
    /// What did not fit the last time.
    shortages: Vec<Shortage>,
    /// What people were told of that.
    shortages_told: Vec<Shortage>,
    /// The operation that failed the last time, and why.
    not_written: Option<(String, String)>,
    /// Why maps that were unpinned cannot be pinned again.
    not_pinned: Option<String>,
    services_told: HashMap<ServiceAddress, Told>,
    problems: Problems,
    /// Bringing the maps to what is wanted: ten thousand servers that come up one by one are not ten thousand plans.
    converging: Pace,
    /// Looking at routes and neighbours.
    resolving: Pace,
    rounds: Rounds,
    episodes: Episodes,
    look_at_episodes: Instant,
    warming: Warming,
    sweeps: Sweeps,
    windows: Windows,
    resync_at: Instant,
    look_at_pins: Instant,
    assignment: Assignment,
    /// By when the stop must have ended, once it has begun.
    stop_by: Option<Instant>,
    effects: VecDeque<Effect>,
}

impl Director {
    /// Begins with what is configured, what interfaces there are and what the maps hold.
    ///
    /// # Errors
    /// There are more virtual routers than leases.
    pub fn new(
        configuration: Configuration,
        interfaces: Interfaces,
        plane: Plane,
        now: Instant,
    ) -> Result<Self, Shortage> {
        let lease_slots = LeaseSlots::default().assign(&plane, &configuration.vrrp_instances, &interfaces)?;
        let assignment = Assignment::new(&configuration, &lease_slots);
        let mut director = Self {
            configuration,
            departing: None,
            interfaces,
            lease_slots,
            plane,
            planner: Planner::new(),
            monitors: Monitors::new(),
            not_made: HashSet::new(),
            routes: Routes::default(),
            shortages: Vec::new(),
            shortages_told: Vec::new(),
            not_written: None,
            not_pinned: None,
            services_told: HashMap::new(),
            problems: Problems::default(),
            converging: Pace::new(now),
            resolving: Pace::new(now),
            rounds: Rounds::new(now),
            episodes: Episodes::default(),
            look_at_episodes: now + LOOK_AT_EPISODES,
            warming: Warming::default(),
            sweeps: Sweeps::new(now),
            windows: Windows::default(),
            resync_at: now + RESYNC,
            look_at_pins: now + LOOK_AT_PINS,
            assignment,
            stop_by: None,
            effects: VecDeque::new(),
        };
        director.windows.follow(&director.plane, now);
        director.watch(now);
        director.begin_to_warm(now);
        director.look_at_quarantine();
        director.resolving.want();
        director.converging.want();
        Ok(director)
    }

    /// What is in force.
    #[must_use]
    pub const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// What the maps follow: the configuration, and what departs.
    fn planned(&self) -> &Configuration {
        self.departing.as_ref().unwrap_or(&self.configuration)
    }

    /// What the maps hold.
    #[must_use]
    pub const fn plane(&self) -> &Plane {
        &self.plane
    }

    /// The slots of the leases.
    #[must_use]
    pub const fn lease_slots(&self) -> &LeaseSlots {
        &self.lease_slots
    }

    /// What the VRRP loop has to do.
    #[must_use]
    pub const fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The health checks.
    #[must_use]
    pub const fn monitors(&self) -> &Monitors {
        &self.monitors
    }

    /// Whether it was told to stop.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.stop_by.is_some()
    }

    /// What is configured and known of it.
    #[must_use]
    pub const fn known(&self) -> Inputs<'_> {
        self.inputs(&self.configuration)
    }

    const fn inputs<'a>(&'a self, configuration: &'a Configuration) -> Inputs<'a> {
        Inputs {
            configuration,
            health: self.monitors.health(),
            neighbours: self.routes.neighbours(),
            own: self.routes.own(),
            interfaces: &self.interfaces,
            leases: &self.lease_slots,
            quarantine: self.sweeps.quarantine(),
            windows: &self.windows,
        }
    }

    /// How long schedules may be.
    #[must_use]
    pub fn schedule_limit(&self) -> ScheduleLimit {
        let services = self.planned().virtual_services.iter();
        ScheduleLimit::of(maps::RING_SLOTS, services)
    }

    /// What the schedule of a service, which may be as long as `limit` says, makes of the shares that its real servers
    /// have now: 0 for those that do not serve.
    #[must_use]
    pub fn rounding(&self, service: &VirtualService, limit: ScheduleLimit, shares: &[u16]) -> Rounding {
        if service.scheduler.falls_back() {
            return Rounding::new(shares, &self.plane.turns(service));
        }
        limit.rounding(service.scheduler, shares)
    }

    /// Whether a virtual service is served.
    #[must_use]
    pub fn state_of(&self, service: &VirtualService) -> ServiceState {
        let known = self.known();
        let shares = service
            .real_servers
            .iter()
            .map(|real_server| known.view(service, real_server).share);
        ServiceState::of(
            shares,
            self.plane.schedule(&service_key(service.address)).as_deref(),
        )
    }

    /// The episode of a service that is not over, and when it was first seen.
    #[must_use]
    pub fn episode(&self, service: ServiceAddress) -> Option<(Episode, Instant)> {
        self.episodes.of(service)
    }

    /// What is not as it should be, and since when.
    pub fn problems(&self) -> impl Iterator<Item = (&Problem, Instant)> {
        self.problems.iter()
    }

    /// Watches what is planned.
    fn watch(&mut self, now: Instant) {
        // Not `self.planned()`, which would borrow the monitors as well.
        let planned = self.departing.as_ref().unwrap_or(&self.configuration);
        let seeds = self.plane.seeds(&planned.virtual_services);
        let seed = |id: &RealServerId| seeds.get(id).map(|seed| seed.health);
        self.monitors.watch(planned, seed, now);
        let monitors = &self.monitors;
        self.warming.retain(|check| monitors.check(check).is_some());
        self.not_made.retain(|check| monitors.check(*check).is_some());
        let sources = planned.virtual_addresses();
        self.effects.push_back(Effect::CheckFromNoneOf(sources));
    }
}

#[cfg(test)]
mod tests;
