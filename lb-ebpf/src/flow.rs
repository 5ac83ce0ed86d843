//! *flow*: which real server a connection belongs to.
//!
//! A connection that has shown one packet only is *nascent*; its second packet moves it to the established table. When
//! the client closes it (FIN or RST), it moves to the table of the closing, where the last segments find it. All are
//! separate LRU tables, and UDP's nascent ones are apart from TCP's, so that each flood evicts its like only: a flood
//! of first packets no established connection, and ten thousand closed ones no idle one. A reset is no second packet: a
//! scan that opens and resets stays among the nascent.
//!
//! A packet that may open a connection (a TCP SYN, a UDP datagram) begins a new one if the client has closed the
//! remembered one, or if that has been silent for longer than IPVS remembers it. Any other TCP segment continues what
//! is remembered, however old: a silent connection is not cut as long as there is room.
//!
//! A flow whose real server is gone (its slot was given away, or it is not up) is forgotten.

use lb_common::{Flow, Real, SECOND, flow_state, protocol};

use crate::{
    family::Family,
    maps::{self, FlowEntry},
    packet::Packet,
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
struct Place(u64);

impl Place {
    const ESTABLISHED: Self = Self(0);
    const NASCENT: Self = Self(1);
    const DATAGRAMS: Self = Self(2);
    const CLOSING: Self = Self(3);

    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    fn forgotten(self, packet: &Packet) -> Self {
        Self(packet.forget(self.0))
    }
}

/// What the tables hold of a connection. Not the entry itself: the verifier would follow all that comes for each table.
pub(crate) struct Known {
    place: Place,
    flow: Flow,
    /// Its real server, unless that is gone.
    pub(crate) real: Option<&'static Real>,
}

/// Looks a connection up.
#[inline(always)]
pub(crate) fn find<F: Family>(packet: &Packet, key: &F::Key) -> Option<Known> {
    let (entry, place) = look_up::<F>(key)?;
    let (flow, place) = (entry.get(), place.forgotten(packet));
    let real = maps::real(flow.real).filter(|real| real.generation == flow.generation && real.is_up());
    Some(Known { place, flow, real })
}

/// Recalls what is `known` of a connection, and remembers of it what this packet shows.
#[inline(always)]
pub(crate) fn recall<F: Family>(known: Option<Known>, headers: &Headers<F>, now: u64) -> Memory {
    let key = &headers.key;
    let Some(known) = known else {
        return Memory::Unknown;
    };
    let Known { place, flow, .. } = known;
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
        (Place::NASCENT | Place::DATAGRAMS, flow_state::ESTABLISHED) => Place::ESTABLISHED,
        (Place::NASCENT, flow_state::CLOSING) if headers.segment == Segment::Finish => Place::CLOSING,
        (Place::ESTABLISHED, flow_state::CLOSING) => Place::CLOSING,
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
    if now.saturating_sub(flow.last_seen) >= SECOND || state != flow.state {
        note::<F>(key, place, now, state);
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
        Place::DATAGRAMS
    } else {
        Place::NASCENT
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
        return Some((entry, Place::ESTABLISHED));
    }
    if is_datagrams::<F>(key) {
        return FlowEntry::find(F::datagrams(), key).map(|entry| (entry, Place::DATAGRAMS));
    }
    if let Some(entry) = FlowEntry::find(F::nascent(), key) {
        return Some((entry, Place::NASCENT));
    }
    FlowEntry::find(F::closing(), key).map(|entry| (entry, Place::CLOSING))
}

/// Notes in the entry of a flow that a packet has arrived now, and what the flow has shown.
#[inline(never)]
fn note<F: Family>(key: &F::Key, place: Place, now: u64, state: u32) {
    let entry = match place {
        Place::ESTABLISHED => FlowEntry::find(F::flows(), key),
        Place::NASCENT => FlowEntry::find(F::nascent(), key),
        Place::DATAGRAMS => FlowEntry::find(F::datagrams(), key),
        _ => FlowEntry::find(F::closing(), key),
    };
    if let Some(entry) = entry {
        entry.set_last_seen(now);
        entry.set_state(state);
    }
}

/// Enters a flow into a table. Returns whether that could take it.
#[inline(always)]
fn enter<F: Family>(key: &F::Key, flow: Flow, place: Place) -> bool {
    let entered = match place {
        Place::ESTABLISHED => F::flows().insert(key, flow, 0),
        Place::NASCENT => F::nascent().insert(key, flow, 0),
        Place::DATAGRAMS => F::datagrams().insert(key, flow, 0),
        _ => F::closing().insert(key, flow, 0),
    };
    entered.is_ok()
}

/// Removes a flow from the table that it was found in.
#[inline(always)]
fn forget<F: Family>(key: &F::Key, place: Place) {
    let _absent = match place {
        Place::ESTABLISHED => F::flows().remove(key),
        Place::NASCENT => F::nascent().remove(key),
        Place::DATAGRAMS => F::datagrams().remove(key),
        _ => F::closing().remove(key),
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
