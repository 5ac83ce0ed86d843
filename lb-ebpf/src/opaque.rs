//! Arithmetic that the compiler must not see through: it would make branches of it, and the verifier follows both ways
//! of each.
#![allow(unsafe_code, reason = "a move between registers, in assembly")]

/// The same word, which the compiler knows nothing of.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn moved(word: u64) -> u64 {
    let same: u64;
    // SAFETY: a move from one register to another.
    unsafe { core::arch::asm!("{0} = {1}", out(reg) same, in(reg) word, options(pure, nomem, nostack)) };
    same
}

/// The same word.
#[cfg(not(target_arch = "bpf"))]
pub(crate) fn moved(word: u64) -> u64 {
    word
}

/// The lesser of two numbers below 2^63, and ones if that is the second one, else zeros.
#[inline(always)]
pub(crate) fn minimum(a: u64, b: u64) -> (u64, u64) {
    let mask = 0_u64.wrapping_sub(moved(b.wrapping_sub(a)) >> 63);
    let mask = moved(mask);
    (a ^ (a ^ b) & mask, mask)
}
