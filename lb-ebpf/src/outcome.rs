//! How a packet's story ends: a verdict for the books, an action for the kernel.

use aya_ebpf::bindings::xdp_action;
use lb_common::Verdict;

/// A [`Verdict`] and the XDP action that carries it out, in one register.
#[repr(transparent)]
#[derive(Clone, Copy)]
#[must_use]
pub(crate) struct Outcome(u32);

impl Outcome {
    const VERDICT_SHIFT: u32 = 8;

    #[inline(always)]
    const fn new(verdict: Verdict, action: u32) -> Self {
        Self((verdict as u32) << Self::VERDICT_SHIFT | action)
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

    /// The verdict's number.
    #[inline(always)]
    pub(crate) const fn verdict(self) -> u32 {
        self.0 >> Self::VERDICT_SHIFT
    }

    /// Whether the verdict is `verdict`.
    #[inline(always)]
    pub(crate) const fn is(self, verdict: Verdict) -> bool {
        self.verdict() == verdict as u32
    }

    /// What the program returns.
    #[inline(always)]
    pub(crate) const fn action(self) -> u32 {
        self.0 & ((1 << Self::VERDICT_SHIFT) - 1)
    }
}
