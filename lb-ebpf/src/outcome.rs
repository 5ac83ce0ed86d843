//! How a packet's story ends: a verdict for the books, an action for the kernel.

use aya_ebpf::bindings::xdp_action;
use lb_common::Verdict;

use crate::{packet::Packet, parsed::Segment};

/// A [`Verdict`], the XDP action that carries it out, and for a packet whose story is not at its end, where its headers
/// are: all in one register.
///
/// A new connection and an answer are begun where the program begins, not where it is found out that they are wanted:
/// the stack that the kernel allows has no room for all of it.
#[repr(transparent)]
#[derive(Clone, Copy)]
#[must_use]
pub(crate) struct Outcome(u64);

impl Outcome {
    const VERDICT_SHIFT: u32 = 8;
    const FLAGS_SHIFT: u32 = 16;
    /// A connection is to begin.
    const BEGINS: u64 = 1 << 16;
    /// A reply is to be built.
    const ANSWERS: u64 = 1 << 17;
    /// A connection is to be named.
    const NAMES: u64 = 1 << 18;
    /// The packet is the first one of fragments.
    const IS_FIRST_FRAGMENT: u64 = 1 << 19;
    /// The table has a word for the connection.
    const HAS_WORD: u64 = 1 << 20;
    /// The real server is not reached by direct routing.
    const SENDS: u64 = 1 << 21;
    /// The transport protocol, in eight bits. (As its number, for what a flag is turned into by a branch can come out
    /// wrong on Linux 6.1: see [`crate::flow::recall`].)
    const PROTOCOL_SHIFT: u32 = 24;
    /// That word is another connection's.
    const IS_FOREIGN: u64 = 1 << 23;
    /// The action is in the bits below.
    const ACTION_BITS: u32 = 4;
    /// What the packet does in its connection.
    const SEGMENT_SHIFT: u32 = Self::ACTION_BITS;
    const NETWORK_SHIFT: u32 = 32;
    const TRANSPORT_SHIFT: u32 = 48;
    /// In the place of the transport header.
    const SLOT_SHIFT: u32 = Self::TRANSPORT_SHIFT;

    #[inline(always)]
    const fn new(verdict: Verdict, action: u32) -> Self {
        Self((verdict as u64) << Self::VERDICT_SHIFT | action as u64)
    }

    /// The kernel's network stack goes on with the packet.
    #[inline(always)]
    pub(crate) const fn pass(verdict: Verdict) -> Self {
        Self::new(verdict, xdp_action::XDP_PASS)
    }

    /// The packet ends here.
    #[inline(always)]
    pub(crate) const fn drop(verdict: Verdict) -> Self {
        Self::new(verdict, xdp_action::XDP_DROP)
    }

    /// The packet leaves by the interface that it came in by.
    #[inline(always)]
    pub(crate) const fn transmit(verdict: Verdict) -> Self {
        Self::new(verdict, xdp_action::XDP_TX)
    }

    /// A reply is to be built in place of the packet, whose IP header is at `network`, and whose header of this
    /// `protocol` is at `transport`; it leaves by the interface that the packet came in by.
    #[inline(always)]
    pub(crate) const fn answer(verdict: Verdict, network: usize, transport: usize, protocol: u32) -> Self {
        Self::transmit(verdict).about(network, transport, Self::ANSWERS | Self::of(protocol))
    }

    /// The same, where the packet is too long for a way that takes `mtu` bytes.
    #[inline(always)]
    pub(crate) const fn too_big(network: usize, mtu: usize) -> Self {
        Self::answer(Verdict::AnswerTooBig, network, mtu, 0)
    }

    /// Nobody remembers the connection of the packet, a `segment` of this protocol, or not as one that goes on; other
    /// fragments of it follow if it `is_first_fragment`. If it cannot begin one, the verdict is this one.
    #[inline(always)]
    pub(crate) const fn begin(
        verdict: Verdict,
        network: usize,
        transport: usize,
        protocol: u32,
        segment: Segment,
        is_first_fragment: bool,
    ) -> Self {
        let flags = Self::of(protocol)
            | (is_first_fragment as u64 * Self::IS_FIRST_FRAGMENT)
            | segment.number() << Self::SEGMENT_SHIFT;
        Self::drop(verdict).about(network, transport, Self::BEGINS | flags)
    }

    /// The packet, whose IP header is at `network`, goes to the real server in `slot`, but not by direct routing.
    #[inline(always)]
    pub(crate) const fn send(verdict: Verdict, network: usize, slot: u32) -> Self {
        let Self(outcome) = Self::drop(verdict).about(network, 0, Self::SENDS);
        Self(outcome | (slot as u64) << Self::SLOT_SHIFT)
    }

    /// The same, but now to the real server in `slot`, if it does not go by direct routing; else the end.
    #[inline(always)]
    pub(crate) const fn sent_to(self, slot: u32) -> Self {
        if !self.is_sent() {
            return self.ended();
        }
        let kept = self.ended().0 | Self::SENDS | (self.network() as u64) << Self::NETWORK_SHIFT;
        Self(kept | (slot as u64) << Self::SLOT_SHIFT)
    }

    /// The same, if the table of connections `has_word` for it, or has none; `is_foreign` says that it is another
    /// connection's.
    #[inline(always)]
    pub(crate) const fn with_word(self, has_word: bool, is_foreign: bool) -> Self {
        let flags = (has_word as u64 * Self::HAS_WORD) | (is_foreign as u64 * Self::IS_FOREIGN);
        Self(self.0 | flags)
    }

    /// The same; and the connection of the packet has shown that it goes on. (Its word has the slot of its real
    /// server.)
    #[inline(always)]
    pub(crate) const fn named(self, network: usize, transport: usize, protocol: u32) -> Self {
        let Self(outcome) = self;
        Self(outcome & u32::MAX as u64).about(network, transport, Self::NAMES | Self::of(protocol))
    }

    #[inline(always)]
    const fn about(self, network: usize, transport: usize, flags: u64) -> Self {
        let headers = (network as u64) << Self::NETWORK_SHIFT | (transport as u64) << Self::TRANSPORT_SHIFT;
        Self(self.0 | headers | flags)
    }

    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    pub(crate) fn forgotten(self, packet: &Packet) -> Self {
        Self(packet.forget(self.0))
    }

    /// Whether the story goes on.
    #[inline(always)]
    pub(crate) const fn goes_on(self) -> bool {
        self.network() != 0
    }

    /// Whether a connection is to begin.
    #[inline(always)]
    pub(crate) const fn is_begin(self) -> bool {
        self.0 & Self::BEGINS != 0
    }

    /// Whether a connection is to be named.
    #[inline(always)]
    pub(crate) const fn is_named(self) -> bool {
        self.0 & Self::NAMES != 0
    }

    /// Whether the packet goes to its real server, but not by direct routing.
    #[inline(always)]
    pub(crate) const fn is_sent(self) -> bool {
        self.0 & Self::SENDS != 0
    }

    /// The slot of that real server.
    #[inline(always)]
    pub(crate) const fn slot(self) -> u32 {
        (self.0 >> Self::SLOT_SHIFT) as u32
    }

    /// Whether a reply is to be built.
    #[inline(always)]
    pub(crate) const fn is_answer(self) -> bool {
        self.0 & Self::ANSWERS != 0
    }

    /// Whether a connection is to begin, or a reply to be built.
    #[inline(always)]
    pub(crate) const fn is_begin_or_answer(self) -> bool {
        self.0 & (Self::BEGINS | Self::ANSWERS) != 0
    }

    /// The protocol of a packet whose connection is to begin or to be named, or that is to be answered.
    #[inline(always)]
    pub(crate) const fn protocol(self) -> u8 {
        (self.0 >> Self::PROTOCOL_SHIFT) as u8
    }

    /// The protocol in its place.
    #[inline(always)]
    const fn of(protocol: u32) -> u64 {
        (protocol as u64 & 0xff) << Self::PROTOCOL_SHIFT
    }

    /// Whether fragments follow a packet whose connection is to begin.
    #[inline(always)]
    pub(crate) const fn is_first_fragment(self) -> bool {
        self.0 & Self::IS_FIRST_FRAGMENT != 0
    }

    /// Whether the table has a word for a connection that is to begin.
    #[inline(always)]
    pub(crate) const fn has_word(self) -> bool {
        self.0 & Self::HAS_WORD != 0
    }

    /// Whether that word is another connection's.
    #[inline(always)]
    pub(crate) const fn is_foreign(self) -> bool {
        self.0 & Self::IS_FOREIGN != 0
    }

    /// Whether a connection that is to begin may be a new one.
    #[inline(always)]
    pub(crate) const fn opens(self) -> bool {
        !self.is(Verdict::ResetUnknownFlow)
    }

    /// What a packet does whose connection is to begin.
    #[inline(always)]
    pub(crate) const fn segment(self) -> Segment {
        Segment::numbered(self.0 >> Self::SEGMENT_SHIFT & 7)
    }

    /// The same, at its end.
    #[inline(always)]
    pub(crate) const fn ended(self) -> Self {
        Self(self.0 & ((1 << Self::FLAGS_SHIFT) - 1))
    }

    /// Where the IP header is of a packet whose story goes on; else 0.
    #[inline(always)]
    pub(crate) const fn network(self) -> usize {
        (self.0 >> Self::NETWORK_SHIFT & 0x7fff) as usize
    }

    /// Where the transport header is of a packet whose story goes on.
    #[inline(always)]
    pub(crate) const fn transport(self) -> usize {
        (self.0 >> Self::TRANSPORT_SHIFT & 0x7fff) as usize
    }

    /// How long a packet may be that was too long.
    #[inline(always)]
    pub(crate) const fn mtu(self) -> u16 {
        self.transport() as u16
    }

    /// The end of a packet with this verdict that leaves by the interface that it came in by.
    #[inline(always)]
    pub(crate) const fn transmitted(self) -> Self {
        self.with(xdp_action::XDP_TX)
    }

    /// The end of a packet with this verdict that leaves by the interface that `bpf_redirect` was told.
    #[inline(always)]
    pub(crate) const fn redirected(self) -> Self {
        self.with(xdp_action::XDP_REDIRECT)
    }

    #[inline(always)]
    const fn with(self, action: u32) -> Self {
        Self(self.ended().0 >> Self::VERDICT_SHIFT << Self::VERDICT_SHIFT | action as u64)
    }

    /// All of it, for a function that the kernel verifies by itself.
    #[inline(always)]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`Self::to_bits`] made a number.
    #[inline(always)]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The verdict's number.
    #[inline(always)]
    pub(crate) const fn verdict(self) -> u32 {
        (self.0 as u32) >> Self::VERDICT_SHIFT & 0xff
    }

    /// Whether the verdict is `verdict`.
    #[inline(always)]
    pub(crate) const fn is(self, verdict: Verdict) -> bool {
        self.verdict() == verdict as u32
    }

    /// What the program returns.
    #[inline(always)]
    pub(crate) const fn action(self) -> u32 {
        self.0 as u32 & ((1 << Self::ACTION_BITS) - 1)
    }
}
