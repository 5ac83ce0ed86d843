//! *flow*: which real server a connection belongs to.
//!
//! A connection that has shown one packet only is *nascent*; its second packet moves it to the established table. When
//! the client closes it (FIN or RST), it moves to the table of the closing, where the last segments find it. All are
//! separate LRU tables, and UDP's nascent ones are apart from TCP's, so that each flood evicts its like only: a flood of
//! first packets no established connection, and ten thousand closed ones no idle one. A reset is no second packet: a
//! scan that opens and resets stays among the nascent.
//!
//! A packet that may open a connection (a TCP SYN, a UDP datagram) begins a new one if the client has closed the
//! remembered one, or if that has been silent for longer than IPVS remembers it. Any other TCP segment continues what is
//! remembered, however old: a silent connection is not cut as long as there is room.
//!
//! A flow whose real server is gone (its slot was given away, or it is not up) is forgotten.

use lb_common::{Flow, Real, SECOND, flow_state, protocol};

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

/// Which table a flow is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Established,
    Nascent,
    Datagrams,
    Closing,
}

/// What the tables hold of a connection.
pub(crate) struct Known {
    entry: FlowEntry,
    place: Place,
    flow: Flow,
    /// Its real server, unless that is gone.
    pub(crate) real: Option<&'static Real>,
}

/// Looks a connection up.
#[inline(always)]
pub(crate) fn find<F: Family>(key: &F::Key) -> Option<Known> {
    let (entry, place) = look_up::<F>(key)?;
    let flow = entry.get();
    let real = maps::real(flow.real).filter(|real| real.generation == flow.generation && real.is_up());
    Some(Known {
        entry,
        place,
        flow,
        real,
    })
}

/// Recalls what is `known` of a connection, and remembers of it what this packet shows.
#[inline(always)]
pub(crate) fn recall<F: Family>(known: Option<Known>, headers: &Headers<F>, now: u64) -> Memory {
    let key = &headers.key;
    let Some(known) = known else {
        return Memory::Unknown;
    };
    let Known {
        entry, place, flow, ..
    } = &known;
    let (place, flow) = (*place, *flow);
    if headers.segment.opens() && !flow.is_alive(F::protocol(key), now) {
        forget::<F>(key, place);
        return Memory::Unknown;
    }
    let memory = known.memory();
    if matches!(memory, Memory::Lost) {
        forget::<F>(key, place);
        return memory;
    }
    let state = next_state(flow.state, headers.segment);
    let home = match (place, state) {
        (Place::Nascent | Place::Datagrams, flow_state::ESTABLISHED) => Place::Established,
        (Place::Nascent, flow_state::CLOSING) if headers.segment == Segment::Finish => Place::Closing,
        (Place::Established, flow_state::CLOSING) => Place::Closing,
        _ => place,
    };
    if home != place {
        let moved = Flow {
            last_seen: now,
            state,
            ..flow
        };
        // If the table cannot take the entry, the old one stays.
        if enter::<F>(key, moved, home) {
            forget::<F>(key, place);
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

impl Known {
    /// The real server: up, not yet resolved, or gone.
    #[inline(always)]
    pub(crate) fn memory(&self) -> Memory {
        match self.real {
            Some(real) if real.is_usable() => Memory::Known(Target {
                slot: self.flow.real,
                real,
            }),
            Some(_) => Memory::Unresolved,
            None => Memory::Lost,
        }
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
    let place = if is_datagrams::<F>(key) {
        Place::Datagrams
    } else {
        Place::Nascent
    };
    let _entered = enter::<F>(key, flow, place);
}

#[inline(always)]
fn is_datagrams<F: Family>(key: &F::Key) -> bool {
    F::protocol(key) == u32::from(protocol::UDP)
}

/// What is remembered of a connection, and where.
#[inline(always)]
fn look_up<F: Family>(key: &F::Key) -> Option<(FlowEntry, Place)> {
    if let Some(entry) = FlowEntry::find(F::flows(), key) {
        return Some((entry, Place::Established));
    }
    if is_datagrams::<F>(key) {
        return FlowEntry::find(F::datagrams(), key).map(|entry| (entry, Place::Datagrams));
    }
    if let Some(entry) = FlowEntry::find(F::nascent(), key) {
        return Some((entry, Place::Nascent));
    }
    FlowEntry::find(F::closing(), key).map(|entry| (entry, Place::Closing))
}

/// Enters a flow into a table. Returns whether that could take it.
#[inline(always)]
fn enter<F: Family>(key: &F::Key, flow: Flow, place: Place) -> bool {
    let entered = match place {
        Place::Established => F::flows().insert(key, flow, 0),
        Place::Nascent => F::nascent().insert(key, flow, 0),
        Place::Datagrams => F::datagrams().insert(key, flow, 0),
        Place::Closing => F::closing().insert(key, flow, 0),
    };
    entered.is_ok()
}

/// Removes a flow from the table that it was found in.
#[inline(always)]
fn forget<F: Family>(key: &F::Key, place: Place) {
    let _absent = match place {
        Place::Established => F::flows().remove(key),
        Place::Nascent => F::nascent().remove(key),
        Place::Datagrams => F::datagrams().remove(key),
        Place::Closing => F::closing().remove(key),
    };
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
