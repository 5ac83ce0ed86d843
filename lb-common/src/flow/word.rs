//! What the table remembers of a connection.

/// How many connections share a bucket.
pub const WORDS_PER_BUCKET: usize = 8;

/// A bucket of the map `FLOWS`: one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowBucket {
    /// The words, in no order; 0 for an empty one.
    pub words: [FlowWord; WORDS_PER_BUCKET],
}

const _: () = assert!(size_of::<FlowBucket>() == 64);

/// A connection in one word:
///
/// | bits | what |
/// | --- | --- |
/// | 31 to 63 | the [tag](Self::tag): 32 bits of the connection's hash, and which of its two buckets this is |
/// | 28 to 30 | the [state](Self::state) |
/// | 16 to 27 | when it was last [seen](Self::seen), in the unit of its state ([`crate::FlowTime`]) |
/// | 0 to 15 | the [slot](Self::slot) of its real server |
///
/// There is no generation in it: a slot of [`crate::maps::REALS`] is given to another server only after no word names
/// it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowWord(pub u64);

/// What a connection has shown of itself. Direct routing shows the client's packets only (IPVS's `INPUT_ONLY` table,
/// `net/netfilter/ipvs/ip_vs_proto_tcp.c`).
pub mod flow_state {
    /// No connection.
    pub const EMPTY: u64 = 0;
    /// TCP: only a SYN so far.
    pub const NASCENT: u64 = 1;
    /// TCP: the client has gone on after its SYN.
    pub const ESTABLISHED: u64 = 2;
    /// TCP: the client has sent FIN or RST. A SYN with the same ports is a new connection.
    pub const CLOSING: u64 = 3;
    /// UDP: one datagram so far.
    pub const DATAGRAM: u64 = 4;
    /// UDP: the client has gone on.
    pub const DATAGRAMS: u64 = 5;
    /// How many values there are.
    pub const COUNT: usize = 8;
}

impl FlowWord {
    const TAG_SHIFT: u32 = 31;
    const STATE_SHIFT: u32 = 28;
    const SEEN_SHIFT: u32 = 16;
    const STATE_MASK: u64 = 7;
    /// The bits of [`Self::seen`]: it wraps.
    pub const SEEN_MASK: u64 = 0xfff;
    const SLOT_MASK: u64 = 0xffff;
    /// The bits of [`Self::tag`].
    pub const TAG_BITS: u32 = u64::BITS - Self::TAG_SHIFT;

    /// No connection.
    pub const EMPTY: Self = Self(0);

    /// The word of a connection.
    #[inline(always)]
    #[must_use]
    pub const fn new(tag: u64, state: u64, seen: u64, slot: u32) -> Self {
        Self(
            tag << Self::TAG_SHIFT
                | (state & Self::STATE_MASK) << Self::STATE_SHIFT
                | (seen & Self::SEEN_MASK) << Self::SEEN_SHIFT
                | slot as u64 & Self::SLOT_MASK,
        )
    }

    /// By what a connection knows its word: [`crate::Places::first_tag`] in its first bucket, `second_tag` in its
    /// second.
    #[inline(always)]
    #[must_use]
    pub const fn tag(self) -> u64 {
        self.0 >> Self::TAG_SHIFT
    }

    /// One of [`flow_state`].
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> u64 {
        self.0 >> Self::STATE_SHIFT & Self::STATE_MASK
    }

    /// When a packet of the connection last arrived, as [`crate::FlowTime::at`] counts for its state.
    #[inline(always)]
    #[must_use]
    pub const fn seen(self) -> u64 {
        self.0 >> Self::SEEN_SHIFT & Self::SEEN_MASK
    }

    /// The slot in [`crate::maps::REALS`].
    #[inline(always)]
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 & Self::SLOT_MASK) as u32
    }

    /// The same connection with the same real server, in `state` and last seen at `seen`.
    #[inline(always)]
    #[must_use]
    pub const fn noted(self, state: u64, seen: u64) -> Self {
        Self::new(self.tag(), state, seen, self.slot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_put_into_it() {
        let tag = 0x1_2345_6789;
        let word = FlowWord::new(tag, flow_state::DATAGRAMS, 0xabc, 0xfedc);
        assert_eq!(
            (word.tag(), word.state(), word.seen(), word.slot()),
            (tag, flow_state::DATAGRAMS, 0xabc, 0xfedc)
        );
        let noted = word.noted(flow_state::CLOSING, 0x1001);
        assert_eq!(
            (noted.tag(), noted.state(), noted.seen(), noted.slot()),
            (tag, flow_state::CLOSING, 1, 0xfedc)
        );
    }
}
