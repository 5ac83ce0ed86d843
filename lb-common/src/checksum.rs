//! The Internet checksum (RFC 1071), and how it changes with one field (RFC 1624). Pure arithmetic, for the program
//! and the daemon: here so that it is tested like everything else.

/// The sum of an even number of bytes as 16-bit numbers in network order, before the carries are folded in.
#[inline(always)]
#[must_use]
pub const fn sum_of<const N: usize>(bytes: &[u8; N]) -> u32 {
    const { assert!(N.is_multiple_of(2)) };
    let mut sum = 0;
    let mut index = 0;
    while index < N {
        sum += u16::from_be_bytes([bytes[index], bytes[index + 1]]) as u32;
        index += 2;
    }
    sum
}

/// The same of any number of bytes, an odd one filled up with a zero; for the daemon. At most 128 KiB: more may be more
/// than a sum holds.
#[must_use]
pub fn sum_of_slice(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks();
    let words: u32 = words.iter().map(sum_of::<2>).sum();
    words + rest.first().map_or(0, |last| u32::from(*last) << 8)
}

/// The sum of a 32-bit number as two 16-bit numbers.
#[inline(always)]
#[must_use]
pub const fn sum_of_word(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

/// The checksum of what sums to `sum`: the carries folded in twice, and the complement. Over data that holds its own
/// checksum it is 0.
#[inline(always)]
#[must_use]
pub const fn checksum(sum: u32) -> u16 {
    let folded = sum_of_word(sum);
    !(sum_of_word(folded) as u16)
}

/// The checksum of an IPv4 header whose time to live, above 0, was lowered by one (RFC 1624, equation 3: the 16-bit
/// number that it is the upper half of is 0x100 less, so that the complement of the sum is 0x100 more).
#[inline(always)]
#[must_use]
pub const fn after_hop(checksum: u16) -> u16 {
    let sum = checksum as u32 + 0x100;
    // 0xffff as a checksum would be a sum of 0, which no header has.
    (sum + (sum >= 0xffff) as u32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, section 3: the numerical example.
    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        let sum = sum_of(&bytes);
        assert_eq!(sum, 0x2_ddf0);
        assert_eq!(checksum(sum), !0xddf2);
        assert_eq!(sum_of_word(0x0001_f203) + sum_of_word(0xf4f5_f6f7), sum);
        assert_eq!(sum_of_slice(&bytes), sum);
    }

    #[test]
    fn an_odd_byte_is_the_upper_half_of_a_number() {
        assert_eq!(sum_of_slice(&[]), 0);
        assert_eq!(sum_of_slice(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
        assert_eq!(sum_of_slice(&[0xff; 128 << 10]), 0xffff_0000);
    }

    #[test]
    fn carries_of_carries_are_folded_in() {
        assert_eq!(checksum(0x1_ffff), !1);
        assert_eq!(checksum(0xffff), 0);
        assert_eq!(checksum(0xffff_ffff), 0);
        assert_eq!(checksum(0), 0xffff);
    }

    /// Every pair of a time to live and a sum of the rest of the header, which is never 0.
    #[test]
    fn a_hop_is_what_a_checksum_from_scratch_gives() {
        for ttl in 1..=255_u32 {
            for rest in (1..=0xffff_u32).step_by(7).chain(0xff00..=0xffff) {
                let before = checksum((ttl << 8) + rest);
                let after = checksum(((ttl - 1) << 8) + rest);
                assert_eq!(after_hop(before), after, "time to live {ttl}, rest {rest:#x}");
            }
        }
    }
}
