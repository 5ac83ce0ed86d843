//! Interfaces whose link falls when a program comes or goes, or when an offload is switched.
//!
//! Many NICs start anew for that. A virtual router whose program is attached when it becomes master would lose its link
//! for it, and with it the mastership; the program would be taken off, the link fall again, and so on for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A link that falls within this time after what we did fell because of it, it seems: or somebody pulled the cable.
const AFTERMATH: Duration = Duration::from_secs(3);

/// A link that fell because of us comes back by itself within this time, unless it is slow to negotiate. A cable stays
/// away for longer, as a rule.
const RETURN: Duration = Duration::from_secs(10);

/// Knows which interfaces are better left alone.
#[derive(Debug, Default)]
pub struct Steadiness {
    /// When each interface was last changed by us.
    touched: BTreeMap<u32, Instant>,
    /// When each link fell that seems to have fallen because of us.
    suspected: BTreeMap<u32, Instant>,
    unsteady: BTreeSet<u32>,
}

impl Steadiness {
    /// We have just attached or detached the program on an interface, or switched an offload of it.
    pub fn touched(&mut self, interface: u32, now: Instant) {
        self.touched.insert(interface, now);
    }

    /// The link of an interface has fallen. Returns whether that proves, for the first time, that the interface cannot
    /// be touched: if it has fallen so for the second time. Once may be somebody who pulls the cable just then, and
    /// there is time to see: as long as the link is down, nothing is detached.
    pub fn link_fell(&mut self, interface: u32, now: Instant) -> bool {
        let is_ours = self
            .touched
            .get(&interface)
            .is_some_and(|at| now.saturating_duration_since(*at) <= AFTERMATH);
        is_ours && self.suspected.insert(interface, now).is_some() && self.unsteady.insert(interface)
    }

    /// The link of an interface is back. Returns whether that proves, for the first time, that the interface cannot be
    /// touched: if it had fallen because of us, as it seemed, and has come back by itself at once.
    pub fn link_returned(&mut self, interface: u32, now: Instant) -> bool {
        let at_once = self
            .suspected
            .get(&interface)
            .is_some_and(|at| now.saturating_duration_since(*at) <= RETURN);
        at_once && self.unsteady.insert(interface)
    }

    /// Whether the program may be taken off an interface that it is not wanted on: not where the link has fallen for
    /// such a thing before, and not while it is down, for then it is wanted again as soon as it is up.
    #[must_use]
    pub fn may_detach(&self, interface: u32, link_is_up: bool) -> bool {
        link_is_up && !self.unsteady.contains(&interface)
    }

    /// Forgets the interfaces that are not `there` any more.
    pub fn retain(&mut self, there: impl Fn(u32) -> bool) {
        self.touched.retain(|interface, _| there(*interface));
        self.suspected.retain(|interface, _| there(*interface));
        self.unsteady.retain(|interface| there(*interface));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: u32 = 2;
    const ETH1: u32 = 3;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_link_that_falls_after_what_we_did_and_comes_back_at_once_marks_its_interface_once() {
        let start = start();
        let mut steadiness = Steadiness::default();
        assert!(!steadiness.link_fell(ETH0, start), "we have done nothing");
        assert!(!steadiness.link_returned(ETH0, start), "still not");
        steadiness.touched(ETH0, start);
        assert!(!steadiness.link_fell(ETH1, start), "nor there");
        assert!(!steadiness.link_returned(ETH1, start));
        let fell = start + AFTERMATH;
        assert!(!steadiness.link_fell(ETH0, fell), "it may be the cable");
        assert!(!steadiness.may_detach(ETH0, false), "it is down");
        assert!(steadiness.link_returned(ETH0, fell + RETURN));
        assert!(!steadiness.may_detach(ETH0, true));
        assert!(steadiness.may_detach(ETH1, true));
        steadiness.touched(ETH0, fell + RETURN);
        assert!(!steadiness.link_fell(ETH0, fell + RETURN), "that is told");
        assert!(!steadiness.link_returned(ETH0, fell + RETURN));
    }

    #[test]
    fn a_cable_that_is_pulled_just_after_what_we_did_marks_nothing() {
        let start = start();
        let mut steadiness = Steadiness::default();
        steadiness.touched(ETH0, start);
        assert!(!steadiness.link_fell(ETH0, start));
        let back = start + RETURN + Duration::from_millis(1);
        assert!(!steadiness.link_returned(ETH0, back));
        assert!(steadiness.may_detach(ETH0, true));
        // Pulled once more, later.
        assert!(!steadiness.link_fell(ETH0, back));
        assert!(!steadiness.link_returned(ETH0, back));
        assert!(steadiness.may_detach(ETH0, true));
    }

    #[test]
    fn a_link_that_is_slow_to_come_back_marks_its_interface_when_it_falls_again() {
        let start = start();
        let mut steadiness = Steadiness::default();
        steadiness.touched(ETH0, start);
        assert!(!steadiness.link_fell(ETH0, start));
        let back = start + 2 * RETURN;
        assert!(!steadiness.link_returned(ETH0, back));
        steadiness.touched(ETH0, back);
        assert!(steadiness.link_fell(ETH0, back));
        assert!(!steadiness.may_detach(ETH0, true));
        assert!(!steadiness.link_returned(ETH0, back), "that is told");
    }

    #[test]
    fn a_link_that_falls_later_fell_by_itself() {
        let start = start();
        let mut steadiness = Steadiness::default();
        steadiness.touched(ETH0, start);
        let later = start + AFTERMATH + Duration::from_millis(1);
        assert!(!steadiness.link_fell(ETH0, later));
        assert!(steadiness.may_detach(ETH0, true));
        assert!(
            !steadiness.may_detach(ETH0, false),
            "a lost link is no reason to detach"
        );
    }

    #[test]
    fn an_interface_that_is_gone_is_forgotten() {
        let start = start();
        let mut steadiness = Steadiness::default();
        steadiness.touched(ETH0, start);
        assert!(!steadiness.link_fell(ETH0, start));
        assert!(steadiness.link_returned(ETH0, start));
        steadiness.retain(|interface| interface != ETH0);
        assert!(steadiness.may_detach(ETH0, true));
    }
}
