//! What the daemon may copy in and out of maps as plain bytes.
#![allow(
    unsafe_code,
    reason = "`Pod` promises that any bit pattern is valid, which only the types' author can know"
)]

use crate::{
    Address, AddressEntry, Counters, Departure, Episode, FlowBucket, FlowClock, FlowName, FlowSecret,
    Fragment, FragmentKey, IndexedService, Interface, Lease, Load, Meta, Peer, Policy, PortsOwner, Prefix,
    Real, RingWord, Service, ServiceKey, ServicePorts, TunnelSourceKey, VirtualRouterEntry, VirtualRouterKey,
};

macro_rules! pod {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: `#[repr(C)]`, `Copy`, integers and byte arrays only, no implicit padding (sizes are asserted).
            unsafe impl aya::Pod for $type {}
        )*
    };
}

pod!(
    Address,
    AddressEntry,
    Counters,
    Departure,
    Episode,
    FlowBucket,
    FlowClock,
    FlowName,
    FlowSecret,
    Fragment,
    FragmentKey,
    IndexedService,
    Interface,
    Lease,
    Load,
    Meta,
    Peer,
    Policy,
    PortsOwner,
    Prefix,
    Real,
    RingWord,
    Service,
    ServiceKey,
    ServicePorts,
    TunnelSourceKey,
    VirtualRouterEntry,
    VirtualRouterKey,
);
