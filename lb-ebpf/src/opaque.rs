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

/// 1 if `a` is less than `b`, both below 2^63; else 0.
#[inline(always)]
pub(crate) fn is_less(a: u64, b: u64) -> u64 {
    moved(a.wrapping_sub(b)) >> 63
}

/// The same, of which the compiler does not know that it is nothing else: it would branch on it where it is one of
/// several conditions.
#[inline(always)]
pub(crate) fn less_bit(a: u64, b: u64) -> u64 {
    moved(is_less(a, b))
}

/// The number, or 0 if it is below that.
#[inline(always)]
pub(crate) fn at_least_zero(number: i64) -> u64 {
    let number = number as u64;
    number & moved(number >> 63).wrapping_sub(1)
}

/// The lesser of two numbers below 2^63, and ones if that is the second one, else zeros.
#[inline(always)]
pub(crate) fn minimum(a: u64, b: u64) -> (u64, u64) {
    let mask = 0_u64.wrapping_sub(moved(b.wrapping_sub(a)) >> 63);
    let mask = moved(mask);
    (a ^ (a ^ b) & mask, mask)
}
