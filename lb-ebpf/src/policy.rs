//! *policy*: what the administrator has decided of connections that cannot go on as they are.
//!
//! In IPVS these are sysctls: `sloppy_tcp` (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, `tcp_conn_schedule`) and
//! `expire_nodest_conn` (`ip_vs_core.c`, `ip_vs_in`).

use lb_common::policy_flags;

use crate::{maps, parsed::Segment};

/// Whether a TCP segment of a connection that nobody remembers opens one, beside those that always do.
#[inline(always)]
pub(crate) fn opens(segment: Segment) -> bool {
    segment != Segment::RESET && maps::policy() & policy_flags::SLOPPY_TCP != 0
}

/// Whether connections wait for a real server that is down.
#[inline(always)]
pub(crate) fn waits_for_real_servers() -> bool {
    maps::policy() & policy_flags::KEEP_NODEST_CONN != 0
}
