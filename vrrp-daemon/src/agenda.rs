//! What is due, and what was stirred: a container of many machines looks only at those that something happened to.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// When each machine of a container is due, and which were given an input since anybody last asked what they want.
///
/// There may be thousands, each with its own times. A container that tells this value of every input
/// ([`Agenda::stirred`]) never walks all of them: neither for its own deadline nor for the next effect.
#[derive(Debug)]
pub struct Agenda<K> {
    deadlines: BTreeMap<K, Instant>,
    /// The same, in the order of time.
    due: BTreeSet<(Instant, K)>,
    stirred: BTreeSet<K>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self {
            deadlines: BTreeMap::new(),
            due: BTreeSet::new(),
            stirred: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Agenda<K> {
    /// `key` was given an input, and is due at `deadline` from now on, if at all.
    pub fn stirred(&mut self, key: &K, deadline: Option<Instant>) {
        self.put(key, deadline);
        if !self.stirred.contains(key) {
            self.stirred.insert(key.clone());
        }
    }

    /// `key` is gone: it is neither due nor stirred any more.
    pub fn forget(&mut self, key: &K) {
        self.put(key, None);
        self.stirred.remove(key);
    }

    fn put(&mut self, key: &K, deadline: Option<Instant>) {
        let before = match deadline {
            Some(at) => self.deadlines.insert(key.clone(), at),
            None => self.deadlines.remove(key),
        };
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, key.clone()));
        }
        self.due.extend(deadline.map(|at| (at, key.clone())));
    }

    /// When the first one is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes those that are due at `now`, in the order of their time. Each is to be told the time, and to be put back
    /// by [`Agenda::stirred`].
    #[must_use]
    pub fn take_due(&mut self, now: Instant) -> Vec<K> {
        let mut late = Vec::new();
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let (_, key) = self.due.pop_first().expect("there is a first one");
            self.deadlines.remove(&key);
            late.push(key);
        }
        late
    }

    /// Takes one that was stirred, if one was; again only after another input.
    pub fn next_stirred(&mut self) -> Option<K> {
        self.stirred.pop_first()
    }

    /// Takes all that were stirred.
    #[must_use]
    pub fn take_stirred(&mut self) -> BTreeSet<K> {
        std::mem::take(&mut self.stirred)
    }

    /// When `key` is due.
    #[must_use]
    pub fn deadline_of(&self, key: &K) -> Option<Instant> {
        self.deadlines.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[allow(
        clippy::disallowed_methods,
        reason = "an Instant has no other origin; tests only add to it"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn who_is_due_is_taken_once_in_the_order_of_time() {
        let start = origin();
        let mut agenda = Agenda::default();
        for (key, seconds) in [("c", 1), ("a", 2), ("b", 2), ("d", 3)] {
            agenda.stirred(&key, Some(start + seconds * SECOND));
        }
        assert_eq!(agenda.deadline(), Some(start + SECOND));
        assert_eq!(agenda.take_due(start), [""; 0]);
        assert_eq!(agenda.take_due(start + 2 * SECOND), ["c", "a", "b"]);
        assert_eq!(agenda.take_due(start + 2 * SECOND), [""; 0]);
        assert_eq!(agenda.deadline(), Some(start + 3 * SECOND));
    }

    #[test]
    fn an_input_moves_the_deadline_or_takes_it_away() {
        let start = origin();
        let mut agenda = Agenda::default();
        agenda.stirred(&1, Some(start + SECOND));
        agenda.stirred(&2, Some(start + 2 * SECOND));
        agenda.stirred(&1, Some(start + 3 * SECOND));
        assert_eq!(agenda.deadline(), Some(start + 2 * SECOND));
        agenda.stirred(&2, None);
        assert_eq!(agenda.deadline(), Some(start + 3 * SECOND));
        assert_eq!(agenda.deadline_of(&1), Some(start + 3 * SECOND));
        assert_eq!(agenda.deadline_of(&2), None);
        assert_eq!(agenda.take_due(start + 5 * SECOND), [1]);
    }

    #[test]
    fn who_was_stirred_is_told_once() {
        let mut agenda = Agenda::default();
        agenda.stirred(&2, None);
        agenda.stirred(&1, None);
        agenda.stirred(&2, None);
        assert_eq!(agenda.next_stirred(), Some(1));
        assert_eq!(agenda.take_stirred(), BTreeSet::from([2]));
        assert_eq!(agenda.next_stirred(), None);
    }

    #[test]
    fn who_is_gone_is_neither_due_nor_stirred() {
        let mut agenda = Agenda::default();
        agenda.stirred(&1, Some(origin()));
        agenda.forget(&1);
        assert_eq!(agenda.deadline(), None);
        assert_eq!(agenda.next_stirred(), None);
    }
}
