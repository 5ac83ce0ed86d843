//! What several CPUs do to one number at once. `core` has it for this target under the compiler's own names only.
#![allow(unsafe_code, reason = "numbers in maps are reached through pointers")]

/// Adds to a number that other CPUs add to as well, and returns what it was.
///
/// # Safety
///
/// `counter` points to eight aligned bytes that are changed like this only.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) unsafe fn fetch_add(counter: *mut u64, value: u64) -> u64 {
    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    // core has no AtomicU64::fetch_add for this target; and of a relaxed addition LLVM 22 loses the result (it emits
    // the instruction that does not fetch).
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, value) }
}

/// Adds to a number that other CPUs add to as well, and returns what it was.
///
/// # Safety
///
/// `counter` points to eight aligned bytes that are changed like this only.
#[cfg(not(target_arch = "bpf"))]
pub(crate) unsafe fn fetch_add(counter: *mut u64, value: u64) -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the caller's.
    unsafe { AtomicU64::from_ptr(counter) }.fetch_add(value, Ordering::Relaxed)
}

/// Replaces a number that other CPUs may change too, if it is still `present`. Returns whether it was.
///
/// # Safety
///
/// `number` points to eight aligned bytes that are changed like this only.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) unsafe fn compare_and_swap(number: *mut u64, present: u64, value: u64) -> bool {
    use core::intrinsics::{AtomicOrdering, atomic_cxchg};
    // SAFETY: the caller's.
    let (found, _) = unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(number, present, value)
    };
    found == present
}

/// Replaces a number that other CPUs may change too, if it is still `present`. Returns whether it was.
///
/// # Safety
///
/// `number` points to eight aligned bytes that are changed like this only.
#[cfg(not(target_arch = "bpf"))]
pub(crate) unsafe fn compare_and_swap(number: *mut u64, present: u64, value: u64) -> bool {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the caller's.
    let number = unsafe { AtomicU64::from_ptr(number) };
    number
        .compare_exchange(present, value, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
}
