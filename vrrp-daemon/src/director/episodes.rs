//! Which services have more new connections than are remembered: what the program has noted of that, and what people are
//! told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Notice;
use crate::model::ServiceAddress;

/// An [episode](lb_common::Episode) of a service that is not over, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// How long it lasts unless it is prolonged.
    pub left: Duration,
    /// Why it has not ended.
    pub cause: Cause,
}

/// Why new connections are not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// There are more than the limit.
    Limit,
    /// The table of connections has had no place for one of them.
    TableFull,
}

impl Cause {
    /// What is wrong, for people, in a service that has this limit.
    #[must_use]
    pub fn told(self, limit: Option<u32>) -> String {
        match (self, limit) {
            (Self::Limit, Some(limit)) => format!("more than {limit} new connections a second"),
            // A reload has just removed it.
            (Self::Limit, None) => "more new connections than its limit was".to_owned(),
            (Self::TableFull, _) => "the table of connections has no place for a new one".to_owned(),
        }
    }
}

/// The episodes that are not over. The program begins them, prolongs them and lets them end: here it is only told.
#[derive(Clone, Debug, Default)]
pub(super) struct Episodes(BTreeMap<ServiceAddress, (Episode, Instant)>);

impl Episodes {
    /// These, and no others, were found at `now`. Returns what people are to be told: of those that began, with the limit
    /// of the service, and of those that are over.
    pub(super) fn found(
        &mut self,
        episodes: impl IntoIterator<Item = (ServiceAddress, Option<u32>, Episode)>,
        now: Instant,
    ) -> Vec<Notice> {
        let mut before = std::mem::take(&mut self.0);
        let mut notices = Vec::new();
        for (service, limit, episode) in episodes {
            let since = match before.remove(&service) {
                Some((_, since)) => since,
                None => {
                    let cause = episode.cause;
                    notices.push(Notice::EpisodeBegan {
                        service,
                        cause,
                        limit,
                    });
                    now
                }
            };
            self.0.insert(service, (episode, since));
        }
        notices.extend(before.into_keys().map(|service| Notice::EpisodeOver { service }));
        notices
    }

    /// The episode of a service, and when it was first seen.
    pub(super) fn of(&self, service: ServiceAddress) -> Option<(Episode, Instant)> {
        self.0.get(&service).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::director::fixture::virtual_address;

    const EPISODE: Episode = Episode {
        left: Duration::from_secs(60),
        cause: Cause::Limit,
    };

    #[test]
    fn people_are_told_once_that_an_episode_begins_and_once_that_it_is_over() {
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let (first, second) = (virtual_address(0), virtual_address(1));
        let limit = Some(5_000);
        let mut episodes = Episodes::default();
        assert_eq!(episodes.found([], now), []);
        let began = |service| Notice::EpisodeBegan {
            service,
            cause: Cause::Limit,
            limit,
        };
        assert_eq!(episodes.found([(first, limit, EPISODE)], now), [began(first)]);
        let full = Episode {
            left: Duration::from_secs(59),
            cause: Cause::TableFull,
        };
        assert_eq!(episodes.found([(first, limit, full)], later(1)), []);
        assert_eq!(episodes.of(first), Some((full, now)));
        let both = [(first, limit, full), (second, limit, EPISODE)];
        assert_eq!(episodes.found(both, later(2)), [began(second)]);
        let over = Notice::EpisodeOver { service: first };
        assert_eq!(episodes.found([(second, limit, EPISODE)], later(3)), [over]);
        assert_eq!(episodes.of(first), None);
        assert_eq!(episodes.of(second), Some((EPISODE, later(2))));
    }
}
