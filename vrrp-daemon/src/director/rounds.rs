//! Which neighbours to ask whether they are still there, and when.
//!
//! The kernel alone takes up to 45 s to notice that a neighbour has gone or has got another link-layer address: it
//! trusts what it has heard for half of `base_reachable_time` to one and a half times that, and asks only then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::Route;

/// In what time all neighbours are asked once, if there are not more of them than [`MOST`] allows for. The kernel gives
/// a neighbour three tries of a second each.
const ROUND: Duration = Duration::from_secs(3);

/// The shortest time between two turns.
const TURN: Duration = Duration::from_millis(50);

/// How many are asked in one turn at most: 200 a second. The rounds of ten thousand take 50 s, which is no worse than
/// without any; whoever is suspected comes before them.
const MOST: usize = 10;

/// Goes round the neighbours evenly, and to those first of whom there is doubt.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    /// Those that there is doubt about.
    suspects: BTreeSet<IpAddr>,
    /// The last one asked by the round.
    last: Option<IpAddr>,
    /// Those that have been heard of lately by other means, and when.
    heard: HashMap<IpAddr, Instant>,
    /// The last turn.
    turn_at: Instant,
}

impl Rounds {
    /// The first round begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            suspects: BTreeSet::new(),
            last: None,
            heard: HashMap::new(),
            turn_at: now,
        }
    }

    /// Something speaks for `address` not being where it was.
    pub(super) fn suspect(&mut self, address: IpAddr) {
        self.heard.remove(&address);
        self.suspects.insert(address);
    }

    /// `address` is there: it need not be asked for a while.
    pub(super) fn heard(&mut self, address: IpAddr, now: Instant) {
        self.heard.insert(address, now);
    }

    /// When [`Self::take`] is next needed, among so many neighbours.
    pub(super) fn deadline(&self, count: usize) -> Option<Instant> {
        if !self.suspects.is_empty() {
            return Some(self.turn_at + TURN);
        }
        (count > 0).then(|| self.turn_at + pause(count))
    }

    /// Whom to ask now, of the neighbours that `routes` lead to.
    pub(super) fn take(&mut self, routes: &BTreeMap<IpAddr, Route>, now: Instant) -> BTreeSet<IpAddr> {
        if self.deadline(routes.len()).is_none_or(|at| now < at) {
            return BTreeSet::new();
        }
        self.turn_at = now;
        let mut asked = BTreeSet::new();
        while asked.len() < MOST
            && let Some(suspect) = self.suspects.pop_first()
        {
            if routes.contains_key(&suspect) {
                asked.insert(suspect);
            }
        }
        let share = batch(routes.len()).min(MOST - asked.len());
        for _ in 0..share {
            let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
            let mut others = routes.range((after, Bound::Unbounded));
            let Some((address, route)) = others.next().or_else(|| {
                self.heard.retain(|_, at| now < *at + ROUND);
                routes.first_key_value()
            }) else {
                break;
            };
            self.last = Some(*address);
            let is_known = self.heard.get(address).is_some_and(|at| now < *at + ROUND);
            // The kernel goes on asking for who has not answered.
            if route.destination_mac.is_some() && !is_known {
                asked.insert(*address);
            }
        }
        asked
    }
}

/// The time between two turns of a round of so many.
fn pause(count: usize) -> Duration {
    let share = batch(count) as f64 / count.max(1) as f64;
    ROUND.mul_f64(share).max(TURN)
}

/// How many of a round come in one turn.
fn batch(count: usize) -> usize {
    let turns = (ROUND.as_millis() / TURN.as_millis()) as usize;
    count.div_ceil(turns).min(MOST)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: usize) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + number as u32).into()
    }

    fn routes(count: usize) -> BTreeMap<IpAddr, Route> {
        let route = Route {
            interface: 2,
            source_mac: [2; 6],
            destination_mac: Some([4; 6]),
            gateway: None,
            source: None,
            mtu: 1500,
        };
        (0..count).map(|number| (address(number), route)).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn origin() -> Instant {
        Instant::now()
    }

    /// Lets `time` pass, and returns how often each was asked, and how many were asked at once at most.
    fn pass(
        rounds: &mut Rounds,
        routes: &BTreeMap<IpAddr, Route>,
        from: Instant,
        time: Duration,
    ) -> (BTreeMap<IpAddr, usize>, usize) {
        let (mut asked, mut most) = (BTreeMap::new(), 0);
        while let Some(at) = rounds.deadline(routes.len()).filter(|at| *at <= from + time) {
            let now = rounds.take(routes, at);
            most = most.max(now.len());
            for address in now {
                *asked.entry(address).or_default() += 1;
            }
        }
        (asked, most)
    }

    #[test]
    fn everyone_is_asked_every_few_seconds_and_not_in_bursts() {
        for count in [1, 2, 3, 61, 400, 590] {
            let start = origin();
            let (asked, most) = pass(&mut Rounds::new(start), &routes(count), start, 10 * ROUND);
            assert_eq!(asked.len(), count);
            assert!(asked.values().all(|times| (9..=11).contains(times)), "{asked:?}");
            assert!(most <= count.div_ceil(60), "{most} of {count}");
        }
    }

    #[test]
    fn ten_thousand_cost_as_much_as_six_hundred() {
        let start = origin();
        let (asked, most) = pass(&mut Rounds::new(start), &routes(10_000), start, 60 * ROUND);
        assert_eq!(most, MOST);
        assert_eq!(asked.len(), 10_000);
        assert!(asked.values().all(|times| (3..=4).contains(times)));
    }

    #[test]
    fn nobody_is_asked_where_nobody_is() {
        let start = origin();
        let mut rounds = Rounds::new(start);
        assert_eq!(rounds.deadline(0), None);
        let unresolved = routes(1).into_iter().map(|(address, route)| {
            let route = Route {
                destination_mac: None,
                ..route
            };
            (address, route)
        });
        let (asked, _) = pass(&mut rounds, &unresolved.collect(), start, ROUND * 2);
        assert_eq!(asked, BTreeMap::new());
    }

    #[test]
    fn a_suspect_is_asked_at_once_and_once() {
        let start = origin();
        let (mut rounds, routes) = (Rounds::new(start), routes(2));
        rounds.suspect(address(1));
        rounds.suspect(address(1));
        // Who is no neighbour any more is not asked.
        rounds.suspect(address(7));
        let at = start + TURN;
        assert_eq!(rounds.deadline(routes.len()), Some(at));
        assert!(rounds.take(&routes, start).is_empty(), "not yet");
        assert!(rounds.take(&routes, at).contains(&address(1)));
        assert_eq!(rounds.deadline(routes.len()), Some(at + ROUND / 2));
    }

    #[test]
    fn thousands_of_suspects_are_asked_in_turns() {
        let start = origin();
        let (mut rounds, routes) = (Rounds::new(start), routes(1000));
        for suspect in routes.keys() {
            rounds.suspect(*suspect);
        }
        let (asked, most) = pass(&mut rounds, &routes, start, TURN * 100);
        assert_eq!((asked.len(), most), (1000, MOST));
    }

    #[test]
    fn who_was_heard_of_is_left_alone_until_a_round_later() {
        let start = origin();
        let (mut rounds, routes) = (Rounds::new(start), routes(1));
        rounds.heard(address(0), start + ROUND / 2);
        assert!(rounds.take(&routes, start + ROUND).is_empty());
        assert!(!rounds.take(&routes, start + ROUND * 2).is_empty());
        rounds.heard(address(0), start + ROUND * 2);
        rounds.suspect(address(0));
        assert!(!rounds.take(&routes, start + ROUND * 2 + TURN).is_empty());
    }
}
