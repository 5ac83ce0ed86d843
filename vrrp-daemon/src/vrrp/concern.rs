//! What is not as it should be with a virtual router, for as long as it lasts.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::notice::Notice;
use crate::model::Priority;

/// Something that an operator should know now. No transition tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// This node is master, and so is another one of lower rank, which goes on advertising.
    TwoMasters {
        /// The other one.
        other: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// This node is master, and somebody else answers for a virtual address.
    AddressConflict {
        /// The virtual address.
        address: IpAddr,
        /// The link-layer address of whoever answers.
        mac: [u8; 6],
    },
    /// Another router is configured otherwise.
    Mismatch(Notice),
}

impl Concern {
    /// It is about this node's being master, and over with that.
    const fn is_of_masters(&self) -> bool {
        match self {
            Self::TwoMasters { .. } | Self::AddressConflict { .. } => true,
            Self::Mismatch(_) => false,
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoMasters { other, priority } => write!(
                formatter,
                "two masters: {other} goes on advertising its lower priority {priority}, and does not seem to hear \
                 this node: look for what filters IP protocol 112 between the two"
            ),
            Self::AddressConflict { address, mac } => write!(
                formatter,
                "{} answers for {address} too: another host has that address, or another director is master and not \
                 heard here: look for what filters IP protocol 112 between the two",
                mac.map(|octet| format!("{octet:02x}")).join(":")
            ),
            Self::Mismatch(notice) => notice.fmt(formatter),
        }
    }
}

/// How many concerns are kept. Whoever forges more differences than that is not heeded any more.
const CONCERNS: usize = 16;

/// How often a concern that lasts is told again.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// The concerns of one virtual router: levels that are raised by whatever shows them, and end when nothing has for a
/// while.
#[derive(Debug, Default)]
pub(super) struct Concerns {
    entries: Vec<Entry>,
    /// How often something has come or gone.
    changes: u64,
}

#[derive(Debug)]
struct Entry {
    concern: Concern,
    since: Instant,
    /// When it is over, if nothing shows it again.
    until: Instant,
    told: Instant,
}

impl Concerns {
    /// Something shows `concern` at `now`; without more, it is over after `lasts`. Returns whether people are to be
    /// told: the first time, and sparsely while it goes on.
    pub(super) fn raise(&mut self, concern: Concern, now: Instant, lasts: Duration) -> bool {
        let until = now + lasts;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.concern == concern) {
            entry.until = until;
            let again = now >= entry.told + TOLD_AGAIN;
            if again {
                entry.told = now;
            }
            return again;
        }
        if self.entries.len() >= CONCERNS {
            return false;
        }
        self.changes += 1;
        self.entries.push(Entry {
            concern,
            since: now,
            until,
            told: now,
        });
        true
    }

    /// Ends those that `ends` says are over, and returns them.
    pub(super) fn end(&mut self, ends: impl Fn(&Concern) -> bool) -> Vec<Concern> {
        if !self.entries.iter().any(|entry| ends(&entry.concern)) {
            return Vec::new();
        }
        self.changes += 1;
        let ended = self.entries.extract_if(.., |entry| ends(&entry.concern));
        ended.map(|entry| entry.concern).collect()
    }

    /// Ends those that nothing has shown for long enough at `now`, and returns them.
    pub(super) fn timeout(&mut self, now: Instant) -> Vec<Concern> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        self.changes += 1;
        let ended = self.entries.extract_if(.., |entry| now >= entry.until);
        ended.map(|entry| entry.concern).collect()
    }

    /// Ends those of masters, and returns them.
    pub(super) fn end_mastership(&mut self) -> Vec<Concern> {
        self.end(Concern::is_of_masters)
    }

    /// When [`Self::timeout`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.entries.iter().map(|entry| entry.until).min()
    }

    /// What lasts, and since when.
    pub(super) fn current(&self) -> impl Iterator<Item = (&Concern, Instant)> {
        self.entries.iter().map(|entry| (&entry.concern, entry.since))
    }

    /// A number that is another one whenever [`Self::current`] has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::vrrp::simulation::origin;

    const SECOND: Duration = Duration::from_secs(1);

    fn conflict(host: u8) -> Concern {
        Concern::AddressConflict {
            address: Ipv4Addr::new(10, 0, 0, host).into(),
            mac: [2, 0, 0, 0, 0, 9],
        }
    }

    #[test]
    fn a_concern_is_told_at_first_and_sparsely_while_it_lasts() {
        let start = origin();
        let mut concerns = Concerns::default();
        let told: Vec<u32> = (0..150)
            .filter(|second| concerns.raise(conflict(3), start + *second * SECOND, 2 * SECOND))
            .collect();
        assert_eq!(told, [0, 60, 120]);
        assert_eq!(concerns.changes(), 1);
        assert!(concerns.current().eq([(&conflict(3), start)]));
    }

    #[test]
    fn a_concern_ends_when_nothing_shows_it_any_more() {
        let start = origin();
        let mut concerns = Concerns::default();
        concerns.raise(conflict(3), start, 2 * SECOND);
        concerns.raise(conflict(4), start, 5 * SECOND);
        assert_eq!(concerns.deadline(), Some(start + 2 * SECOND));
        assert_eq!(concerns.timeout(start + SECOND), []);
        assert_eq!(concerns.timeout(start + 2 * SECOND), [conflict(3)]);
        assert_eq!(concerns.end_mastership(), [conflict(4)]);
        assert_eq!(concerns.deadline(), None);
        assert_eq!(concerns.changes(), 4);
    }

    #[test]
    fn no_more_are_kept_than_anybody_reads() {
        let mut concerns = Concerns::default();
        let told = (0..200).filter(|host| concerns.raise(conflict(*host), origin(), SECOND));
        assert_eq!(told.count(), CONCERNS);
    }
}
