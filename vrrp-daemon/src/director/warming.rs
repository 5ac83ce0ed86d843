//! Whether what this node knows of its real servers is fresh enough to take over from a master that is well.
//!
//! A node that starts, or whose link comes back, knows nothing of its real servers yet: who preempts then has no
//! schedule, or one of servers that have died meanwhile. So it waits until every check has had an outcome and every
//! neighbour was found, or would have been. When a master is gone, that is another matter: anything is better than
//! nobody.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::routes::NEIGHBOUR_ANSWERS_WITHIN;
use crate::health::CheckHandle;
use crate::vrrp::Awaited;

/// In this time, all real servers are probed first, and neighbours have answered or do not.
const SETTLING: Duration = NEIGHBOUR_ANSWERS_WITHIN;

/// The longest `connect_timeout` that is waited for in addition: who answers later counts as one that does not.
const LONGEST_CHECK: Duration = Duration::from_secs(5);

/// What is waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Warming {
    /// The checks that have said nothing yet.
    checks: HashSet<CheckHandle>,
    /// The real servers that may not be resolved yet.
    neighbours: BTreeSet<IpAddr>,
    /// Until when they are waited for.
    by: Option<Instant>,
    /// The interfaces that have lost their link, by name, and the real servers that they led to.
    lost: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Warming {
    /// What these say and where these are is news again; an outcome takes `timeout` at most.
    pub(super) fn await_again(
        &mut self,
        checks: &[CheckHandle],
        neighbours: BTreeSet<IpAddr>,
        timeout: Duration,
        now: Instant,
    ) {
        self.checks.extend(checks);
        self.neighbours.extend(neighbours);
        let by = now + SETTLING + timeout.min(LONGEST_CHECK);
        self.by = Some(self.by.map_or(by, |before| before.max(by)));
    }

    /// Only checks of which this is true are still made.
    pub(super) fn retain(&mut self, is_made: impl Fn(CheckHandle) -> bool) {
        self.checks.retain(|check| is_made(*check));
    }

    /// Takes out the neighbours of which there is nothing more to be found out: their checks, if they failed before,
    /// may have failed for that.
    pub(super) fn take_settled(&mut self, is_settled: impl Fn(IpAddr) -> bool) -> BTreeSet<IpAddr> {
        let neighbours = std::mem::take(&mut self.neighbours).into_iter();
        let (settled, others) = neighbours.partition(|address| is_settled(*address));
        self.neighbours = others;
        settled
    }

    /// Whether this check has said nothing yet.
    pub(super) fn awaits(&self, check: CheckHandle) -> bool {
        self.checks.contains(&check)
    }

    /// These are made again, and waited for no longer than the others.
    pub(super) fn await_checks(&mut self, checks: &[CheckHandle]) {
        self.checks.extend(checks);
    }

    /// `check` has had an outcome, or is not to be had.
    pub(super) fn checked(&mut self, check: CheckHandle) {
        self.checks.remove(&check);
    }

    /// The interface called `name` has lost its link, by which these were reached.
    pub(super) fn lost(&mut self, name: &str, neighbours: BTreeSet<IpAddr>) {
        self.lost.entry(name.to_owned()).or_default().extend(neighbours);
    }

    /// The interface called `name` has a link. Returns the real servers that were reached by it before it had none.
    pub(super) fn returned(&mut self, name: &str) -> Option<BTreeSet<IpAddr>> {
        self.lost.remove(name)
    }

    /// Looks what is still to be waited for. `is_there` says whether there is an interface of a name, if without a
    /// link; `is_written` whether the maps have it all.
    pub(super) fn awaited(
        &mut self,
        is_there: impl Fn(&str) -> bool,
        is_written: bool,
        now: Instant,
    ) -> BTreeSet<Awaited> {
        if let Some(by) = self.by {
            let nothing_more = self.checks.is_empty() && self.neighbours.is_empty() && is_written;
            if nothing_more || by <= now {
                self.by = None;
                self.checks.clear();
                self.neighbours.clear();
            }
        }
        // One that is gone altogether may never be back, under that name.
        let lost = self.lost.keys().filter(|name| is_there(name));
        let mut awaited: BTreeSet<Awaited> = lost
            .map(|name| Awaited::Link {
                interface: name.clone(),
            })
            .collect();
        awaited.extend((!self.checks.is_empty()).then_some(Awaited::Checks));
        awaited.extend((!self.neighbours.is_empty()).then_some(Awaited::Neighbours));
        if awaited.is_empty() && self.by.is_some() {
            awaited.insert(Awaited::Maps);
        }
        awaited
    }

    /// How many checks have said nothing yet.
    pub(super) fn checks(&self) -> usize {
        self.checks.len()
    }

    /// How many real servers may not be resolved yet.
    pub(super) fn neighbours(&self) -> usize {
        self.neighbours.len()
    }

    /// Until when checks, neighbours and maps are waited for.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.by
    }
}
