//! The bytes of a packet, and the only way to them.
//!
//! Headers are read and written whole, by value: a bounds check, then one unaligned copy, which the compiler reduces
//! to the fields that are used. No reference into packet memory exists, so nothing can outlive a change of its bounds.
#![allow(
    unsafe_code,
    reason = "packet memory is reached through the two pointers of the XDP context"
)]

use core::{hint::black_box, ptr};

use aya_ebpf::{
    bindings::xdp_md,
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use lb_common::checksum;

use crate::headers::{VlanTag, ethernet};

/// What may be copied out of and into a packet.
///
/// # Safety
///
/// Any bit pattern must be a valid value, and there must be no padding.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: bytes.
unsafe impl Plain for u8 {}
// SAFETY: bytes.
unsafe impl<const N: usize> Plain for [u8; N] {}
// SAFETY: four bytes.
unsafe impl Plain for u32 {}
// SAFETY: bytes.
unsafe impl<const N: usize> Plain for [u32; N] {}

/// A 16-bit number in network order, at any address.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Be16(u16);

impl Be16 {
    #[inline(always)]
    pub(crate) const fn new(value: u16) -> Self {
        Self(value.to_be())
    }

    #[inline(always)]
    pub(crate) const fn get(self) -> u16 {
        u16::from_be(self.0)
    }
}

/// A 32-bit number in network order, at any address.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Be32(u32);

impl Be32 {
    #[inline(always)]
    pub(crate) const fn new(value: u32) -> Self {
        Self(value.to_be())
    }

    #[inline(always)]
    pub(crate) const fn get(self) -> u32 {
        u32::from_be(self.0)
    }
}

/// No header stack that we read is longer; the verifier wants offsets bounded.
const OFFSET_LIMIT: usize = 1 << 11;

/// The packet's bounds, and an address within them, as the verifier wants them computed.
///
/// Three instructions that the compiler must not see through. It would compute the address again after the bounds
/// check (the verifier knows only the checked one as safe), and it would keep the end in half a register when it runs
/// out of them (for the loads are 32 bits wide; the verifier knows that they yield pointers).
#[cfg(target_arch = "bpf")]
mod bounds {
    use core::arch::asm;

    use aya_ebpf::programs::XdpContext;

    #[inline(always)]
    pub(super) fn start(context: &XdpContext) -> usize {
        let start: usize;
        // SAFETY: reads `xdp_md::data` of the context that the kernel called us with.
        unsafe {
            asm!("{0} = *(u32 *)({1} + 0)", out(reg) start, in(reg) context.ctx, options(pure, readonly, nostack));
        }
        start
    }

    #[inline(always)]
    pub(super) fn end(context: &XdpContext) -> usize {
        let end: usize;
        // SAFETY: reads `xdp_md::data_end` of the context that the kernel called us with.
        unsafe {
            asm!("{0} = *(u32 *)({1} + 4)", out(reg) end, in(reg) context.ctx, options(pure, readonly, nostack));
        }
        end
    }

    #[inline(always)]
    pub(super) fn add_and_subtract(number: u64, unknown: u64) -> u64 {
        let mut same = number;
        // SAFETY: an addition and a subtraction, which may wrap.
        unsafe {
            asm!("{0} += {1}", "{0} -= {1}", inout(reg) same, in(reg) unknown, options(pure, nomem, nostack));
        }
        same
    }

    #[inline(always)]
    pub(super) fn add(start: usize, offset: usize) -> usize {
        let mut address = start;
        // SAFETY: an addition.
        unsafe {
            asm!("{0} += {1}", inout(reg) address, in(reg) offset, options(pure, nomem, nostack));
        }
        address
    }
}

/// The same for any other target, where the program is only read, not run.
#[cfg(not(target_arch = "bpf"))]
mod bounds {
    use aya_ebpf::programs::XdpContext;

    pub(super) fn start(context: &XdpContext) -> usize {
        context.data()
    }

    pub(super) fn end(context: &XdpContext) -> usize {
        context.data_end()
    }

    pub(super) fn add_and_subtract(number: u64, _unknown: u64) -> u64 {
        number
    }

    pub(super) fn add(start: usize, offset: usize) -> usize {
        start + offset
    }
}

/// A received packet.
pub(crate) struct Packet {
    context: XdpContext,
}

impl Packet {
    #[inline(always)]
    pub(crate) const fn new(context: XdpContext) -> Self {
        Self { context }
    }

    /// The index of the interface that the packet arrived on.
    #[inline(always)]
    pub(crate) fn interface(&self) -> u32 {
        self.context.ingress_ifindex() as u32
    }

    /// Bytes, link-layer header included.
    #[inline(always)]
    pub(crate) fn length(&self) -> usize {
        bounds::end(&self.context) - bounds::start(&self.context)
    }

    /// The same number, of which the verifier knows nothing. It follows the program for each number that it knows a
    /// variable may have; one that has been forgotten it follows once.
    #[inline(always)]
    pub(crate) fn forget(&self, number: u64) -> u64 {
        bounds::add_and_subtract(number, u64::from(self.interface()))
    }

    /// The same offset, below 2^15, of which the verifier knows no more. (That it is checked to be less before it is
    /// used, kernels before Linux 6.8 forget when it is on the stack.)
    #[inline(always)]
    pub(crate) fn forget_offset(&self, offset: usize) -> usize {
        (self.forget(offset as u64) & 0x7fff) as usize
    }

    /// The context, for helpers and logging.
    #[inline(always)]
    pub(crate) const fn context(&self) -> &XdpContext {
        &self.context
    }

    /// The address of `offset`, if a whole `T` is there.
    #[inline(always)]
    fn at<T: Plain>(&self, offset: usize) -> Option<*mut T> {
        if offset > OFFSET_LIMIT {
            return None;
        }
        let start = bounds::add(bounds::start(&self.context), offset);
        if start + size_of::<T>() > bounds::end(&self.context) {
            return None;
        }
        Some(start as *mut T)
    }

    /// What is at `offset`, or `None` if the packet ends before it does.
    #[inline(always)]
    pub(crate) fn read<T: Plain>(&self, offset: usize) -> Option<T> {
        let pointer = self.at::<T>(offset)?;
        // SAFETY: `at` has checked that all of `T` lies within the packet, whose memory is ours for the length of
        // the program; any bytes are a valid `T`, and the copy does not care about alignment.
        Some(unsafe { ptr::read_unaligned(pointer) })
    }

    /// The version of the IP packet whose header begins at `network`, as it says itself.
    #[inline(always)]
    pub(crate) fn ip_version(&self, network: usize) -> Option<u8> {
        self.read::<u8>(network).map(|byte| byte >> 4)
    }

    /// Replaces what is at `offset`; `None` if the packet ends before `value` does.
    #[inline(always)]
    pub(crate) fn write<T: Plain>(&mut self, offset: usize, value: T) -> Option<()> {
        let pointer = self.at::<T>(offset)?;
        // SAFETY: as in `read`; `T` has no padding, so that initialised bytes are written.
        unsafe { ptr::write_unaligned(pointer, value) };
        Some(())
    }

    /// The longest stretch that [`Self::sum`] sums, in bytes: an ICMPv6 error without its IP header.
    pub(crate) const SUMMED: usize = 1280 - 40;

    /// The sum of the `length` bytes at `offset` as 16-bit numbers in network order (an odd last byte is the upper half
    /// of one), before the carries are folded in; 0 if the packet ends before they do. `length` is at least 4 and at
    /// most [`Self::SUMMED`].
    #[inline(always)]
    pub(crate) fn sum(&self, offset: usize, length: usize) -> u32 {
        sum_of_packet(self.context.ctx, offset as u64, length as u64) as u32
    }

    /// Makes room for `length` bytes before the first; `None` if the driver has none.
    #[inline(always)]
    pub(crate) fn grow(&mut self, length: usize) -> Option<()> {
        // SAFETY: the context is the one that the kernel called us with.
        match unsafe { bpf_xdp_adjust_head(self.context.ctx, -(length as i32)) } {
            0 => Some(()),
            _ => None,
        }
    }

    /// Moves addresses, tags and EtherType to the new start of the frame, `room` bytes before the old one; the IP header
    /// began at `network`, and what will be there comes before it now.
    #[inline(always)]
    pub(crate) fn move_link_layer(&mut self, room: usize, network: usize) -> Option<()> {
        (move_link_layer(self.context.ctx, room as u64, network as u64) != 0).then_some(())
    }

    /// Cuts the packet to its first `length` bytes; `None` if the driver refuses.
    #[inline(always)]
    pub(crate) fn truncate(&mut self, length: usize) -> Option<()> {
        // Else the subtraction is folded into that of the two packet pointers, in 32 bits, which the verifier refuses.
        let present = black_box(self.length());
        let delta = length as i32 - present as i32;
        // SAFETY: the context is the one that the kernel called us with.
        match unsafe { bpf_xdp_adjust_tail(self.context.ctx, delta) } {
            0 => Some(()),
            _ => None,
        }
    }
}

/// [`Packet::move_link_layer`], by a function that others could call: verified once, as [`sum_of_packet`]. Returns 0 if
/// the packet is too short.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn move_link_layer(context: *mut xdp_md, room: u64, network: u64) -> u64 {
    const LONGEST: usize = ethernet::ETHER_TYPE + 2 * size_of::<VlanTag>() + size_of::<Be16>();
    let mut packet = Packet::new(XdpContext::new(context));
    for part in 0..LONGEST / size_of::<Be16>() {
        let offset = part * size_of::<Be16>();
        if offset >= network as usize {
            break;
        }
        let Some(bytes) = packet.read::<[u8; 2]>(room as usize + offset) else {
            return 0;
        };
        if packet.write(offset, bytes).is_none() {
            return 0;
        }
    }
    1
}

/// [`Packet::sum`], by a function that others could call: the kernel verifies such a one by itself, once, and follows
/// none of its turns for each of its callers (`kernel/bpf/verifier.c`, `do_check_subprogs`; Linux 5.6).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_of_packet(context: *mut xdp_md, offset: u64, length: u64) -> u64 {
    const WORDS: usize = Packet::SUMMED / size_of::<Be32>();
    let packet = Packet::new(XdpContext::new(context));
    let (offset, length) = (offset as usize, length as usize);
    // What is left of the last word comes first: without a branch, or the turns were followed for each of its lengths.
    let rest = length % size_of::<Be32>();
    let Some(last) = packet.read::<Be32>(offset + length - size_of::<Be32>()) else {
        return 0;
    };
    let last = u64::from(last.get()) << (u32::BITS as usize - 8 * rest);
    let mut sum = u64::from(checksum::sum_of_word(last as u32));
    for word in 0..WORDS {
        let at = word * size_of::<Be32>();
        if at + size_of::<Be32>() > length {
            break;
        }
        let Some(word) = packet.read::<Be32>(offset + at) else {
            return 0;
        };
        sum += u64::from(checksum::sum_of_word(word.get()));
    }
    sum
}
