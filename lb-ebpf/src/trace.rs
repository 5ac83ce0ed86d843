//! One log line per packet, for those who debug: off unless the daemon sets [`TRACE_PACKETS`] when it loads the
//! object. Off, the kernel's verifier removes the code.
//!
//! The lines go through `aya-log`'s ring buffer. Its own crate for programs declares that as a legacy map, which
//! libbpf (and so `bpftool prog load`) refuses; hence `macro_support`, which is what the log macros expand to, with
//! the same map declared in BTF.
#![allow(unsafe_code, reason = "the loader finds global variables by their symbols")]

use aya_ebpf::Global;
use aya_log_ebpf_macros::info;
use lb_common::protocol;

use crate::{
    headers::{Ipv4, Ipv6, Ports, ether_type},
    outcome::Outcome,
    packet::Packet,
    parse,
};

/// Other than 0: log every packet.
#[unsafe(no_mangle)]
static TRACE_PACKETS: Global<u32> = Global::new(0);

/// Logs a packet and how its story ended. A packet answered with a reset is shown as the reset.
#[inline(always)]
pub(crate) fn packet(packet: &Packet, outcome: Outcome) {
    if TRACE_PACKETS.load() != 0 {
        line(packet, outcome);
    }
}

/// The first word of each line is the verdict's number; the daemon puts its name there.
#[inline(never)]
fn line(packet: &Packet, outcome: Outcome) {
    let Some(link) = parse::link(packet) else {
        return;
    };
    match link.ether_type {
        ether_type::IPV4 => ipv4(packet, link.network, outcome),
        ether_type::IPV6 => ipv6(packet, link.network, outcome),
        other => info!(
            packet.context(),
            "{} interface {} ethertype {:x}",
            outcome.verdict(),
            packet.interface(),
            other
        ),
    }
}

/// A line about an IP packet: with its ports, if it has any.
macro_rules! ip_line {
    ($packet:ident, $outcome:ident, $ip:ident, $protocol:expr, $transport:expr) => {
        match ports($packet, $protocol, $transport) {
            Some(ports) => info!(
                $packet.context(),
                "{} interface {} protocol {} {:i} port {} > {:i} port {}",
                $outcome.verdict(),
                $packet.interface(),
                $protocol,
                $ip.source,
                ports.source.get(),
                $ip.destination,
                ports.destination.get()
            ),
            None => info!(
                $packet.context(),
                "{} interface {} protocol {} {:i} > {:i}",
                $outcome.verdict(),
                $packet.interface(),
                $protocol,
                $ip.source,
                $ip.destination
            ),
        }
    };
}

#[inline(always)]
fn ipv4(packet: &Packet, network: usize, outcome: Outcome) {
    let Some(ip) = packet.read::<Ipv4>(network) else {
        return;
    };
    let is_later_fragment = ip.flags_and_offset.get() & Ipv4::OFFSET_MASK != 0;
    let transport = if is_later_fragment {
        None
    } else {
        Some(network + usize::from(ip.version_and_length & 0xf) * 4)
    };
    ip_line!(packet, outcome, ip, ip.protocol, transport);
}

#[inline(always)]
fn ipv6(packet: &Packet, network: usize, outcome: Outcome) {
    let Some(ip) = packet.read::<Ipv6>(network) else {
        return;
    };
    // An extension header is shown as the protocol, without ports.
    let transport = Some(network + size_of::<Ipv6>());
    ip_line!(packet, outcome, ip, ip.next_header, transport);
}

#[inline(always)]
fn ports(packet: &Packet, protocol: u8, transport: Option<usize>) -> Option<Ports> {
    if !matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP) {
        return None;
    }
    packet.read(transport?)
}

/// What the macros of `aya-log-ebpf-macros` expand to, under the path that they expect.
pub(crate) mod macro_support {
    use aya_ebpf::{Global, btf_maps::RingBuf, macros::btf_map};
    pub(crate) use aya_log_common::{
        Argument, DefaultFormatter, DisplayHint, Field, Header, IpFormatter, Level, LogValueLength,
        LowerHexFormatter,
    };

    /// The ring buffer that `aya-log` reads in the daemon.
    #[btf_map]
    pub(crate) static AYA_LOGS: RingBuf<(), { 1 << 17 }> = RingBuf::new();

    /// The most verbose level that is logged.
    #[unsafe(no_mangle)]
    pub(crate) static AYA_LOG_LEVEL: Global<u8> = Global::new(u8::MAX);

    /// Whether lines of `level` are logged.
    #[inline(always)]
    #[must_use]
    pub(crate) fn level_enabled(level: Level) -> bool {
        level as u8 <= AYA_LOG_LEVEL.load()
    }
}
