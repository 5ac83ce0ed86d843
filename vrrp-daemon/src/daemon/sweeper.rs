//! Sweeps the table of connections, on a thread of its own: nobody waits for it, and a sweep that takes long or is
//! stuck holds up no packet, no check and no advertisement. (Slots of real servers that were removed wait for it.)

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lb_common::{FlowClock, FlowWord, WORDS_PER_BUCKET};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::debug;

use crate::director::{Census, Fate, Sweep};
use crate::io::bpf::{FlowTable, Loads};
use crate::io::clock::boot_now;
use crate::io::{grace, limits};

/// How a sweep has ended: as [`crate::director::Director::swept`] takes it.
pub(super) type Swept = Result<(), String>;

/// The thread that sweeps.
pub(super) struct Sweeper {
    wanted: mpsc::Sender<Sweep>,
    ended: UnboundedReceiver<Swept>,
}

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Forgotten {
    /// So many connections had timed out.
    over: u64,
    /// So many were those of real servers that are not configured any more.
    gone: u64,
}

impl Sweeper {
    /// Starts the thread, which ends with this value.
    pub(super) fn start(flows: Arc<FlowTable>, loads: Loads) -> io::Result<Self> {
        let (wanted, sweeps) = mpsc::channel();
        let (ends, ended) = unbounded_channel();
        thread::Builder::new()
            .name("sweeper".to_owned())
            .spawn(move || run(&flows, &loads, &sweeps, &ends))?;
        Ok(Self { wanted, ended })
    }

    /// Begins a sweep, after those that were asked for before.
    pub(super) fn begin(&self, sweep: Sweep) {
        // If the thread has ended, `ended` says so.
        self.wanted.send(sweep).ok();
    }

    /// Waits for a sweep to end. None if the thread has ended instead. Nothing is lost if the wait is given up.
    pub(super) async fn ended(&mut self) -> Option<Swept> {
        self.ended.recv().await
    }
}

fn run(flows: &FlowTable, loads: &Loads, sweeps: &mpsc::Receiver<Sweep>, ends: &UnboundedSender<Swept>) {
    if let Err(error) = limits::run_as_others_do() {
        debug!(%error, "the sweeper runs at the priority of the daemon");
    }
    while let Ok(sweep) = sweeps.recv() {
        let began = Instant::now();
        let grace = match sweep.clears_slots() {
            true => grace::wait(),
            false => Ok(()),
        };
        let waited = began.elapsed();
        let forgotten = walk(flows, loads, &sweep, boot_now);
        tell(forgotten, waited, began.elapsed());
        let swept = grace.map_err(|error| format!("no grace period of RCU can be waited for: {error}"));
        if ends.send(swept).is_err() {
            return;
        }
    }
}

fn tell(forgotten: Forgotten, waited: Duration, took: Duration) {
    let Forgotten { over, gone } = forgotten;
    debug!(over, gone, ?waited, ?took, "swept the table of connections");
}

/// Goes through all words, removes what `sweep` does not keep, and sets right what the program has counted of the others.
/// `now` tells the time, in nanoseconds of `CLOCK_BOOTTIME`.
fn walk(flows: &FlowTable, loads: &Loads, sweep: &Sweep, now: impl Fn() -> u64) -> Forgotten {
    let mut census = Census::begin(sweep.counted().iter().copied(), |slot| loads.of(slot));
    let forgotten = forget(flows, sweep, &mut census, now);
    for (slot, correction) in census.corrections(|slot| loads.of(slot)) {
        loads.add(slot, correction);
    }
    forgotten
}

fn forget(flows: &FlowTable, sweep: &Sweep, census: &mut Census, now: impl Fn() -> u64) -> Forgotten {
    let clock = flows.clock();
    let mut forgotten = Forgotten::default();
    for bucket in 0..flows.buckets() {
        // Most of the table is empty, and to ask for the time would take longest.
        let mut arrived_at = None;
        for way in 0..WORDS_PER_BUCKET {
            let word = flows.word(bucket, way);
            if word == FlowWord::EMPTY {
                continue;
            }
            let arrived_at = *arrived_at.get_or_insert_with(&now);
            if sweep.fate(word, &clock, arrived_at) == Fate::Kept {
                census.keep(word);
                continue;
            }
            let (word, fate) = remove(flows, sweep, bucket, way, &now);
            match fate {
                Fate::Kept => {
                    census.keep(word);
                    continue;
                }
                Fate::Over => forgotten.over += 1,
                Fate::Gone => forgotten.gone += 1,
            }
            census.remove(word);
        }
    }
    forgotten
}

/// Removes a word that seems not to be kept, unless the program is faster and makes it another. Returns the word that it
/// was or is, and what has become of it.
fn remove(
    flows: &FlowTable,
    sweep: &Sweep,
    bucket: u32,
    way: usize,
    now: &impl Fn() -> u64,
) -> (FlowWord, Fate) {
    loop {
        let word = flows.word(bucket, way);
        // The clock and the time are read after the word: it may have been noted after the time that was read before,
        // and in another unit than the clock had.
        let clock: FlowClock = flows.clock();
        let fate = sweep.fate(word, &clock, now());
        if fate == Fate::Kept || flows.replace(bucket, way, word, FlowWord::EMPTY) {
            return (word, fate);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use lb_common::{Load, SECOND, flow_state};

    use super::*;
    use crate::model::RealSlot;

    const NOW: u64 = 1_000_000 * SECOND;

    /// An established connection of the real server in `slot`.
    fn word(slot: u32, seen_at: u64) -> FlowWord {
        let seen = FlowClock::default().of(flow_state::ESTABLISHED).at(seen_at);
        FlowWord::new(1, flow_state::ESTABLISHED, seen, slot)
    }

    fn sweep(slots: &[u32]) -> Sweep {
        Sweep::new(&slots.iter().copied().map(RealSlot::new).collect())
    }

    /// What a walk forgets where nothing is counted.
    fn plain_walk(flows: &FlowTable, sweep: &Sweep, now: impl Fn() -> u64) -> Forgotten {
        walk(flows, &Loads::in_memory(), sweep, now)
    }

    /// A table with these words, in different buckets.
    fn table(words: &[FlowWord]) -> FlowTable {
        let flows = FlowTable::in_memory(1_000);
        flows.set_clock(FlowClock::default()).expect("it is new");
        for (number, word) in words.iter().enumerate() {
            let (bucket, way) = place(number);
            assert!(flows.replace(bucket, way, FlowWord::EMPTY, *word));
        }
        flows
    }

    const fn place(number: usize) -> (u32, usize) {
        (number as u32 * 7, number % WORDS_PER_BUCKET)
    }

    #[test]
    fn a_sweep_goes_everywhere_and_leaves_what_is_to_be_kept() {
        let kept = [word(1, NOW), word(3, NOW - 899 * SECOND)];
        let over = word(1, NOW - 903 * SECOND);
        let gone = word(2, NOW);
        let words: Vec<FlowWord> = (0..36)
            .map(|number| [kept[0], over, gone, kept[1]][number % 4])
            .collect();
        let flows = table(&words);
        let forgotten = plain_walk(&flows, &sweep(&[2]), || NOW);
        assert_eq!(forgotten, Forgotten { over: 9, gone: 9 });
        for (number, before) in words.iter().enumerate() {
            let (bucket, way) = place(number);
            let expected = if kept.contains(before) {
                *before
            } else {
                FlowWord::EMPTY
            };
            assert_eq!(flows.word(bucket, way), expected);
        }
        assert_eq!(plain_walk(&flows, &sweep(&[2]), || NOW), Forgotten::default());
    }

    /// What the program has not seen, and what it never was to count.
    #[test]
    fn a_sweep_sets_right_how_many_connections_there_are() {
        let over = word(1, NOW - 903 * SECOND);
        let flows = table(&[word(1, NOW), over, word(2, NOW), word(1, NOW), word(3, NOW)]);
        let loads = Loads::in_memory();
        let [first, second, third] = [1, 2, 3].map(RealSlot::new);
        loads.add(first, Load::sum(3, 0));
        loads.add(third, Load::sum(9, 9));
        let sweep = sweep(&[]).counting(BTreeSet::from([first, second]));
        for _ in 0..2 {
            walk(&flows, &loads, &sweep, || NOW);
            let counted = [first, second, third].map(|slot| loads.of(slot));
            assert_eq!(counted.map(Load::active), [2, 1, 9]);
            assert_eq!(counted.map(Load::inactive), [0, 0, 9]);
        }
    }

    /// The program on another CPU, at the moment when the sweep asks for the time.
    #[test]
    fn what_is_noted_while_the_sweep_looks_at_it_is_kept() {
        let flows = table(&[word(1, NOW - 1_000 * SECOND)]);
        let asked = Cell::new(0_u32);
        let now = || {
            asked.set(asked.get() + 1);
            // The first bucket is arrived at; the second time is the one that counts.
            if asked.get() == 2 {
                let noted = word(1, NOW + 5 * SECOND);
                assert!(flows.replace(0, 0, flows.word(0, 0), noted));
            }
            NOW + 5 * SECOND
        };
        assert_eq!(plain_walk(&flows, &sweep(&[]), now), Forgotten::default());
        assert_eq!(flows.word(0, 0), word(1, NOW + 5 * SECOND));
    }

    #[test]
    fn what_is_to_go_goes_whatever_the_program_notes_meanwhile() {
        let flows = table(&[word(2, NOW)]);
        let asked = Cell::new(0_u32);
        let now = || {
            asked.set(asked.get() + 1);
            if (2..10).contains(&asked.get()) {
                let noted = word(2, NOW + u64::from(asked.get()) * SECOND);
                assert!(flows.replace(0, 0, flows.word(0, 0), noted));
            }
            NOW
        };
        let forgotten = plain_walk(&flows, &sweep(&[2]), now);
        assert_eq!(forgotten, Forgotten { over: 0, gone: 1 });
        assert_eq!(flows.word(0, 0), FlowWord::EMPTY);
    }

    /// Connections of a clock that is new meanwhile are young by that, and would be old by the one before.
    #[test]
    fn a_clock_that_changes_during_the_sweep_is_followed() {
        const MONTH: u64 = 31 * 24 * 3_600 * SECOND;
        let other = FlowClock::new(MONTH, MONTH, MONTH);
        let seen = other.of(flow_state::ESTABLISHED).at(NOW);
        let noted = FlowWord::new(1, flow_state::ESTABLISHED, seen, 1);
        assert!(
            FlowClock::default().is_over(noted, NOW),
            "or the test shows nothing"
        );
        let flows = table(&[FlowWord::EMPTY, noted]);
        let asked = Cell::new(0_u32);
        let now = || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                flows.set_clock_at_once(other);
            }
            NOW
        };
        assert_eq!(plain_walk(&flows, &sweep(&[]), now), Forgotten::default());
    }

    #[tokio::test]
    async fn the_thread_says_of_each_sweep_when_it_has_ended() {
        let flows = Arc::new(table(&[word(1, boot_now()), word(2, boot_now())]));
        let mut sweeper = Sweeper::start(Arc::clone(&flows), Loads::in_memory()).expect("a thread");
        for slots in [BTreeSet::new(), BTreeSet::from([RealSlot::new(2)])] {
            sweeper.begin(Sweep::new(&slots));
            assert_eq!(sweeper.ended().await, Some(Ok(())));
        }
        let left = flows.words().filter(|(_, _, word)| *word != FlowWord::EMPTY);
        assert_eq!(left.map(|(_, _, word)| word.slot()).collect::<Vec<_>>(), [1]);
    }
}
