//! *flow*: which real server a connection belongs to.
//!
//! A connection that has shown one packet only is *nascent*; its second packet establishes it, and FIN or RST of the
//! client make it a *closing* one, whose last segments still find their real server. The [`table`] gives a place to a
//! new connection that is empty, or whose owner has timed out; or has shown one packet only or is closing, and that for
//! some seconds; never an established one's. Where there is none, an [episode](crate::episode) begins.
//!
//! A packet that may open a connection (a TCP SYN, a UDP datagram) begins a new one if the client has closed the
//! remembered one, or if that has been silent for longer than its timeout. Any other TCP segment continues what is
//! remembered, until the daemon forgets what has timed out.
//!
//! A flow whose real server is gone (its slot was given up, or it is not up) is forgotten.
//!
//! One connection in some thousand millions finds another one's word. If that is of the same service, the two share a
//! real server, and the end of one is taken for the end of both; if it is of another service, the new one is forwarded
//! and not remembered, and the other one is not disturbed.
#![allow(
    unsafe_code,
    reason = "what the kernel verifies by itself has a name of its own"
)]

mod count;
mod table;

use lb_common::{Connection as _, FlowWord, IndexedService, Real, ServiceKey, Verdict, flow_state};

use self::table::Found;
use crate::{
    clock,
    family::{Family, V4, V6},
    maps::{self, Key},
    outcome::Outcome,
    packet::Packet,
    parsed::Segment,
    policy, ports,
};
use aya_ebpf::{bindings::xdp_md, programs::XdpContext};

/// A real server and its slot.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The slot in the map of real servers.
    pub(crate) slot: u32,
    /// What is there.
    pub(crate) real: &'static Real,
}

/// What is remembered of a connection.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    /// Nothing, or nothing that concerns this packet.
    Unknown,
    /// Its real server.
    Known,
    /// Its real server; and with this packet it is established.
    Established,
    /// Its real server, whose link-layer address is not known.
    Unresolved,
    /// A real server that is down, and that the connection waits for.
    Waiting,
    /// A real server that is gone.
    Lost,
}

/// What the table holds of a connection.
pub(crate) struct Known {
    found: Found,
    /// Its real server, unless that is gone.
    real: Option<&'static Real>,
    /// The slot of the lease that guards its virtual service, as long as its real server is configured.
    pub(crate) lease: Option<u32>,
    /// Whether the word is another connection's, to another service.
    is_foreign: bool,
}

/// Looks a connection up.
#[inline(always)]
pub(crate) fn find<F: Family>(packet: &Packet, key: &F::Key) -> Known {
    let places = maps::places_of_flow(key.hash(&maps::flow_secret()));
    let mut known = Known {
        found: table::find(packet, places),
        real: None,
        lease: None,
        is_foreign: false,
    };
    let found = known.found;
    if !found.is_something() {
        return known;
    }
    let Some(real) = maps::real(found.word.slot()).filter(|real| real.is_configured()) else {
        return known;
    };
    let Some(service) = maps::indexed_service(real.service) else {
        return known;
    };
    known.lease = lease_of(&F::service(key), real.service, service);
    if known.lease.is_some() {
        known.real = Some(real).filter(|real| real.is_up());
    } else {
        known.is_foreign = true;
    }
    known
}

/// The slot of the lease that guards `service`, which has this `index`, if a packet with this key is for it.
#[inline(always)]
fn lease_of(key: &Key<ServiceKey>, index: u32, service: &IndexedService) -> Option<u32> {
    if key.is(&service.key) {
        return Some(service.lease);
    }
    let owner = ports::owner(key).filter(|owner| owner.service == index)?;
    Some(owner.lease)
}

/// Recalls what is `known` of a connection, and remembers of it what this packet shows.
#[inline(always)]
pub(crate) fn recall(packet: &Packet, known: &Known, segment: Segment, now: u64) -> Memory {
    let found = known.found;
    if !found.is_something() || known.is_foreign {
        return Memory::Unknown;
    }
    let word = found.word;
    if segment.opens() {
        let is_over = maps::flow_time(word.state()).is_over(word.seen(), now);
        if word.state() == flow_state::CLOSING || is_over {
            return Memory::Unknown;
        }
    }
    let memory = known.memory();
    if matches!(memory, Memory::Lost) {
        if segment.opens() {
            return memory;
        }
        // One that is only down still has its service.
        if known.lease.is_some() && policy::waits_for_real_servers() {
            return Memory::Waiting;
        }
        found.change(FlowWord::EMPTY);
        return memory;
    }
    // A copy would be one that the verifier knows to be the same, and that of Linux 6.1 forgets on its way that it is so
    // on some of them only: it takes the states before and after for equal, and removes what a change leads to.
    let state = next_state(packet.forget(word.state()), segment);
    let noted = word.noted(state, maps::flow_time(state).at(now));
    // A change makes the cache line this CPU's own: the clocks are coarse, so that not each packet is one.
    if noted != word
        && found.change(noted)
        && state != word.state()
        && let Some(target) = known.target()
    {
        count::go_on(target, word, noted);
    }
    match memory {
        Memory::Known if is_going_on(state) && state != word.state() && maps::are_flows_named() => {
            Memory::Established
        }
        memory => memory,
    }
}

impl Known {
    /// The end of a packet of a connection that is not known to go on, for now, with what is known of it.
    #[inline(always)]
    pub(crate) fn begin(&self, outcome: Outcome) -> Outcome {
        outcome.with_word(self.found.is_something(), self.is_foreign)
    }

    /// The real server: up, not yet resolved, or gone. Nothing is noted.
    #[inline(always)]
    pub(crate) fn memory(&self) -> Memory {
        if !self.found.is_something() || self.is_foreign {
            return Memory::Unknown;
        }
        match self.real {
            Some(real) if real.is_usable() => Memory::Known,
            Some(_) => Memory::Unresolved,
            None => Memory::Lost,
        }
    }

    /// The real server, unless it is gone. (No part of the memory: what is there for some memories only, the compiler
    /// puts on the stack for all of them, and the verifier refuses to read it.)
    #[inline(always)]
    pub(crate) fn target(&self) -> Option<Target> {
        let real = self.real?;
        Some(Target {
            slot: self.found.word.slot(),
            real,
        })
    }
}

/// Gives the word of the connection that begins anew with `segment` to the real server in `slot`. Returns whether it has
/// one, so that it is not to be [entered](enter).
#[inline(always)]
pub(crate) fn renew<F: Family>(packet: &Packet, segment: Segment, slot: u32) -> bool {
    let version = u64::from(F::VERSION);
    renew_flow(packet.context().ctx, version, segment.number(), u64::from(slot)) != 0
}

/// Remembers that the connection that begins, which has no word, and of which `segment` is the first that is remembered,
/// has the real server in `slot`. Returns whether the table has a place for it.
#[inline(always)]
pub(crate) fn enter<F: Family>(segment: Segment, slot: u32) -> bool {
    enter_beginning(u64::from(F::VERSION), segment.number(), u64::from(slot)) != 0
}

/// Names the connection that begins, with a packet that shows that it goes on.
#[inline(always)]
pub(crate) fn name_beginning<F: Family>(packet: &Packet) {
    name_flow(packet.context().ctx, u64::from(F::VERSION));
}

// What follows are functions that others could call: the kernel verifies such a one by itself, once, and not on each way
// that leads to it (`kernel/bpf/verifier.c`, `do_check_subprogs`; Linux 5.6). The connection is the one that begins.

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn renew_flow(context: *mut xdp_md, version: u64, segment: u64, slot: u64) -> u64 {
    #[inline(always)]
    fn renew<F: Family>(packet: &Packet, segment: u64, slot: u64) -> Option<()> {
        let known = find::<F>(packet, maps::beginning::<F>()?);
        let (found, slot) = (known.found, slot as u32);
        if !found.is_something() {
            return None;
        }
        if !known.is_foreign {
            let word = first_word(Segment::numbered(segment), found.word.tag(), slot);
            if found.change(word)
                && let Some(real) = maps::real(slot)
            {
                count::exchange(found.word, word, Target { slot, real });
            }
        }
        Some(())
    }
    let packet = Packet::new(XdpContext::new(context));
    let renewed = if version == u64::from(V4::VERSION) {
        renew::<V4>(&packet, segment, slot)
    } else {
        renew::<V6>(&packet, segment, slot)
    };
    u64::from(renewed.is_some())
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn enter_beginning(version: u64, segment: u64, slot: u64) -> u64 {
    #[inline(always)]
    fn enter<F: Family>(segment: u64, slot: u64) -> Option<()> {
        let slot = slot as u32;
        let places = maps::places_of_flow(hash::<F>(maps::beginning::<F>()?));
        let word = first_word(Segment::numbered(segment), places.first_tag, slot);
        let left = table::enter(places, word, clock::now())?;
        let real = maps::real(slot)?;
        count::exchange(left, word, Target { slot, real });
        Some(())
    }
    let entered = if version == u64::from(V4::VERSION) {
        enter::<V4>(segment, slot)
    } else {
        enter::<V6>(segment, slot)
    };
    u64::from(entered.is_some())
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn name_flow(context: *mut xdp_md, version: u64) -> u64 {
    let packet = Packet::new(XdpContext::new(context));
    let named = if version == u64::from(V4::VERSION) {
        maps::beginning::<V4>().and_then(|key| name_key::<V4>(&packet, key))
    } else {
        maps::beginning::<V6>().and_then(|key| name_key::<V6>(&packet, key))
    };
    u64::from(named.is_some())
}

/// The hash of a connection that begins.
#[inline(never)]
fn hash<F: Family>(key: &F::Key) -> u64 {
    key.hash(&maps::flow_secret())
}

/// The word of a connection that has shown one packet.
#[inline(always)]
fn first_word(segment: Segment, tag: u64, slot: u32) -> FlowWord {
    let state = match segment {
        Segment::DATAGRAM => flow_state::DATAGRAM,
        segment => next_state(flow_state::NASCENT, segment),
    };
    FlowWord::new(tag, state, maps::flow_time(state).at(clock::now()), slot)
}

/// Names the connection of a packet that has shown that it goes on. What is left of the packet's story, if anything.
#[inline(never)]
pub(crate) fn name(packet: &Packet, outcome: Outcome) -> Outcome {
    let slot = match packet.ip_version(outcome.network()) {
        Some(4) => name_of::<V4>(packet, outcome),
        Some(6) => name_of::<V6>(packet, outcome),
        _ => None,
    };
    match slot {
        Some(slot) => outcome.sent_to(slot),
        // Another CPU has forgotten it just now.
        None if outcome.is_sent() => Outcome::drop(Verdict::DropUnresolved),
        None => outcome.ended(),
    }
}

#[inline(always)]
fn name_of<F: Family>(packet: &Packet, outcome: Outcome) -> Option<u32> {
    let key = F::key_at(packet, outcome.network(), outcome.transport(), outcome.protocol())?;
    name_key::<F>(packet, &key)
}

/// Names a connection. Returns the slot of its real server.
#[inline(always)]
fn name_key<F: Family>(packet: &Packet, key: &F::Key) -> Option<u32> {
    let places = maps::places_of_flow(key.hash(&maps::flow_secret()));
    let found = table::find(packet, places);
    if !found.is_something() {
        return None;
    }
    maps::name_flow(table::slot(places, found.word.tag(), found.way), F::name(key));
    Some(found.word.slot())
}

/// Whether a flow in `state` has shown a second packet.
#[inline(always)]
const fn is_going_on(state: u64) -> bool {
    matches!(state, flow_state::ESTABLISHED | flow_state::DATAGRAMS)
}

/// What a flow in `state` is after `segment`.
#[inline(always)]
fn next_state(state: u64, segment: Segment) -> u64 {
    match segment {
        Segment::FINISH | Segment::RESET => flow_state::CLOSING,
        Segment::DATA if state == flow_state::NASCENT => flow_state::ESTABLISHED,
        Segment::DATAGRAM => flow_state::DATAGRAMS,
        _ => state,
    }
}
