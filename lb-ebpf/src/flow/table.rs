//! The table of the connections: find, change, enter.
//!
//! Words are read with one load and changed with one compare-and-swap. Whoever loses a race leaves it: what was to be
//! noted is noted with the next packet. Two CPUs that enter the same connection at once may leave two words, of which
//! the one that is not found times out.
#![allow(
    unsafe_code,
    reason = "words of the map are shared with other CPUs and with the daemon"
)]

use core::ptr::{addr_of_mut, null_mut};

use lb_common::{FlowBucket, FlowClock, FlowWord, Places, WORDS_PER_BUCKET, flow_state};

use crate::{
    atomic, maps,
    opaque::{is_less, minimum, moved},
    packet::Packet,
};

/// A word of the table, and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    bucket: *mut FlowBucket,
    /// Which word of its bucket it is.
    pub(crate) way: u64,
    /// What it says.
    pub(crate) word: FlowWord,
}

/// The word of the connection that has these places, or [`Found::NOTHING`].
#[inline(always)]
pub(crate) fn find(packet: &Packet, places: Places) -> Found {
    let found = find_in(packet, places.first, places.first_tag);
    if found.is_something() {
        return found;
    }
    find_in(packet, places.second, places.second_tag)
}

#[inline(always)]
fn find_in(packet: &Packet, bucket: u32, tag: u64) -> Found {
    let Some(bucket) = maps::flow_bucket(bucket) else {
        return Found::NOTHING;
    };
    for way in 0..WORDS_PER_BUCKET as u64 {
        let word = read(bucket, way);
        if word.tag() == tag {
            // The verifier would follow all that comes for each of the ways.
            let way = packet.forget(way) & (WORDS_PER_BUCKET as u64 - 1);
            return Found { bucket, way, word };
        }
    }
    Found::NOTHING
}

impl Found {
    /// No word. (Not the `None` of an option, of which the compiler may store what was never written: the verifier
    /// refuses that.)
    const NOTHING: Self = Self {
        bucket: null_mut(),
        way: 0,
        word: FlowWord::EMPTY,
    };

    /// Whether there is a word.
    #[inline(always)]
    pub(crate) fn is_something(&self) -> bool {
        self.word != FlowWord::EMPTY
    }

    /// Replaces the word, unless it has changed since it was found. Returns whether it was replaced.
    #[inline(always)]
    pub(crate) fn change(&self, word: FlowWord) -> bool {
        swap(self.bucket, self.way, self.word, word)
    }
}

/// The slot, among all words of the table, of the one that has this tag and is in this way of its bucket.
#[inline(always)]
pub(crate) fn slot(places: Places, tag: u64, way: u64) -> u32 {
    let bucket = if tag == places.first_tag {
        places.first
    } else {
        places.second
    };
    bucket * WORDS_PER_BUCKET as u32 + way as u32
}

/// Enters a connection whose word, with the tag of its first place, is `word`, in place of whoever can be spared.
/// Returns whose place it has, which may be an empty one; `None` if it is not in: all are wanted.
#[inline(always)]
pub(crate) fn enter(places: Places, word: FlowWord, now: u64) -> Option<FlowWord> {
    let enter = || match enter_flow(u64::from(places.first), u64::from(places.second), word.0, now) {
        REFUSED => None,
        left => Some(FlowWord(left)),
    };
    // Another CPU may have been faster: once, hardly twice.
    enter().or_else(enter)
}

/// What [`enter_flow`] returns if the connection is not in: no word.
const REFUSED: u64 = u64::MAX;

/// [`enter`], by a function that others could call: the kernel verifies such a one by itself, once
/// (`kernel/bpf/verifier.c`, `do_check_subprogs`; Linux 5.6). Returns the word whose place it has, or [`REFUSED`].
///
/// It goes to its first bucket while half of that is free, else to the one with fewer in use: what decides how full the
/// table can be before anybody is refused.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn enter_flow(first: u64, second: u64, word: u64, now: u64) -> u64 {
    let Some(bucket) = maps::flow_bucket(first as u32) else {
        return REFUSED;
    };
    let Some(clock) = maps::flow_clock() else {
        return REFUSED;
    };
    let here = survey(bucket, clock, now);
    let word = FlowWord(word);
    if here.in_use <= WORDS_PER_BUCKET as u64 / 2 {
        return take(bucket, here, word);
    }
    let Some(other) = maps::flow_bucket(second as u32) else {
        return REFUSED;
    };
    let there = survey(other, clock, now);
    if there.load() < here.load() {
        let tag = word.tag() | 1;
        let word = FlowWord::new(tag, word.state(), word.seen(), word.slot());
        return take(other, there, word);
    }
    take(bucket, here, word)
}

/// Puts `word` in the place of the one that can be spared best, if one can.
#[inline(always)]
fn take(bucket: *mut FlowBucket, survey: Survey, word: FlowWord) -> u64 {
    let way = survey.best & (WORDS_PER_BUCKET as u64 - 1);
    // A datagram makes way for all but datagrams.
    let kept = if word.state() == flow_state::DATAGRAM {
        NASCENT
    } else {
        NASCENT + YOUNGER
    };
    if survey.best < kept << RANK_SHIFT && swap(bucket, way, survey.spared, word) {
        return survey.spared.0;
    }
    REFUSED
}

/// Who is in a bucket.
#[derive(Clone, Copy)]
struct Survey {
    /// Connections that are established, or that begin just now.
    in_use: u64,
    /// Those that are established.
    established: u64,
    /// How badly the one that can be spared best is wanted, and its way in the lowest three bits.
    best: u64,
    /// The word of that one.
    spared: FlowWord,
}

impl Survey {
    /// What makes the other bucket the better one.
    #[inline(always)]
    const fn load(&self) -> u64 {
        self.in_use << 8 | self.established
    }
}

/// How badly a word is wanted: its rank, and how recently it was seen.
const RANK_SHIFT: u32 = 12 + WAY_BITS;
const WAY_BITS: u32 = WORDS_PER_BUCKET.ilog2();
/// Whoever has timed out.
const OVER: u64 = 1;
/// Who has shown one datagram, which proves nothing.
const DATAGRAM: u64 = 2;
/// Who has shown one SYN, which proves no more; but a flood of datagrams is a TCP client's no business.
const NASCENT: u64 = 3;
const CLOSING: u64 = 4;
/// By so much those who are young are wanted more: TCP clients' places are given away for nobody's, be it a newcomer's.
/// Who finds no place begins an episode, and all are served.
const YOUNGER: u64 = 3;
/// Who is established: never given away for another.
const ESTABLISHED: u64 = 7;

/// The rank of each state, four bits each; empty words have 0.
const RANKS: u64 = NASCENT << (4 * flow_state::NASCENT)
    | ESTABLISHED << (4 * flow_state::ESTABLISHED)
    | CLOSING << (4 * flow_state::CLOSING)
    | DATAGRAM << (4 * flow_state::DATAGRAM)
    | ESTABLISHED << (4 * flow_state::DATAGRAMS);

/// A connection whose age is less than this (nanoseconds; a second more than it is) is young: it may yet be established,
/// or its last segments may be under way.
const YOUNG: u64 = 5_000_000_000;

/// Looks at a bucket. Without a branch: the verifier would follow both ways of each, for each of the words.
#[inline(always)]
fn survey(bucket: *mut FlowBucket, clock: &FlowClock, now: u64) -> Survey {
    let mut survey = Survey {
        in_use: 0,
        established: 0,
        best: u64::MAX >> 1,
        spared: FlowWord::EMPTY,
    };
    let mut way = 0;
    // Else the compiler would write it out eight times, with all that it has computed on the stack.
    while way < moved(WORDS_PER_BUCKET as u64) & 0xf {
        let word = read(bucket, way & (WORDS_PER_BUCKET as u64 - 1));
        let state = word.state();
        let time = clock.of(state);
        let age = time.age(word.seen(), now);
        let rank = RANKS >> (4 * state) & 0xf;
        let over = is_less(u64::from(time.timeout), age);
        let established = is_less(ESTABLISHED - 1, rank) & !over;
        let young =
            is_less(age << (time.shift & 63), YOUNG) & is_less(rank, ESTABLISHED) & is_less(OVER, rank);
        survey.established += established;
        survey.in_use += established | young & is_less(rank, CLOSING) & !over;
        let rank = rank + (YOUNGER & 0_u64.wrapping_sub(young));
        let rank = moved(rank & over.wrapping_sub(1) | OVER & 0_u64.wrapping_sub(over));
        let wanted = rank << RANK_SHIFT | (FlowWord::SEEN_MASK - age) << WAY_BITS | way;
        let (best, mask) = minimum(survey.best, wanted);
        survey.best = best;
        survey.spared = FlowWord(survey.spared.0 ^ (survey.spared.0 ^ word.0) & mask);
        way += 1;
    }
    survey
}

#[inline(always)]
fn read(bucket: *mut FlowBucket, way: u64) -> FlowWord {
    // SAFETY: `bucket` points to an entry of the map, and `way` is below its length; one load reads a whole word.
    unsafe { word_at(bucket, way).read_volatile() }
}

/// Replaces a word. Returns whether it was still `present`.
#[inline(always)]
fn swap(bucket: *mut FlowBucket, way: u64, present: FlowWord, word: FlowWord) -> bool {
    // SAFETY: as in `read`; words are eight bytes and aligned, and all others change them like this, too.
    unsafe { atomic::compare_and_swap(word_at(bucket, way).cast(), present.0, word.0) }
}

/// # Safety
///
/// `bucket` points to a bucket, and `way` is one of its words.
#[inline(always)]
unsafe fn word_at(bucket: *mut FlowBucket, way: u64) -> *mut FlowWord {
    // SAFETY: the caller's.
    unsafe { addr_of_mut!((*bucket).words).cast::<FlowWord>().add(way as usize) }
}
