//! The ABI between the XDP program and the daemon: what is in the BPF maps, byte for byte.
//!
//! Rules of this crate:
//! * every type is `#[repr(C)]`, its padding is named, its size is asserted beside it;
//! * fields are integers and byte arrays only: any bit pattern that the other side may have written is valid;
//! * addresses are 16 bytes, IPv4 mapped into IPv6 (`::ffff:10.0.0.3`), except in the IPv4 flow key, where
//!   size is speed; ports are in host order, so that `bpftool map dump` shows `"port": 80`;
//! * times are nanoseconds of `CLOCK_BOOTTIME`, which both sides read: it goes on while the machine sleeps.
//!
//! Beside it there is the arithmetic of the program that can be tested without a kernel.
#![no_std]

mod allowance;
pub mod checksum;
mod departure;
mod episode;
mod flow;
mod fragment;
mod interface;
mod lease;
mod load;
pub mod maps;
mod motion;
mod net;
mod policy;
mod prefix;
mod real;
mod ring;
mod service;
#[cfg(feature = "user")]
mod user;
mod verdict;

pub use allowance::{ANSWERS_PER_SECOND, Allowance};
pub use departure::Departure;
pub use episode::Episode;
pub use flow::{
    Connection, FlowBucket, FlowClock, FlowKey, FlowKey4, FlowKey6, FlowName, FlowSecret, FlowTime, FlowWord,
    PLACEMENT_KEY, Places, WORDS_PER_BUCKET, flow_buckets, flow_state, spread,
};
pub use fragment::{Fragment, FragmentKey};
pub use interface::{Interface, Peer, interface_flags};
pub use lease::{
    AddressEntry, Entitlement, Lease, NO_LEASE, VirtualRouterEntry, VirtualRouterKey, lease_state,
};
pub use load::{Load, Thresholds};
pub use motion::{RingBit, motion_slots};
pub use net::{Address, FILTER_BITS, protocol};
pub use policy::{Policy, policy_flags};
pub use prefix::{Prefix, access};
pub use real::{Real, TunnelSourceKey, real_flags};
pub use ring::RingWord;
pub use service::{
    Counters, IndexedService, PortsOwner, Service, ServiceKey, ServicePorts, placement, service_flags,
};
pub use verdict::Verdict;

/// The version of everything in this crate that two builds must agree on.
///
/// It is written to the map [`maps::META`]. A daemon that finds pinned maps of another version replaces them.
/// Raise it with every change to a type, a meaning or a map in this crate.
pub const ABI_VERSION: u32 = 5;

/// 2^64 divided by the golden ratio: a product's upper bits depend on all of a factor's (Knuth, volume 3, section 6.4).
pub(crate) const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// One second in the unit of every time in the maps.
pub const SECOND: u64 = 1_000_000_000;

/// What the map [`maps::META`] holds, in its only slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// [`ABI_VERSION`] of the daemon that created the maps.
    pub abi_version: u32,
    /// Zero.
    pub _reserved: u32,
    /// What connections are hashed with in [`maps::FLOWS`].
    pub flow_secret: FlowSecret,
}

const _: () = assert!(size_of::<Meta>() == 48);
