//! All checks of all real servers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::time::Instant;

use super::monitor::{Effect as Wanted, FIRST_PROBES_WITHIN};
use super::{Health, LastCheck, Monitor, Reason, phase};
use crate::agenda::Agenda;
use crate::model::{Check, CheckKind, CheckTiming, Configuration, RealServerId};

/// One check of one real server, for as long as it is configured. No other check ever has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckHandle(u64);

impl fmt::Display for CheckHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What the checks want done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Try `kind`, and say how it went with [`Monitors::probed`], or with [`Monitors::not_probed`].
    Probe {
        /// Whose outcome it will be.
        check: CheckHandle,
        /// What to try.
        kind: CheckKind,
    },
    /// The health of a real server has changed: [`Monitors::health`] says so already.
    Changed {
        /// The real server.
        real_server: RealServerId,
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
        /// Why.
        reason: Reason,
    },
}

/// A check and its monitor.
#[derive(Clone, Debug)]
pub struct Watched {
    real_server: RealServerId,
    kind: CheckKind,
    monitor: Monitor,
}

impl Watched {
    /// The real server that is checked.
    #[must_use]
    pub const fn real_server(&self) -> RealServerId {
        self.real_server
    }

    /// What is tried.
    #[must_use]
    pub const fn kind(&self) -> &CheckKind {
        &self.kind
    }

    /// When it is made, and how many outcomes decide.
    #[must_use]
    pub const fn timing(&self) -> &CheckTiming {
        self.monitor.timing()
    }

    /// How the latest check went, if one has ended.
    #[must_use]
    pub const fn last_check(&self) -> Option<&LastCheck> {
        self.monitor.last_check()
    }
}

/// A monitor for each check of each real server.
///
/// There may be ten thousand, each with its own times: only those that something has happened to are ever looked at.
#[derive(Debug, Default)]
pub struct Monitors {
    checks: BTreeMap<CheckHandle, Watched>,
    /// The checks of each real server, in the order of the configuration.
    of: BTreeMap<RealServerId, Vec<CheckHandle>>,
    health: HashMap<RealServerId, Health>,
    agenda: Agenda<CheckHandle>,
    effects: VecDeque<Effect>,
    /// How many handles were given.
    given: u64,
}

impl Monitors {
    /// Watches nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches the real servers of `configuration`: goes on with the checks that were there, begins with new ones
    /// (`seed` tells what was known of a real server before), forgets the others.
    pub fn watch(
        &mut self,
        configuration: &Configuration,
        seed: impl Fn(&RealServerId) -> Option<Health>,
        now: Instant,
    ) {
        let services = configuration.virtual_services.iter();
        let checked: Vec<(RealServerId, &[Check])> = services
            .flat_map(|service| service.real_servers.iter().map(move |real| (service, real)))
            .filter(|(_, real_server)| !real_server.checks.is_empty())
            .map(|(service, real_server)| {
                let id = RealServerId {
                    service: service.address,
                    address: real_server.address,
                };
                (id, real_server.checks.as_slice())
            })
            .collect();
        let count = checked.iter().map(|(_, checks)| checks.len()).sum();
        let mut former = std::mem::take(&mut self.of);
        // Numbered all together: the probes of different services are spread as well.
        let mut position = 0;
        for (id, checks) in checked {
            let mut there = former.remove(&id).unwrap_or_default().into_iter();
            let mut handles = Vec::with_capacity(checks.len());
            for check in checks {
                let handle = if let Some(handle) = there.next() {
                    self.go_on(handle, check, now);
                    handle
                } else {
                    let phase = phase(position, count, check.timing.delay_loop);
                    let monitor = Monitor::new(check.timing, phase, seed(&id), now);
                    self.begin(id, check, monitor)
                };
                handles.push(handle);
                position += 1;
            }
            there.for_each(|handle| self.forget(handle));
            self.of.insert(id, handles);
        }
        former
            .into_values()
            .flatten()
            .for_each(|handle| self.forget(handle));
        self.health = self.of.keys().map(|id| (*id, self.together(id))).collect();
    }

    fn begin(&mut self, real_server: RealServerId, check: &Check, monitor: Monitor) -> CheckHandle {
        let handle = CheckHandle(self.given);
        self.given += 1;
        self.agenda.stirred(&handle, monitor.deadline());
        let watched = Watched {
            real_server,
            kind: check.kind.clone(),
            monitor,
        };
        self.checks.insert(handle, watched);
        handle
    }

    fn go_on(&mut self, handle: CheckHandle, check: &Check, now: Instant) {
        if let Some(watched) = self.checks.get_mut(&handle) {
            let another_way = watched.kind != check.kind;
            watched.kind.clone_from(&check.kind);
            watched.monitor.reconfigure(check.timing, another_way, now);
            self.agenda.stirred(&handle, watched.monitor.deadline());
        }
    }

    fn forget(&mut self, handle: CheckHandle) {
        self.checks.remove(&handle);
        self.agenda.forget(&handle);
    }

    /// What the checks of a real server say together: all must pass, and one that fails is enough.
    fn together(&self, id: &RealServerId) -> Health {
        let checks = self.of.get(id).into_iter().flatten();
        let said = checks.filter_map(|handle| Some(self.checks.get(handle)?.monitor.state()));
        said.fold(Health::Up, |together, one| match (together, one) {
            (Health::Down, _) | (_, Health::Down) => Health::Down,
            (Health::Unknown, _) | (_, Health::Unknown) => Health::Unknown,
            (Health::Up, Health::Up) => Health::Up,
        })
    }

    /// What is known of each real server that has a check.
    #[must_use]
    pub const fn health(&self) -> &HashMap<RealServerId, Health> {
        &self.health
    }

    /// The checks of a real server, in the order of the configuration.
    pub fn checks(&self, id: &RealServerId) -> impl Iterator<Item = &Watched> {
        let handles = self.of.get(id).into_iter().flatten();
        handles.filter_map(|handle| self.checks.get(handle))
    }

    /// The check that has this handle, if it is still configured.
    #[must_use]
    pub fn check(&self, handle: CheckHandle) -> Option<&Watched> {
        self.checks.get(&handle)
    }

    /// How the latest check of a real server went: of several, the one that speaks against it.
    #[must_use]
    pub fn last_check(&self, id: &RealServerId) -> Option<&LastCheck> {
        let ended = self.checks(id).filter_map(Watched::last_check);
        ended.max_by_key(|check| (check.outcome.is_err(), check.at))
    }

    /// When [`Self::timeout`] is next needed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.agenda.deadline()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        for handle in self.agenda.take_due(now) {
            self.input(handle, |monitor| monitor.timeout(now));
        }
    }

    /// The probe of `check` has ended: with success, or with what went wrong in words for people. One of a check that
    /// was removed meanwhile says nothing. Returns whether it says something.
    pub fn probed(&mut self, check: CheckHandle, outcome: Result<(), String>, now: Instant) -> bool {
        self.input(check, |monitor| monitor.probed(outcome, now))
            .unwrap_or(false)
    }

    /// There was no way to the real servers of some checks, and now there is: what these have said meanwhile says
    /// nothing. Each is made again within a second, evenly, and decides. Returns them: those that are `concerned`, by
    /// their real server and what they say of it.
    pub fn begin_again(
        &mut self,
        concerned: impl Fn(CheckHandle, &RealServerId, Health) -> bool,
        now: Instant,
    ) -> Vec<CheckHandle> {
        let concerned = self.checks.iter().filter(|(handle, watched)| {
            let health = watched.monitor.state();
            concerned(**handle, &watched.real_server, health)
        });
        let handles: Vec<CheckHandle> = concerned.map(|(handle, _)| *handle).collect();
        for (position, handle) in handles.iter().enumerate() {
            let at = now + phase(position, handles.len(), FIRST_PROBES_WITHIN);
            self.input(*handle, |monitor| monitor.begin_again(at));
        }
        handles
    }

    /// All checks.
    pub fn handles(&self) -> impl Iterator<Item = CheckHandle> {
        self.checks.keys().copied()
    }

    /// The probe of `check` could not be made, for want of something on this machine.
    pub fn not_probed(&mut self, check: CheckHandle, now: Instant) {
        self.input(check, |monitor| monitor.not_probed(now));
    }

    fn input<T>(&mut self, handle: CheckHandle, input: impl FnOnce(&mut Monitor) -> T) -> Option<T> {
        let watched = self.checks.get_mut(&handle)?;
        let answer = input(&mut watched.monitor);
        self.agenda.stirred(&handle, watched.monitor.deadline());
        Some(answer)
    }

    /// The next thing to do, in order.
    pub fn next_effect(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return Some(effect);
            }
            let stirred = self.agenda.next_stirred()?;
            self.ask(stirred);
        }
    }

    /// Takes over what the check `handle` wants.
    fn ask(&mut self, handle: CheckHandle) {
        while let Some(watched) = self.checks.get_mut(&handle)
            && let Some(wanted) = watched.monitor.next_effect()
        {
            match wanted {
                Wanted::Probe => self.effects.push_back(Effect::Probe {
                    check: handle,
                    kind: watched.kind.clone(),
                }),
                Wanted::Changed { reason, .. } => {
                    let real_server = watched.real_server;
                    let to = self.together(&real_server);
                    let from = self.health.insert(real_server, to).unwrap_or_default();
                    if from != to {
                        self.effects.push_back(Effect::Changed {
                            real_server,
                            from,
                            to,
                            reason,
                        });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
