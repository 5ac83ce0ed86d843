//! What the other loop is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use super::VrrpLoop;
use crate::api::{Problem, ProblemCode, Timestamp};
use crate::daemon::channel::{Assignment, Exits, InstanceReport, InterfaceReport, Report};
use crate::io::clock;
use crate::model::VirtualRouterName;
use crate::vrrp::{Concern, RouterState};

/// The report, made anew where something has changed.
pub(super) struct Reports {
    sender: watch::Sender<Report>,
    /// The virtual routers of the assignment, in its order.
    names: Vec<VirtualRouterName>,
    /// What was last told of each.
    instances: HashMap<VirtualRouterName, Arc<InstanceReport>>,
    revision: u64,
    interfaces: Vec<String>,
    /// Something has changed that is no virtual router's.
    stirred: bool,
}

impl Reports {
    pub(super) fn new(sender: watch::Sender<Report>) -> Self {
        Self {
            sender,
            names: Vec::new(),
            instances: HashMap::new(),
            revision: 0,
            interfaces: Vec::new(),
            stirred: true,
        }
    }

    /// The report is about `assignment` from now on.
    pub(super) fn begin(&mut self, assignment: &Assignment) {
        let instances = assignment.instances.iter();
        self.names = instances.map(|member| member.instance.router_name()).collect();
        self.instances.clear();
        self.revision = assignment.revision;
        self.interfaces.clone_from(&assignment.interfaces);
        self.stirred = true;
    }

    /// The program may run elsewhere now.
    pub(super) fn programs_changed(&mut self) {
        self.stirred = true;
    }
}

impl VrrpLoop {
    /// Tells the other loop what has changed, if anything has.
    pub(super) fn publish(&mut self) {
        let reports = &mut self.reports;
        match self.speaker.take_changes() {
            None if !reports.stirred => return,
            None => {}
            Some(changed) => {
                for name in changed {
                    let state = self.speaker.state(&name);
                    let before = reports.instances.get(&name);
                    if let Some(report) = state.map(|state| instance(state, before.map(Arc::as_ref))) {
                        reports.instances.insert(name, Arc::new(report));
                    }
                }
            }
        }
        reports.stirred = false;
        for name in &reports.names {
            if !reports.instances.contains_key(name)
                && let Some(state) = self.speaker.state(name)
            {
                reports
                    .instances
                    .insert(name.clone(), Arc::new(instance(state, None)));
            }
        }
        let instances = reports.names.iter();
        let names = reports.interfaces.iter().map(String::as_str);
        let interfaces = names.chain(self.programs.helpers()).map(|name| InterfaceReport {
            name: name.to_owned(),
            attached: self.programs.on(name),
        });
        let fit = self.programs.fit();
        let report = Report {
            revision: reports.revision,
            handing_over: self.speaker.hands_over(),
            instances: instances
                .filter_map(|name| reports.instances.get(name).cloned())
                .collect(),
            interfaces: interfaces.collect(),
            exits: Exits {
                blocked: fit.blocked.clone(),
                trunks: fit.trunks.clone(),
            },
        };
        reports.sender.send_if_modified(|current| {
            let changed = *current != report;
            *current = report;
            changed
        });
    }
}

/// The report on a virtual router, of which `before` was told last.
fn instance(state: RouterState, before: Option<&InstanceReport>) -> InstanceReport {
    let last_transition = match before {
        Some(before) if before.transitions == state.transitions => before.last_transition,
        _ => state.last_transition.map(calendar),
    };
    let problems = problems(&state, before.map_or(&[], |before| &before.problems));
    InstanceReport {
        instance: state.instance,
        state: state.state,
        obstacles: state.obstacles.into_iter().collect(),
        effective_priority: state.effective_priority,
        master_address: state.master_address,
        transitions: state.transitions,
        last_transition,
        problems,
        counters: state.counters,
    }
}

/// The problems of a virtual router, of which `before` were told last: those that go on keep their beginning.
fn problems(state: &RouterState, before: &[Problem]) -> Vec<Problem> {
    let name = &state.instance.name;
    let concerns = state.concerns.iter().map(|(concern, since)| {
        let (code, subject) = match concern {
            Concern::TwoMasters { .. } => (ProblemCode::TwoMasters, name.clone()),
            Concern::AddressConflict { address, .. } => (ProblemCode::AddressConflict, address.to_string()),
            Concern::Mismatch(_) => (ProblemCode::AdvertMismatch, name.clone()),
        };
        (code, subject, concern.to_string(), *since)
    });
    let cannot_send = state.cannot_send.iter().map(|(since, error)| {
        let message = format!(
            "advertisements do not leave this node ({error}): look for what filters IP protocol 112 on the way out"
        );
        (ProblemCode::AdvertsNotSent, name.clone(), message, *since)
    });
    let current = concerns
        .chain(cannot_send)
        .map(|(code, subject, message, since)| {
            let known = before
                .iter()
                .find(|known| (known.code, &known.message) == (code, &message));
            Problem {
                since: known.map_or_else(|| Timestamp::from(calendar(since)), |known| known.since),
                code,
                subject,
                message,
            }
        });
    current.collect()
}

/// The speaker counts in `Instant`, people in calendar time.
fn calendar(at: Instant) -> SystemTime {
    SystemTime::now() - clock::now().saturating_duration_since(at)
}
