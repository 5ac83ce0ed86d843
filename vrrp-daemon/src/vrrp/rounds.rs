//! When a socket is looked at for advertisements.

use std::time::{Duration, Instant};

/// What part of the shortest interval between advertisements one of them may lie in its socket. A backup that is late
/// by this waits for three intervals and a skew anyway.
const PART_OF_INTERVAL: u32 = 20;

/// No advertisement lies longer, whatever the interval: a master that hears of a better one still answers meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Sleeping is not more exact than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// When to look at a socket: at once when the kernel tells of an advertisement, but in rounds while they come closer
/// than a pause.
///
/// To be woken costs more than to receive an advertisement. Hundreds of virtual routers on one interface speak one
/// after the other, and a wake-up for each is most of what a backup would spend; a single one is never kept waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// Zero where the kernel is always asked to tell.
    pause: Duration,
    /// When something was last received.
    last: Option<Instant>,
    /// When to look again, whatever the kernel would tell.
    next: Option<Instant>,
}

impl Rounds {
    /// The pause between two rounds where the virtual routers have these `intervals`.
    pub fn pause(intervals: impl Iterator<Item = Duration>) -> Duration {
        let shortest = intervals.min().unwrap_or_default();
        let pause = (shortest / PART_OF_INTERVAL).min(LONGEST_PAUSE);
        if pause < SHORTEST_PAUSE {
            Duration::ZERO
        } else {
            pause
        }
    }

    /// The pause between two rounds is `pause` from now on.
    pub const fn set_pause(&mut self, pause: Duration) {
        self.pause = pause;
    }

    /// The socket was looked at: it held something, or was empty.
    pub fn looked(&mut self, held_something: bool, now: Instant) {
        let is_close = |last| now.saturating_duration_since(last) < self.pause;
        let goes_on = self.next.is_some() || self.last.is_some_and(is_close);
        let again = held_something && goes_on && self.pause > Duration::ZERO;
        self.next = again.then(|| now + self.pause);
        if held_something {
            self.last = Some(now);
        }
    }

    /// When to look next; nothing if the kernel is to tell.
    #[must_use]
    pub const fn next(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulation::origin;
    use super::*;

    const PAUSE: Duration = Duration::from_millis(5);

    fn rounds() -> (Rounds, Instant) {
        let mut rounds = Rounds::default();
        rounds.set_pause(PAUSE);
        (rounds, origin())
    }

    #[test]
    fn what_comes_far_apart_is_looked_at_as_it_comes() {
        let (mut rounds, start) = rounds();
        for number in 0..5 {
            rounds.looked(true, start + 3 * PAUSE * number);
            assert_eq!(rounds.next(), None);
        }
    }

    #[test]
    fn what_comes_closer_than_a_pause_is_looked_at_in_rounds_until_there_is_nothing() {
        let (mut rounds, start) = rounds();
        rounds.looked(true, start);
        assert_eq!(rounds.next(), None, "the first is not kept waiting");
        let mut now = start + PAUSE / 5;
        for _ in 0..3 {
            rounds.looked(true, now);
            assert_eq!(rounds.next(), Some(now + PAUSE));
            now += PAUSE;
        }
        rounds.looked(false, now);
        assert_eq!(rounds.next(), None);
    }

    #[test]
    fn without_a_pause_the_kernel_always_tells() {
        let (mut rounds, start) = rounds();
        rounds.set_pause(Duration::ZERO);
        for _ in 0..3 {
            rounds.looked(true, start);
            assert_eq!(rounds.next(), None);
        }
    }

    #[test]
    fn the_pause_is_a_small_part_of_the_shortest_interval() {
        let pause = |milliseconds: &[u64]| {
            Rounds::pause(
                milliseconds
                    .iter()
                    .map(|interval| Duration::from_millis(*interval)),
            )
        };
        assert_eq!(pause(&[1_000, 100]), Duration::from_millis(5));
        assert_eq!(pause(&[40_000]), LONGEST_PAUSE);
        assert_eq!(pause(&[10]), Duration::ZERO);
        assert_eq!(pause(&[]), Duration::ZERO);
    }
}
