//! The XDP program of lbd: what happens to a packet, before the kernel's network stack sees it.
//!
//! A packet arrives. [`parse`] finds out what it is; what is for none of our addresses ends there. [`flow`] looks up
//! what is known of the connection, [`service`] the virtual service that it is for, [`frame`] whether it was sent to
//! this node, and by nobody who is blocked. The [`lease`] tells whether this node is entitled to the virtual address
//! right now. A connection that is known keeps its real server; for a new one, [`schedule`] names a real server, and
//! the flow is remembered. [`forward`] takes one hop, writes two link-layer addresses, counts, and sends the packet
//! off. Beside the road: [`reset`] answers segments of connections that nobody remembers, [`mod@unreachable`] what can
//! go nowhere, [`icmp`] and [`fragment`] find the connection of what carries no ports of its own, and [`advertisement`]
//! hears a successor. Anything that is not ours passes.
//!
//! # The kernel it needs
//!
//! Linux 5.15, the first long-term kernel that has everything used here (tests run on 6.1, 6.12 and 6.18):
//!
//! | since | what |
//! | --- | --- |
//! | 4.18 | `bpf_xdp_adjust_tail`, BTF of maps |
//! | 5.2 | constants that the verifier knows (tracing costs nothing when off), programs of a million verified steps |
//! | 5.3 | bounded loops |
//! | 5.5 | arrays that are mapped into the daemon |
//! | 5.6 | `bpf_jiffies64`, functions that are verified by themselves |
//! | 5.8 | ring buffers (the packet trace), `bpf_ktime_get_boot_ns` |
//! | 5.9 | `bpf_link` for XDP |
//! | 5.12 | atomic fetch-and-add (the schedulers' cursors) and compare-and-swap (the words of connections) |
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]
#![cfg_attr(
    target_arch = "bpf",
    allow(internal_features, reason = "atomic operations have no other names here")
)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics, asm_experimental_arch))]

// The log macros expand to paths that begin with this name: see `trace`.
extern crate self as aya_log_ebpf;

mod access;
mod advertisement;
mod answer;
mod atomic;
mod begin;
mod clock;
mod departure;
mod episode;
mod extensions;
mod family;
mod flow;
mod forward;
mod fragment;
mod frame;
mod headers;
mod icmp;
mod lease;
mod maps;
mod opaque;
mod outcome;
mod packet;
mod parse;
mod parsed;
mod policy;
mod ports;
mod reply;
mod reset;
mod schedule;
mod sctp;
mod service;
mod trace;
mod unreachable;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use lb_common::Verdict;

pub(crate) use crate::trace::macro_support;
use crate::{
    advertisement::Group,
    family::{Family, V4},
    flow::{Known, Memory},
    headers::ether_type,
    outcome::Outcome,
    packet::Packet,
    parse::Link,
    parsed::{Headers, Parsed, Segment},
};

/// What the kernel calls for each packet.
#[xdp]
fn lbd(context: XdpContext) -> u32 {
    let mut packet = Packet::new(context);
    let mut outcome = receive(&mut packet);
    if outcome.goes_on() {
        outcome = go_on(&mut packet, outcome);
    }
    maps::count_outcome(outcome);
    trace::packet(&packet, outcome);
    outcome.action()
}

/// What could not be done where it was found out that it is wanted ([`Outcome`]).
#[inline(always)]
fn go_on(packet: &mut Packet, outcome: Outcome) -> Outcome {
    let mut outcome = outcome.forgotten(packet);
    if outcome.is_named() {
        outcome = flow::name(packet, outcome);
    }
    outcome = access::judged(packet, outcome);
    if outcome.is_begin() {
        outcome = begin::connection(packet, outcome);
    }
    if outcome.is_sent() {
        outcome = forward::otherwise(packet, outcome.forgotten(packet));
    }
    if outcome.is_answer() {
        outcome = answer::send(packet, outcome.forgotten(packet));
    }
    outcome
}

/// The story of a packet, by what the link layer says it is.
#[inline(always)]
fn receive(packet: &mut Packet) -> Outcome {
    let Some(link) = parse::link(packet) else {
        return Outcome::pass(Verdict::PassNotIp);
    };
    match link.ether_type {
        ether_type::IPV4 => ipv4(packet, link),
        ether_type::IPV6 => ipv6(packet, link),
        ether_type::ARP => match parse::arp(packet, link) {
            Some(target) => lease::answer::<V4>(packet, target),
            None => Outcome::pass(Verdict::PassNotOurs),
        },
        _ => Outcome::pass(Verdict::PassNotIp),
    }
}

/// Inlined, and IPv6 not: the kernel allows 512 bytes of stack along each chain of calls (before Linux 6.8 it rounds
/// each function's up to 32), which the two in one function would exceed. A call costs 6 ns of about 90 where the
/// kernel's mitigations slow returns down.
#[inline(always)]
fn ipv4(packet: &mut Packet, link: Link) -> Outcome {
    let parsed = parse::ipv4(packet, link.network);
    balance(packet, link.network, parsed)
}

#[inline(never)]
fn ipv6(packet: &mut Packet, link: Link) -> Outcome {
    let parsed = parse::ipv6(packet, link.network);
    balance(packet, link.network, parsed)
}

/// The story of an IP packet.
#[inline(always)]
fn balance<F: Group>(packet: &mut Packet, network: usize, parsed: Parsed<F>) -> Outcome {
    let headers = match parsed {
        Parsed::Question(target) => return lease::answer::<F>(packet, target),
        Parsed::Advertisement(start, end) => return advertisement::receive::<F>(packet, network, start, end),
        Parsed::Connection(headers) => headers,
        Parsed::Fragment(protocol, id) => return fragment::follow::<F>(packet, network, protocol, id),
        Parsed::TooBig(message) => {
            forward::narrow::<F>(packet, message);
            return lease::without_service::<F>(packet, network);
        }
        Parsed::Other => return lease::without_service::<F>(packet, network),
        Parsed::Truncated => return lease::unusable::<F>(packet, network, Verdict::DropMalformed),
        Parsed::Malformed => return Outcome::drop(Verdict::DropMalformed),
    };
    let network = headers.network;
    if !maps::may_be_virtual(&F::virtual_address(&headers.key)) {
        return Outcome::pass(Verdict::PassNotOurs);
    }
    let known = flow::find::<F>(packet, &headers.key);
    let Some(lease) = service::lease::<F>(&headers.key, &known) else {
        return lease::without_service::<F>(packet, network);
    };
    if let Some(refusal) = frame::refusal_of_client(packet, network) {
        return refusal;
    }
    let now = clock::now();
    if let Some(refusal) = lease::refusal(lease, now) {
        return refusal;
    }
    if headers.segment == Segment::ERROR {
        return match (known.memory(), known.target()) {
            (Memory::Known, Some(target)) => {
                forward::to::<F>(packet, network, target, Verdict::ForwardIcmpError)
            }
            _ => lease::without_service::<F>(packet, network),
        };
    }
    if headers.segment == Segment::STRAY {
        return Outcome::drop(Verdict::DropStray);
    }
    if headers.hop_limit <= 1 {
        return headers.answer(Verdict::AnswerTimeExceeded);
    }
    let verdict = match flow::recall(packet, &known, headers.segment, now) {
        Memory::Known => return go_on_with::<F>(packet, &headers, lease, &known),
        Memory::Established => {
            let outcome = go_on_with::<F>(packet, &headers, lease, &known);
            return headers.name(outcome);
        }
        Memory::Unresolved => return Outcome::drop(Verdict::DropUnresolved),
        Memory::Waiting => return Outcome::drop(Verdict::DropRealServerDown),
        Memory::Unknown if headers.segment.opens() || policy::opens(&headers) => Verdict::ForwardNew,
        Memory::Lost if headers.segment.opens() => Verdict::ForwardRescheduled,
        Memory::Unknown => Verdict::ResetUnknownFlow,
        Memory::Lost => return headers.answer(Verdict::ResetRealServerGone),
    };
    known.begin(headers.begin(verdict))
}

/// The end of a packet of a known connection.
#[inline(always)]
fn go_on_with<F: Family>(packet: &mut Packet, headers: &Headers<F>, lease: u32, known: &Known) -> Outcome {
    let Some(target) = known.target() else {
        return Outcome::drop(Verdict::DropUnresolved);
    };
    if headers.is_first_fragment {
        let protocol = F::protocol(&headers.key) as u8;
        fragment::remember::<F>(packet, headers.network, protocol, lease, target.slot);
    }
    forward::to::<F>(packet, headers.network, target, Verdict::ForwardFlow)
}

/// The licence that the kernel asks for: some helpers are for GPL-compatible programs only.
#[allow(unsafe_code, reason = "the kernel finds the licence by its section")]
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The compiler wants one; the verifier would refuse a program that could reach it.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The program runs in the kernel; for any other target this only lets the compiler, clippy and rustdoc read it.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!(
        "lb-ebpf runs in the kernel: build it with `cargo xtask build-ebpf`, and let `lbd run` load it"
    );
}
