//! Other timeouts for connections that the program is looking at.

use std::io;

use lb_common::{FlowClock, FlowTime, FlowWord, flow_state};

use super::flows::FlowTable;
use crate::io::clock::boot_now;
use crate::io::grace;

/// The timeout of a word that is never over.
const NEVER: u32 = FlowWord::SEEN_MASK as u32;

impl FlowTable {
    /// Puts another clock in force. Where the unit of a state changes, its words count as seen just now, and it takes
    /// two [grace periods](grace::wait): not for a loop that others wait for.
    ///
    /// # Errors
    /// Why no grace period could be waited for. Then some words are never over, until this is done again.
    pub fn set_clock(&self, wanted: FlowClock) -> io::Result<()> {
        set(self, wanted, boot_now, grace::wait)
    }
}

/// Puts the clock `wanted` in force. `grace` waits until no program goes by what it has read before; `now` tells the
/// time, in nanoseconds of `CLOCK_BOOTTIME`.
///
/// The longer a timeout, the longer the unit of [`FlowWord::seen`]. Where that changes, words of both units are in the
/// table for a while, and nothing tells them apart: until all are noted as seen just now, in the new unit, none is
/// over. Who was silent before begins anew.
///
/// # Errors
/// Why no grace period could be waited for. Then the words whose unit was to change are never over, until this is done
/// again.
fn set(
    table: &FlowTable,
    wanted: FlowClock,
    now: impl Fn() -> u64,
    mut grace: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let present = table.clock();
    let is_new = present.times == [FlowTime::default(); flow_state::COUNT];
    let moved: Vec<usize> = if is_new {
        Vec::new()
    } else {
        let times = present.times.iter().zip(&wanted.times).enumerate();
        times
            .filter(|(_, (present, wanted))| must_move(**present, **wanted))
            .map(|(state, _)| state)
            .collect()
    };
    if !moved.is_empty() {
        for clock in [present, wanted] {
            for &state in &moved {
                let shift = clock.times[state].shift;
                table.set_time(
                    state,
                    FlowTime {
                        shift,
                        timeout: NEVER,
                    },
                );
            }
            // No half of a clock is seen together with half of the next one; and after the second time, nobody notes
            // anything in the unit that was.
            grace()?;
        }
        see_all(table, &moved, wanted, now());
    }
    for (state, time) in wanted.times.into_iter().enumerate() {
        table.set_time(state, time);
    }
    Ok(())
}

/// Whether words of a state may be in another unit than the one that is wanted: also where an earlier change was not
/// completed.
fn must_move(present: FlowTime, wanted: FlowTime) -> bool {
    present.shift != wanted.shift || (present.timeout == NEVER && wanted.timeout != NEVER)
}

/// Notes all words of these states as seen just now.
fn see_all(table: &FlowTable, states: &[usize], clock: FlowClock, now: u64) {
    for (bucket, way, mut word) in table.words() {
        while word != FlowWord::EMPTY && states.contains(&(word.state() as usize)) {
            let seen = clock.of(word.state()).at(now);
            if table.replace(bucket, way, word, word.noted(word.state(), seen)) {
                break;
            }
            word = table.word(bucket, way);
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_common::SECOND;

    use super::super::flows::tests;
    use super::super::pins::FlowSizes;
    use super::*;

    const NOW: u64 = 1_000_000 * SECOND;
    const HOUR: u64 = 3_600 * SECOND;

    /// A table with a word for each of some states, all seen `silence` ago.
    fn table_with(clock: FlowClock, silence: u64) -> FlowTable {
        let table = tests::table(FlowSizes::of(100, false));
        set(&table, clock, || NOW, || panic!("nobody uses it yet")).expect("it is new");
        for state in 1..=flow_state::DATAGRAMS {
            let seen = clock.of(state).at(NOW - silence);
            let word = FlowWord::new(state + 100, state, seen, 7);
            assert!(table.replace(state as u32, 0, FlowWord::EMPTY, word));
        }
        table
    }

    fn is_over(table: &FlowTable, state: u64, now: u64) -> bool {
        let word = table.word(state as u32, 0);
        assert_eq!((word.tag(), word.state(), word.slot()), (state + 100, state, 7));
        table.clock().is_over(word, now)
    }

    #[test]
    fn in_the_same_unit_a_timeout_changes_and_no_word_does() {
        let table = table_with(FlowClock::default(), 100 * SECOND);
        let before: Vec<_> = table.words().collect();
        let shorter = FlowClock::new(60 * SECOND, 50 * SECOND, 40 * SECOND);
        assert_eq!(
            shorter.of(flow_state::ESTABLISHED).shift,
            FlowClock::default().of(flow_state::ESTABLISHED).shift
        );
        let of = |state| FlowTime {
            timeout: shorter.of(state).timeout,
            ..FlowClock::default().of(state)
        };
        let mut wanted = FlowClock::default();
        wanted.times[flow_state::ESTABLISHED as usize] = of(flow_state::ESTABLISHED);
        set(&table, wanted, || NOW, || panic!("no grace period is needed")).expect("it can");
        assert!(table.words().eq(before));
        assert!(is_over(&table, flow_state::ESTABLISHED, NOW));
        assert!(!is_over(&table, flow_state::DATAGRAMS, NOW));
    }

    #[test]
    fn nothing_is_over_while_the_unit_changes() {
        let table = table_with(FlowClock::default(), 100 * SECOND);
        let wanted = FlowClock::new(24 * HOUR, 2 * HOUR, 24 * HOUR);
        let moved = [
            flow_state::ESTABLISHED,
            flow_state::CLOSING,
            flow_state::DATAGRAM,
            flow_state::DATAGRAMS,
        ];
        for state in moved {
            assert_ne!(wanted.of(state).shift, FlowClock::default().of(state).shift);
        }
        let mut periods = 0;
        set(
            &table,
            wanted,
            || NOW,
            || {
                periods += 1;
                // A program that has the old clock, or the new one, or half of each.
                for state in moved {
                    assert!(!is_over(&table, state, NOW));
                    assert_eq!(table.clock().of(state).timeout, NEVER);
                }
                // One that goes by the old unit, still.
                let word = table.word(flow_state::ESTABLISHED as u32, 0);
                let seen = FlowClock::default().of(flow_state::ESTABLISHED).at(NOW);
                assert!(table.replace(
                    flow_state::ESTABLISHED as u32,
                    0,
                    word,
                    word.noted(word.state(), seen)
                ));
                Ok(())
            },
        )
        .expect("it can");
        assert_eq!(periods, 2);
        assert_eq!(table.clock(), wanted);
        for (state, timeout) in moved.into_iter().zip([24, 2, 24, 24]) {
            assert_eq!(table.word(state as u32, 0).seen(), wanted.of(state).at(NOW));
            assert!(!is_over(&table, state, NOW + (timeout - 1) * HOUR));
            assert!(is_over(&table, state, NOW + (timeout + 1) * HOUR));
        }
        let nascent = table.word(flow_state::NASCENT as u32, 0);
        assert_eq!(
            wanted.of(flow_state::NASCENT).at(NOW - 100 * SECOND),
            nascent.seen()
        );
        assert_eq!(table.word(0, 0), FlowWord::EMPTY);
    }

    #[test]
    fn a_change_that_was_broken_off_is_completed() {
        let table = table_with(FlowClock::default(), 100 * SECOND);
        let wanted = FlowClock::new(24 * HOUR, 120 * SECOND, 300 * SECOND);
        let mut periods = 0;
        let refused = set(
            &table,
            wanted,
            || NOW,
            || {
                periods += 1;
                if periods == 2 {
                    return Err(io::Error::from_raw_os_error(libc::EINVAL));
                }
                Ok(())
            },
        );
        assert!(refused.is_err());
        assert!(!is_over(&table, flow_state::ESTABLISHED, NOW + HOUR));
        let mut again = 0;
        set(
            &table,
            wanted,
            || NOW,
            || {
                again += 1;
                Ok(())
            },
        )
        .expect("it can now");
        assert_eq!((again, table.clock()), (2, wanted));
        assert!(is_over(&table, flow_state::ESTABLISHED, NOW + 25 * HOUR));
    }
}
