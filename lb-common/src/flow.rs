//! Connections and what is remembered of them.

use crate::protocol;

/// A connection over IPv4: the key of [`crate::maps::FLOWS4`] and [`crate::maps::NASCENT4`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey4 {
    /// The client's address, in network order.
    pub client_address: [u8; 4],
    /// The virtual IP address, in network order.
    pub virtual_address: [u8; 4],
    /// The client's port, in host order.
    pub client_port: u16,
    /// The virtual service's port, in host order.
    pub virtual_port: u16,
    /// One of [`crate::protocol`]: TCP or UDP.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FlowKey4>() == 16);

/// A connection over IPv6: the key of [`crate::maps::FLOWS6`] and [`crate::maps::NASCENT6`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey6 {
    /// The client's address, in network order.
    pub client_address: [u8; 16],
    /// The virtual IP address, in network order.
    pub virtual_address: [u8; 16],
    /// The client's port, in host order.
    pub client_port: u16,
    /// The virtual service's port, in host order.
    pub virtual_port: u16,
    /// One of [`crate::protocol`]: TCP or UDP.
    pub protocol: u32,
}

const _: () = assert!(size_of::<FlowKey6>() == 40);

/// Which real server a connection belongs to: the value of all flow tables.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The slot in [`crate::maps::REALS`].
    pub real: u32,
    /// [`crate::Real::generation`] of that slot when the connection was scheduled.
    pub generation: u32,
    /// When a packet of the connection last arrived, within a second (nanoseconds of `CLOCK_BOOTTIME`).
    pub last_seen: u64,
    /// One of [`flow_state`].
    pub state: u32,
    /// Zero.
    pub _reserved: u32,
}

const _: () = assert!(size_of::<Flow>() == 24);

/// What a connection has shown of itself. Direct routing shows the client's packets only (IPVS's `INPUT_ONLY`
/// table, `net/netfilter/ipvs/ip_vs_proto_tcp.c`).
pub mod flow_state {
    /// Only a SYN so far (TCP), or only one datagram (UDP).
    pub const NASCENT: u32 = 0;
    /// The client has gone on after its first packet.
    pub const ESTABLISHED: u32 = 1;
    /// The client has sent FIN or RST: a SYN with the same ports is a new connection.
    pub const CLOSING: u32 = 2;
}

/// For how long a silent connection counts as alive, in nanoseconds: IPVS's timeouts
/// (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, `ip_vs_proto_udp.c`).
pub mod flow_timeout {
    use crate::SECOND;

    /// TCP, only a SYN so far: `SYN_RECV`.
    pub const NASCENT: u64 = 60 * SECOND;
    /// TCP: `ESTABLISHED`.
    pub const ESTABLISHED: u64 = 15 * 60 * SECOND;
    /// UDP has only one.
    pub const DATAGRAM: u64 = 5 * 60 * SECOND;
}

impl Flow {
    /// Whether the connection, which is one of `protocol`, lives as far as can be told at `now`: not closed by the
    /// client, and not silent for longer than [`flow_timeout`] says.
    #[inline(always)]
    #[must_use]
    pub const fn is_alive(&self, protocol: u32, now: u64) -> bool {
        const UDP: u32 = protocol::UDP as u32;
        let timeout = match (protocol, self.state) {
            (UDP, _) => flow_timeout::DATAGRAM,
            (_, flow_state::CLOSING) => return false,
            (_, flow_state::NASCENT) => flow_timeout::NASCENT,
            _ => flow_timeout::ESTABLISHED,
        };
        now.saturating_sub(self.last_seen) <= timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    #[test]
    fn a_silent_flow_lives_as_long_as_ipvs_would_remember_it() {
        let tcp = u32::from(protocol::TCP);
        let udp = u32::from(protocol::UDP);
        let cases = [
            (tcp, flow_state::NASCENT, Some(60)),
            (tcp, flow_state::ESTABLISHED, Some(900)),
            (tcp, flow_state::CLOSING, None),
            (udp, flow_state::NASCENT, Some(300)),
            (udp, flow_state::ESTABLISHED, Some(300)),
        ];
        for (protocol, state, seconds) in cases {
            let flow = Flow {
                last_seen: 1_000 * SECOND,
                state,
                ..Flow::default()
            };
            let lives = |silence| flow.is_alive(protocol, flow.last_seen + silence);
            assert_eq!(lives(0), seconds.is_some());
            assert_eq!(lives(seconds.unwrap_or(1) * SECOND), seconds.is_some());
            assert!(!lives(seconds.unwrap_or(1) * SECOND + 1));
        }
    }
}
