//! What the speaker wants done.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::RouterHandle;
use crate::model::{AddressFamily, LeaseSlot, Priority, VirtualAddress, VirtualRouterId, VrrpInstance};
use crate::vrrp::awaited::Awaited;
use crate::vrrp::concern::Concern;
use crate::vrrp::effect::{Reason, State};
use crate::vrrp::obstacle::Obstacle;
use crate::vrrp::wire;

/// Something that the daemon is to do, in the order asked for. Interfaces are named by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Hear advertisements on an interface. If that cannot be done, say so with
    /// [`Speaker::cannot_listen`](super::Speaker::cannot_listen).
    Listen {
        /// The interface.
        interface: u32,
        /// Its name.
        name: String,
        /// The family of the advertisements.
        family: AddressFamily,
    },
    /// Do not hear them any more.
    StopListening {
        /// The interface.
        interface: u32,
        /// The family of the advertisements.
        family: AddressFamily,
    },
    /// Give a virtual router's lease to this node, renewed as of now.
    GrantLease {
        /// Its slot.
        slot: LeaseSlot,
        /// The virtual router's interface.
        interface: u32,
        /// Its identifier.
        virtual_router_id: VirtualRouterId,
        /// The interval that the lease counts in; `None` for a lease that does not run out.
        interval: Option<Duration>,
    },
    /// Renew a lease: an advertisement has just left.
    RenewLease {
        /// Its slot.
        slot: LeaseSlot,
    },
    /// Stop answering for the addresses of a lease and go on forwarding: a successor has spoken, or is about to.
    HandOverLease {
        /// Its slot.
        slot: LeaseSlot,
    },
    /// Give a lease up.
    VacateLease {
        /// Its slot.
        slot: LeaseSlot,
    },
    /// Have the program on the interfaces that it belongs on, or on none. Of those that refuse it, tell
    /// [`Speaker::program_refused`](super::Speaker::program_refused) before the next command.
    RunProgram {
        /// It is wanted.
        wanted: bool,
    },
    /// Send a message to the multicast group of its family. Say how that went, before the next command, with
    /// [`Speaker::sent`](super::Speaker::sent) or [`Speaker::send_failed`](super::Speaker::send_failed).
    Send {
        /// Whose message it is.
        router: RouterHandle,
        /// The interface that it leaves by.
        interface: u32,
        /// The address that it comes from.
        source: IpAddr,
        /// What follows the IP header.
        message: Vec<u8>,
    },
    /// Add a virtual address; one that is there already is none the worse.
    AddAddress {
        /// The interface.
        interface: u32,
        /// The address.
        address: VirtualAddress,
        /// It was there before, and something else has taken it.
        again: bool,
    },
    /// Remove a virtual address, if it is there. If it stays, say so, before the next command, with
    /// [`Speaker::address_stays`](super::Speaker::address_stays).
    RemoveAddress {
        /// Whose address it is.
        router: RouterHandle,
        /// The interface.
        interface: u32,
        /// The address.
        address: VirtualAddress,
    },
    /// Send one burst of gratuitous ARP.
    Announce {
        /// The interface.
        interface: u32,
        /// Its link-layer address.
        mac: [u8; 6],
        /// The virtual address.
        address: IpAddr,
    },
    /// Ask by an ARP probe whether anybody answers for an address.
    Ask {
        /// The interface.
        interface: u32,
        /// Its link-layer address.
        mac: [u8; 6],
        /// The virtual address.
        address: IpAddr,
    },
    /// Tell people.
    Tell {
        /// The virtual router that it is about.
        instance: Arc<VrrpInstance>,
        /// What there is to tell.
        news: News,
    },
    /// Tell people that a datagram on this interface is none that anyone may act on; when that changes.
    Malformed {
        /// The name of the interface.
        interface: String,
        /// What is wrong with it.
        error: wire::Error,
    },
}

/// What people are told of a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The state has changed, and all that this brings with it has been asked for.
    Transition {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        reason: Reason,
    },
    /// Something keeps it out of the election, where no transition says so.
    Obstructed(Obstacle),
    /// Something is not as it should be: when it begins, and sparsely while it lasts.
    Worry(Concern),
    /// It is over.
    Relief(Concern),
    /// It leaves a master of lower priority alone, because it does not know its real servers: when that begins.
    HoldsBack {
        /// That master.
        from: IpAddr,
        /// Its priority.
        priority: Priority,
        /// What is not known.
        awaited: BTreeSet<Awaited>,
    },
    /// Nothing holds it back any more.
    HoldsBackNoMore {
        /// The real servers are known, or were waited for long enough; else, it is a backup no more.
        known: bool,
    },
    /// An advertisement could not be sent, for the first time since one was.
    NotSent {
        /// The kernel's answer.
        error: String,
    },
    /// One could again.
    SentAgain,
    /// A virtual address has no interface to be on.
    NoDevice {
        /// The virtual address.
        address: VirtualAddress,
    },
}
