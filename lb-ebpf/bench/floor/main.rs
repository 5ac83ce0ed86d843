//! What other programs cost, for `cargo xtask bench` to compare with: no part of what lbd loads.
//!
//! [`least`] has the floors: `transmit`, `swap` and `track`. [`tracked`] is a load balancer that remembers connections
//! in an LRU hash table of the kernel, [`stateless`] one that remembers none. [`vary`] stands before whatever is
//! measured.
//!
//! Those two balancers are as small and as fast as we can make them, and do far less than lbd: IPv4 without options
//! only, no leases, no health, no hops, no resets, no fragments, no names, no clock.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]
#![cfg_attr(
    target_arch = "bpf",
    allow(internal_features, reason = "atomic fetch-and-add has no other name here")
)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![allow(unsafe_code, reason = "the least that can be done is done by hand")]

mod balancer;
mod frame;
mod least;
mod stateless;
mod tracked;
mod vary;

/// The licence that the kernel asks for.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The compiler wants one; the verifier would refuse a program that could reach it.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The programs run in the kernel; for any other target this only lets the compiler, clippy and rustdoc read them.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("floor runs in the kernel: `cargo xtask bench` builds and measures it");
}
