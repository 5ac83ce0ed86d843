//! *policy*: what the administrator has decided of connections that cannot go on as they are.
//!
//! In IPVS these are sysctls: `sloppy_tcp` (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, `tcp_conn_schedule`) and
//! `expire_nodest_conn` (`ip_vs_core.c`, `ip_vs_in`).

use lb_common::{policy_flags, protocol};

use crate::{
    family::Family,
    maps,
    parsed::{Headers, Segment},
};

/// Whether a packet of a connection that nobody remembers, if it is a TCP segment, opens one, beside those that always do.
#[inline(always)]
pub(crate) fn opens<F: Family>(headers: &Headers<F>) -> bool {
    headers.segment != Segment::RESET
        && F::protocol(&headers.key) == u32::from(protocol::TCP)
        && maps::policy() & policy_flags::SLOPPY_TCP != 0
}

/// Whether connections wait for a real server that is down.
#[inline(always)]
pub(crate) fn waits_for_real_servers() -> bool {
    maps::policy() & policy_flags::KEEP_NODEST_CONN != 0
}
