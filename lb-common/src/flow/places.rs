//! Where a connection can be in the table.

use super::{FlowWord, WORDS_PER_BUCKET};

/// The two buckets that a connection can be in, and what marks it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The one that it goes to while there is room.
    pub first: u32,
    /// The other one; with one bucket only, the same.
    pub second: u32,
    /// [`FlowWord::tag`] in the first bucket.
    pub first_tag: u64,
    /// [`FlowWord::tag`] in the second bucket.
    pub second_tag: u64,
}

impl Places {
    /// The places of the connection with this hash, in a table of `mask + 1` buckets (a power of two).
    #[inline(always)]
    #[must_use]
    pub const fn new(hash: u64, mask: u32) -> Self {
        let fingerprint = hash >> 32;
        // 0 is the tag of an empty word.
        let fingerprint = fingerprint + (fingerprint == 0) as u64;
        let first = hash as u32 & mask;
        // An odd difference: the two are never the same where there are two.
        let distance = (fingerprint.wrapping_mul(crate::SPREAD) >> 32) as u32 | 1;
        Self {
            first,
            second: first ^ (distance & mask),
            first_tag: fingerprint << 1,
            second_tag: fingerprint << 1 | 1,
        }
    }
}

/// How many buckets a table has that is to hold this many connections: a power of two, so that six tenths of its words
/// hold them, or fewer. More than that would begin to refuse new ones.
#[must_use]
pub const fn flow_buckets(connections: u32) -> u32 {
    let words = connections as u64 * 10 / 6;
    let buckets = words.div_ceil(WORDS_PER_BUCKET as u64);
    buckets.next_power_of_two() as u32
}

const _: () = assert!(FlowWord::TAG_BITS == 33);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_two_buckets_and_a_tag_for_each() {
        for hash in (0..1_000_u64).map(|number| number.wrapping_mul(0x1234_5678_9abc_def1)) {
            let places = Places::new(hash, 0xff);
            assert!(places.first < 256 && places.second < 256);
            assert_ne!(places.first, places.second);
            assert_ne!(places.first_tag, places.second_tag);
            assert_ne!(places.first_tag, 0);
            // The second bucket's other bucket is the first.
            let distance = places.first ^ places.second;
            assert_eq!(places.second ^ distance, places.first);
            let alone = Places::new(hash, 0);
            assert_eq!((alone.first, alone.second), (0, 0));
        }
    }

    #[test]
    fn a_table_has_room_to_spare() {
        assert_eq!(flow_buckets(1), 1);
        assert_eq!(flow_buckets(1 << 20), 1 << 18);
        assert_eq!(flow_buckets(16_384), 4_096);
        for connections in [1_000, 100_000, 1_000_000, 10_000_000] {
            let words = u64::from(flow_buckets(connections)) * WORDS_PER_BUCKET as u64;
            assert!(words * 6 / 10 >= u64::from(connections));
        }
    }
}
