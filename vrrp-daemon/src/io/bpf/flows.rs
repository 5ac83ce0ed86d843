//! The table of the connections, mapped into this process: counting, sweeping and listing take no system call.
#![allow(
    unsafe_code,
    reason = "words of the table are shared with the program, and changed by compare-and-swap"
)]

use std::array;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::Pod;
use lb_common::{FlowBucket, FlowClock, FlowName, FlowTime, FlowWord, WORDS_PER_BUCKET, flow_state, maps};

use super::Error;
use super::mapped::MappedArray;
use super::open_maps::OpenMaps;
use super::pins::FlowSizes;

/// The connections that are remembered. The program changes them at any time.
///
/// Whoever changes a word does so by [`Self::replace`], as the program does, and leaves it if the program was faster.
pub struct FlowTable {
    buckets: MappedArray<FlowBucket>,
    /// None where no names are written.
    names: Option<MappedArray<FlowName>>,
    clock: MappedArray<FlowClock>,
}

impl FlowTable {
    pub(super) fn open(open: &OpenMaps, sizes: FlowSizes) -> Result<Self, Error> {
        fn mapped<V: Pod>(
            open: &OpenMaps,
            map: maps::Map<u32, V>,
            length: u32,
        ) -> Result<MappedArray<V>, Error> {
            let data = open.open(map)?;
            MappedArray::new(data.fd().as_fd(), length).map_err(|source| Error::Mapping {
                map: map.name,
                source,
            })
        }
        let has_names = sizes.names > 1;
        let names = has_names.then(|| mapped(open, maps::FLOW_NAMES, sizes.names));
        Ok(Self {
            buckets: mapped(open, maps::FLOWS, sizes.buckets)?,
            names: names.transpose()?,
            clock: mapped(open, maps::FLOW_CLOCK, maps::FLOW_CLOCK.capacity)?,
        })
    }

    /// How many buckets there are, each of [`WORDS_PER_BUCKET`] words.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        self.buckets.length()
    }

    /// The word at `way` of `bucket`, as it is at this moment.
    #[must_use]
    pub fn word(&self, bucket: u32, way: usize) -> FlowWord {
        // Before a clock that is read afterwards.
        FlowWord(self.at(bucket, way).load(Ordering::Acquire))
    }

    /// All words, each with its bucket and its way there, and each as it is when the iterator comes to it.
    pub fn words(&self) -> impl Iterator<Item = (u32, usize, FlowWord)> {
        let ways = move |bucket| (0..WORDS_PER_BUCKET).map(move |way| (bucket, way, self.word(bucket, way)));
        (0..self.buckets()).flat_map(ways)
    }

    /// Replaces the word at `way` of `bucket` if it is still `present`. Returns whether it was.
    pub fn replace(&self, bucket: u32, way: usize, present: FlowWord, word: FlowWord) -> bool {
        // What was done before (a sweep after a grace period, say) comes before it for everybody, as the program's
        // does.
        self.at(bucket, way)
            .compare_exchange(present.0, word.0, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// What was last written of who has the word in this place (`bucket` · [`WORDS_PER_BUCKET`] + `way`), if names are
    /// written. It may be half written, or another connection's: only a hash that leads to the word proves it.
    #[must_use]
    pub fn name(&self, slot: u32) -> Option<FlowName> {
        self.names.as_ref().map(|names| names.get(slot))
    }

    /// How the words are to be read, and how long they are remembered, at this moment.
    #[must_use]
    pub fn clock(&self) -> FlowClock {
        FlowClock {
            times: array::from_fn(|state| self.time(state)),
        }
    }

    /// Whether the connection of a `word` that was read before has timed out at `now`. Who gives its place away then
    /// does it by [`Self::replace`]: another clock may come into force meanwhile, and that changes the words before it
    /// says so.
    #[must_use]
    pub fn is_over(&self, word: FlowWord, now: u64) -> bool {
        self.time(word.state() as usize).is_over(word.seen(), now)
    }

    fn time(&self, state: usize) -> FlowTime {
        let [shift, timeout] = halves(self.time_at(state).load(Ordering::Relaxed));
        FlowTime { shift, timeout }
    }

    /// Sets the clock of the words in `state`. The program may see a part of it before the other.
    pub(super) fn set_time(&self, state: usize, time: FlowTime) {
        self.time_at(state)
            .store(whole([time.shift, time.timeout]), Ordering::SeqCst);
    }

    fn at(&self, bucket: u32, way: usize) -> &AtomicU64 {
        assert!(way < WORDS_PER_BUCKET, "way {way} of a bucket");
        let bucket = self.buckets.element(bucket);
        // SAFETY: `bucket` points to a mapped bucket, whose words are eight bytes each and aligned (it begins at a
        // multiple of eight), and `way` is one of them. The mapping lasts as long as `self`. This process reads and
        // writes words through this function only, and so atomically; the program loads them whole and changes them by
        // compare-and-swap.
        unsafe { AtomicU64::from_ptr((&raw mut (*bucket).words).cast::<u64>().add(way)) }
    }

    fn time_at(&self, state: usize) -> &AtomicU64 {
        const { assert!(size_of::<FlowTime>() == size_of::<u64>()) };
        assert!(state < flow_state::COUNT, "state {state}");
        let clock = self.clock.element(0);
        // SAFETY: as in `at`: times are eight bytes each, and the first begins where the mapping does. The program only
        // reads them.
        unsafe { AtomicU64::from_ptr((&raw mut (*clock).times).cast::<u64>().add(state)) }
    }
}

/// The two numbers that are in memory as these eight bytes.
const fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

/// The eight bytes that these two numbers are in memory.
const fn whole(halves: [u32; 2]) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (halves[0].to_ne_bytes(), halves[1].to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table in memory that is shared with nobody.
    pub(in crate::io::bpf) fn table(sizes: FlowSizes) -> FlowTable {
        FlowTable {
            buckets: MappedArray::in_memory(sizes.buckets),
            names: (sizes.names > 1).then(|| MappedArray::in_memory(sizes.names)),
            clock: MappedArray::in_memory(1),
        }
    }

    impl FlowTable {
        /// A table for this many `connections` that no program uses, without names.
        pub(crate) fn in_memory(connections: u32) -> Self {
            table(FlowSizes::of(connections, false))
        }

        /// Puts a clock in force as if no connection were there.
        pub(crate) fn set_clock_at_once(&self, clock: FlowClock) {
            for (state, time) in clock.times.into_iter().enumerate() {
                self.set_time(state, time);
            }
        }
    }

    #[test]
    fn a_table_has_a_name_for_each_word_or_none_at_all() {
        assert_eq!(
            FlowSizes::of(1 << 20, true),
            FlowSizes {
                buckets: 1 << 18,
                names: 1 << 21
            }
        );
        assert_eq!(FlowSizes::of(1 << 20, false).names, 1);
        assert!(table(FlowSizes::of(100, true)).name(7).is_some());
        assert!(table(FlowSizes::of(100, false)).name(7).is_none());
    }

    #[test]
    fn a_word_is_replaced_only_if_it_is_what_it_was() {
        let table = table(FlowSizes::of(100, false));
        let word = |slot| FlowWord::new(77, flow_state::ESTABLISHED, 1, slot);
        assert!(table.replace(3, 5, FlowWord::EMPTY, word(1)));
        assert!(!table.replace(3, 5, FlowWord::EMPTY, word(2)));
        assert!(table.replace(3, 5, word(1), word(3)));
        assert_eq!(table.word(3, 5), word(3));
        let used: Vec<_> = table
            .words()
            .filter(|(_, _, word)| *word != FlowWord::EMPTY)
            .collect();
        assert_eq!(used, [(3, 5, word(3))]);
        assert_eq!(table.words().count(), table.buckets() as usize * WORDS_PER_BUCKET);
    }

    #[test]
    fn a_clock_is_read_as_it_was_set() {
        let table = table(FlowSizes::of(100, false));
        let wanted = FlowClock::default();
        for (state, time) in wanted.times.into_iter().enumerate() {
            table.set_time(state, time);
        }
        assert_eq!(table.clock(), wanted);
        assert_eq!(table.clock.get(0), wanted);
    }
}
