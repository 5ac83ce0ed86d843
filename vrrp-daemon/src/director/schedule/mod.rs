//! Who gets new connections: the schedules of the services, a file for each family of schedulers.
//!
//! A schedule is a list of slots of real servers. The program takes them in turn, picks one by a hash of addresses, or
//! compares those that are in it ([`placement`](super::placement)).

mod count;
mod hash;
mod maglev;
mod turn;

use std::net::SocketAddr;

use lb_common::placement;

use crate::model::{HashOptions, RealSlot, Scheduler};

/// A real server that a schedule is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its own address and port: what hash schedulers know it by, on all directors.
    pub address: SocketAddr,
    /// Its slot.
    pub slot: RealSlot,
    /// Its share of new connections while it serves; 0 for none.
    pub share: u16,
    /// Whether it serves now.
    pub serves: bool,
}

/// The schedule of a service with these real servers, in at most `limit` slots, which must not be fewer than
/// [`TURNS_PER_REAL_SERVER`](crate::model::shares::TURNS_PER_REAL_SERVER) for each. It is empty if none of them serves.
///
/// Those of hash schedulers depend neither on the order of `members` nor on their slots.
#[must_use]
pub fn schedule(scheduler: Scheduler, members: &[Member], limit: usize) -> Vec<RealSlot> {
    let mut members = members.to_vec();
    if placement::is_hash(super::placement(scheduler)) {
        members.sort_unstable_by_key(|member| member.address);
    }
    let schedule = match scheduler {
        Scheduler::RoundRobin | Scheduler::WeightedRoundRobin | Scheduler::TwoChoices => {
            turn::schedule(&serving(&members), limit)
        }
        Scheduler::LeastConnection
        | Scheduler::WeightedLeastConnection
        | Scheduler::ShortestExpectedDelay
        | Scheduler::NeverQueue => count::candidates(&serving(&members)),
        Scheduler::WeightedFailover | Scheduler::WeightedOverflow => {
            count::candidates_by_weight(&serving(&members))
        }
        Scheduler::SourceHash(HashOptions { fallback: true, .. }) | Scheduler::DestinationHash => {
            hash::fall_back(hash::schedule(&shares(&members), limit), &members)
        }
        Scheduler::SourceHash(HashOptions { fallback: false, .. }) => {
            turn::schedule(&serving(&members), limit)
        }
        Scheduler::Maglev(HashOptions { fallback, .. }) => {
            let shares = if fallback {
                shares(&members)
            } else {
                serving(&members)
            };
            hash::fall_back(maglev::table(&shares, &members, limit), &members)
        }
    };
    let slots = schedule.into_iter();
    slots.map(|number| members[number as usize].slot).collect()
}

/// The numbers of all members, and their shares while they serve.
fn shares(members: &[Member]) -> Vec<(u32, u16)> {
    (0..).zip(members.iter().map(|member| member.share)).collect()
}

/// The numbers of all members, and their shares now.
fn serving(members: &[Member]) -> Vec<(u32, u16)> {
    let share = |member: &Member| if member.serves { member.share } else { 0 };
    (0..).zip(members.iter().map(share)).collect()
}

#[cfg(test)]
mod tests;
