//! One log line per packet, for those who debug: off unless the daemon sets [`TRACE_PACKETS`] when it loads the
//! object. Off, the kernel's verifier removes the code.
//!
//! The lines go through `aya-log`'s ring buffer. Its own crate for programs declares that as a legacy map, which
//! libbpf (and so `bpftool prog load`) refuses; hence `macro_support`, which is what the log macros expand to, with
//! the same map declared in BTF.
#![allow(unsafe_code, reason = "the loader finds global variables by their symbols")]

use aya_ebpf::Global;
use aya_log_ebpf_macros::info;

use crate::{
    headers::{Ipv4, Ipv6, ether_type},
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

#[inline(never)]
fn line(packet: &Packet, outcome: Outcome) {
    let Some(link) = parse::link(packet) else {
        return;
    };
    let verdict = outcome.verdict();
    let interface = packet.interface();
    match link.ether_type {
        ether_type::IPV4 => {
            if let Some(ip) = packet.read::<Ipv4>(link.network) {
                info!(
                    packet.context(),
                    "verdict {} interface {}: {:i} > {:i} protocol {}",
                    verdict,
                    interface,
                    ip.source,
                    ip.destination,
                    ip.protocol
                );
            }
        }
        ether_type::IPV6 => {
            if let Some(ip) = packet.read::<Ipv6>(link.network) {
                info!(
                    packet.context(),
                    "verdict {} interface {}: {:i} > {:i} protocol {}",
                    verdict,
                    interface,
                    ip.source,
                    ip.destination,
                    ip.next_header
                );
            }
        }
        other => info!(
            packet.context(),
            "verdict {} interface {}: ethertype {:x}", verdict, interface, other
        ),
    }
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
