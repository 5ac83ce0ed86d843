//! *lease*: is this node entitled to the virtual address right now?
//!
//! The daemon renews the lease of a virtual router with each advertisement that it sends. If it dies or freezes, the
//! lease runs out here, per packet and without anybody's help (`lb_common::Lease`). What follows from it:
//!
//! | lease | question for the address (ARP, NS) | packet of a service | any other packet to the address |
//! | --- | --- | --- | --- |
//! | vacant (backup) | pass | pass | pass |
//! | held, may answer | pass: the kernel answers | forward | pass |
//! | held, may only forward | drop | forward | drop |
//! | held, run out | drop | drop | drop |
//! | handing over | drop | forward, until it runs out | pass |
//!
//! The kernel still has the virtual address while a dead daemon's lease is held. It must answer nothing, for a
//! successor serves the address: neither ARP, nor a reset to a connection that is the successor's now.
//!
//! An address or a service without a lease ([`NO_LEASE`]) is always ours. A slot outside the map is treated as vacant.
//! The daemon enters the addresses of services that no virtual router guards with [`NO_LEASE`], so that what is
//! malformed and stray fragments are dropped there as well.

use lb_common::{Entitlement, Lease, NO_LEASE, Verdict, lease_state};

use crate::{
    clock,
    family::Family,
    frame,
    maps::{self, Key},
    outcome::Outcome,
    packet::Packet,
};

/// Why a packet of a service that the lease at `slot` guards is not forwarded now, if it is not.
#[inline(always)]
pub(crate) fn refusal(slot: u32, now: u64) -> Option<Outcome> {
    match guard(slot) {
        Guard::Nobody => None,
        Guard::Vacant => Some(Outcome::pass(Verdict::PassNotMaster)),
        Guard::Lease(lease) if lease.entitlement(now).may_forward => None,
        Guard::Lease(_) => Some(Outcome::drop(Verdict::DropLeaseExpired)),
    }
}

/// The end of a packet that belongs to no service. Its IP header begins at `network`.
#[inline(never)]
pub(crate) fn without_service<F: Family>(packet: &Packet, network: usize) -> Outcome {
    if let Some(refusal) = frame::refusal(packet) {
        return refusal;
    }
    let Some(slot) = slot_of::<F>(packet, network + F::DESTINATION) else {
        return Outcome::pass(Verdict::PassNotOurs);
    };
    match guard(slot) {
        Guard::Nobody => Outcome::pass(Verdict::PassNoService),
        Guard::Vacant => Outcome::pass(Verdict::PassNotMaster),
        Guard::Lease(lease) if lease.state == lease_state::HELD && !entitlement(&lease).may_answer => {
            Outcome::drop(Verdict::DropLeaseExpired)
        }
        Guard::Lease(_) => Outcome::pass(Verdict::PassNoService),
    }
}

/// The end of a packet that no service can use for `reason`: dropped where we serve the address, else passed.
#[inline(always)]
pub(crate) fn unusable<F: Family>(packet: &Packet, network: usize, reason: Verdict) -> Outcome {
    let outcome = without_service::<F>(packet, network);
    if outcome.is(Verdict::PassNoService) {
        Outcome::drop(reason)
    } else {
        outcome
    }
}

/// The end of a question for the link-layer address of the address at `offset`.
#[inline(never)]
pub(crate) fn answer<F: Family>(packet: &Packet, offset: usize) -> Outcome {
    let Some(slot) = slot_of::<F>(packet, offset) else {
        return Outcome::pass(Verdict::PassNotOurs);
    };
    match guard(slot) {
        Guard::Nobody => Outcome::pass(Verdict::PassAnswer),
        Guard::Vacant => Outcome::pass(Verdict::PassNotMaster),
        Guard::Lease(lease) if entitlement(&lease).may_answer => Outcome::pass(Verdict::PassAnswer),
        Guard::Lease(_) => Outcome::drop(Verdict::DropSilent),
    }
}

/// The lease slot that guards the address at `offset`, if it is one of ours.
#[inline(always)]
fn slot_of<F: Family>(packet: &Packet, offset: usize) -> Option<u32> {
    let address = Key(F::address_at(packet, offset)?);
    maps::address(&address)
}

/// What guards an address or a service.
enum Guard {
    /// Nothing: no virtual router is concerned.
    Nobody,
    /// A virtual router whose master is another node.
    Vacant,
    /// A virtual router that this node is, or was, or ceases to be the master of.
    Lease(Lease),
}

#[inline(always)]
fn guard(slot: u32) -> Guard {
    if slot == NO_LEASE {
        return Guard::Nobody;
    }
    match maps::lease(slot) {
        Some(lease) if lease.state != lease_state::VACANT => Guard::Lease(lease),
        _ => Guard::Vacant,
    }
}

#[inline(always)]
fn entitlement(lease: &Lease) -> Entitlement {
    lease.entitlement(clock::now())
}
