//! *flow*: which real server a connection belongs to.
//!
//! A connection that has shown one packet only is *nascent*; its second packet moves it to the established table. The
//! two are separate LRU tables, so that a flood of first packets evicts none but other nascent connections. A reset
//! is no second packet: a scan that opens and resets stays among the nascent.
//!
//! A packet that may open a connection (a TCP SYN, a UDP datagram) begins a new one if the client has closed the
//! remembered one (FIN or RST), or if that has been silent for longer than IPVS remembers it. Any other TCP segment
//! continues what is remembered, however old: a silent connection is not cut as long as there is room.
//!
//! A flow whose real server is gone (its slot was given away, or it is not up) is forgotten.

use lb_common::{Flow, Real, SECOND, flow_state};

use crate::{
    family::Family,
    maps::{self, FlowEntry},
    parsed::{Headers, Segment},
};

/// A real server and its slot.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The slot in the map of real servers.
    pub(crate) slot: u32,
    /// What is there.
    pub(crate) real: &'static Real,
}

/// What is remembered of a connection.
pub(crate) enum Memory {
    /// Nothing, or nothing that concerns this packet.
    Unknown,
    /// Its real server.
    Known(Target),
    /// Its real server, whose link-layer address is not known.
    Unresolved,
    /// A real server that is gone.
    Lost,
}

/// Recalls a connection, and remembers of it what this packet shows.
#[inline(always)]
pub(crate) fn recall<F: Family>(headers: &Headers<F>, now: u64) -> Memory {
    let key = &headers.key;
    let (entry, is_nascent) = match FlowEntry::find(F::flows(), key) {
        Some(entry) => (entry, false),
        None => match FlowEntry::find(F::nascent(), key) {
            Some(entry) => (entry, true),
            None => return Memory::Unknown,
        },
    };
    let flow = entry.get();
    if headers.segment.opens() && !flow.is_alive(F::protocol(key), now) {
        forget::<F>(key);
        return Memory::Unknown;
    }
    let memory = real_server(&flow);
    if matches!(memory, Memory::Lost) {
        forget::<F>(key);
        return memory;
    }
    let state = next_state(flow.state, headers.segment);
    if is_nascent && goes_on(headers.segment) {
        let established = Flow {
            last_seen: now,
            state,
            ..flow
        };
        // If the table cannot take the entry, the nascent one stays.
        if F::flows().insert(key, established, 0).is_ok() {
            let _absent = F::nascent().remove(key);
        }
        return memory;
    }
    // A store makes the cache line this CPU's own: not for each packet.
    if now.saturating_sub(flow.last_seen) >= SECOND {
        entry.set_last_seen(now);
    }
    if state != flow.state {
        entry.set_state(state);
    }
    memory
}

/// Recalls a connection without changing what is remembered of it.
#[inline(always)]
pub(crate) fn recall_only<F: Family>(key: &F::Key) -> Memory {
    match FlowEntry::find(F::flows(), key).or_else(|| FlowEntry::find(F::nascent(), key)) {
        Some(entry) => real_server(&entry.get()),
        None => Memory::Unknown,
    }
}

/// Remembers a new connection. If the table cannot take it, the packet is forwarded all the same, and the client's
/// next one is that of an unknown connection.
#[inline(always)]
pub(crate) fn remember<F: Family>(key: &F::Key, target: Target, now: u64) {
    let flow = Flow {
        real: target.slot,
        generation: target.real.generation,
        last_seen: now,
        state: flow_state::NASCENT,
        _reserved: 0,
    };
    let _full = F::nascent().insert(key, flow, 0);
}

#[inline(always)]
fn forget<F: Family>(key: &F::Key) {
    let _absent = F::flows().remove(key);
    let _absent = F::nascent().remove(key);
}

/// The real server of a flow: up, not yet resolved, or gone.
#[inline(always)]
fn real_server(flow: &Flow) -> Memory {
    match maps::real(flow.real) {
        Some(real) if real.generation == flow.generation && real.is_up() => {
            if real.is_usable() {
                Memory::Known(Target {
                    slot: flow.real,
                    real,
                })
            } else {
                Memory::Unresolved
            }
        }
        _ => Memory::Lost,
    }
}

/// What a flow in `state` is after `segment`.
#[inline(always)]
fn next_state(state: u32, segment: Segment) -> u32 {
    match segment {
        Segment::Finish | Segment::Reset => flow_state::CLOSING,
        Segment::Data | Segment::Datagram if state == flow_state::NASCENT => flow_state::ESTABLISHED,
        Segment::Data | Segment::Datagram | Segment::Open | Segment::Stray | Segment::Error => state,
    }
}

/// Whether `segment` shows that the client has gone on after its first packet.
#[inline(always)]
fn goes_on(segment: Segment) -> bool {
    matches!(segment, Segment::Data | Segment::Finish | Segment::Datagram)
}
