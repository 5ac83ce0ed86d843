//! Connections and what is remembered of them.

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

/// Which real server a connection belongs to: the value of the four flow tables.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The slot in [`crate::maps::REALS`].
    pub real: u32,
    /// [`crate::Real::generation`] of that slot when the connection was scheduled.
    pub generation: u32,
    /// When a packet of the connection last arrived, within a second (nanoseconds of `CLOCK_MONOTONIC`).
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
    /// Only a SYN so far (TCP), or only one datagram (UDP): lives in the nascent table.
    pub const NASCENT: u32 = 0;
    /// The client has gone on after its first packet.
    pub const ESTABLISHED: u32 = 1;
    /// The client has sent FIN or RST: a SYN with the same ports is a new connection.
    pub const CLOSING: u32 = 2;
}
