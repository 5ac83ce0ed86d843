//! What the service manager is told of the loops.

use std::time::Duration;

use tokio::sync::watch;

use super::channel::{Assignment, Report};
use crate::io::service_manager::ServiceManager;

/// How much longer than the longest handover the service manager waits: the director loop, which gives up earlier, says
/// why.
const MARGIN: Duration = Duration::from_secs(15);

/// How many virtual routers are named; of more, it is said how many are in each state.
const NAMED: usize = 4;

/// Keeps the service manager informed until the daemon ends.
pub(super) async fn inform(
    manager: ServiceManager,
    mut assignment: watch::Receiver<Assignment>,
    mut report: watch::Receiver<Report>,
) {
    let mut stopping = false;
    loop {
        let changed = tokio::select! {
            changed = assignment.changed() => changed,
            changed = report.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let (stops, handover) = {
            let assignment = assignment.borrow_and_update();
            (assignment.stopping, longest_handover(&assignment))
        };
        if stops && !stopping {
            stopping = true;
            manager.stopping(handover + MARGIN);
        }
        let summary = summary(&report.borrow_and_update());
        manager.status(if stopping {
            format!("handing over: {summary}")
        } else {
            summary
        });
    }
}

/// A successor waits for its skew, which is below one interval.
fn longest_handover(assignment: &Assignment) -> Duration {
    let instances = assignment.instances.iter();
    let intervals = instances.map(|assigned| assigned.instance.advert_int.duration());
    intervals.max().unwrap_or_default()
}

/// The states of the virtual routers, for a person.
fn summary(report: &Report) -> String {
    let states = report.instances.iter().map(|instance| instance.state);
    if report.instances.is_empty() {
        return "no virtual router".to_owned();
    }
    if report.instances.len() <= NAMED {
        let routers = report.instances.iter().zip(states);
        let named = routers.map(|(router, state)| format!("{} is {state}", router.instance.name));
        return named.collect::<Vec<_>>().join(", ");
    }
    let mut counts: Vec<(String, usize)> = Vec::new();
    for state in states {
        let state = state.to_string();
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let counted = counts.iter().map(|(state, count)| format!("{count} {state}"));
    counted.collect::<Vec<_>>().join(", ")
}
