//! How a packet's story ends: a verdict for the books, an action for the kernel.

use aya_ebpf::bindings::xdp_action;
use lb_common::Verdict;

use crate::packet::Packet;

/// A [`Verdict`], the XDP action that carries it out, and for a packet that is to be answered first, where its headers
/// are: all in one register.
#[repr(transparent)]
#[derive(Clone, Copy)]
#[must_use]
pub(crate) struct Outcome(u64);

impl Outcome {
    const VERDICT_SHIFT: u32 = 8;
    const NETWORK_SHIFT: u32 = 32;
    const TRANSPORT_SHIFT: u32 = 48;

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

    /// The packet leaves by the interface that `bpf_redirect` was told.
    #[inline(always)]
    pub(crate) const fn redirect(verdict: Verdict) -> Self {
        Self::new(verdict, xdp_action::XDP_REDIRECT)
    }

    /// A reply is to be built in place of the packet, whose IP header is at `network` and whose TCP or UDP header is at
    /// `transport`, and leaves by the interface that the packet came in by.
    #[inline(always)]
    pub(crate) const fn answer(verdict: Verdict, network: usize, transport: usize) -> Self {
        let Self(outcome) = Self::transmit(verdict);
        Self(outcome | (network as u64) << Self::NETWORK_SHIFT | (transport as u64) << Self::TRANSPORT_SHIFT)
    }

    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    pub(crate) fn forgotten(self, packet: &Packet) -> Self {
        Self(packet.forget(self.0))
    }

    /// Whether a reply is to be built.
    #[inline(always)]
    pub(crate) const fn is_answer(self) -> bool {
        self.network() != 0
    }

    /// The same, once the reply is there.
    #[inline(always)]
    pub(crate) const fn built(self) -> Self {
        Self(self.0 & ((1 << Self::NETWORK_SHIFT) - 1))
    }

    /// Where the IP header is of a packet that is to be answered; else 0.
    #[inline(always)]
    pub(crate) const fn network(self) -> usize {
        (self.0 >> Self::NETWORK_SHIFT & 0xffff) as usize
    }

    /// Where the TCP or UDP header is of a packet that is to be answered.
    #[inline(always)]
    pub(crate) const fn transport(self) -> usize {
        (self.0 >> Self::TRANSPORT_SHIFT) as usize
    }

    /// The verdict's number.
    #[inline(always)]
    pub(crate) const fn verdict(self) -> u32 {
        (self.0 as u32) >> Self::VERDICT_SHIFT
    }

    /// Whether the verdict is `verdict`.
    #[inline(always)]
    pub(crate) const fn is(self, verdict: Verdict) -> bool {
        self.verdict() == verdict as u32
    }

    /// What the program returns.
    #[inline(always)]
    pub(crate) const fn action(self) -> u32 {
        self.0 as u32 & ((1 << Self::VERDICT_SHIFT) - 1)
    }
}
