//! *begin*: a new connection gets a real server, and is remembered.
//!
//! Each step is a function of its own that is not inlined, so that its part of the stack is free for the next one, and
//! the connection itself is in a map ([`maps::beginning`]): the kernel allows 512 bytes along a chain of calls.

use lb_common::{Verdict, service_flags};

use crate::{
    family::{Family, V4, V6},
    flow::{self, Target},
    forward, fragment, lease, maps,
    outcome::Outcome,
    packet::Packet,
    schedule::{self, Refusal},
    service,
};

/// The end of a packet that opens a connection.
#[inline(always)]
pub(crate) fn connection(packet: &mut Packet, outcome: Outcome) -> Outcome {
    match packet.read::<u8>(outcome.network()).map(|byte| byte >> 4) {
        Some(4) => ipv4(packet, outcome),
        Some(6) => ipv6(packet, outcome),
        _ => Outcome::drop(Verdict::DropMalformed),
    }
}

#[inline(never)]
fn ipv4(packet: &mut Packet, outcome: Outcome) -> Outcome {
    begin::<V4>(packet, outcome)
}

#[inline(never)]
fn ipv6(packet: &mut Packet, outcome: Outcome) -> Outcome {
    begin::<V6>(packet, outcome)
}

#[inline(always)]
fn begin<F: Family>(packet: &mut Packet, outcome: Outcome) -> Outcome {
    let network = outcome.network();
    let Some(key) = maps::beginning::<F>() else {
        return Outcome::drop(Verdict::DropNoRealServer);
    };
    let Some(read) = F::key_at(packet, network, outcome.transport(), outcome.protocol()) else {
        return Outcome::drop(Verdict::DropMalformed);
    };
    *key = read;
    let choice = choose::<F>(key);
    match choice.what() {
        Choice::TAKEN => {}
        Choice::LATER => return Outcome::drop(Verdict::DropNoRealServer),
        Choice::NOBODY => {
            let (transport, protocol) = (outcome.transport(), outcome.protocol());
            return Outcome::answer(
                Verdict::AnswerUnreachable,
                network,
                transport,
                u32::from(protocol),
            );
        }
        _ => return lease::without_service::<F>(packet, network),
    }
    let Some(real) = maps::real(choice.slot()) else {
        return Outcome::drop(Verdict::DropNoRealServer);
    };
    let target = Target {
        slot: choice.slot(),
        real,
    };
    if choice.is_remembered() && (!outcome.has_word() || flow::renew::<F>(packet, key, target)) {
        flow::enter::<F>(key, target);
    }
    if outcome.is_first_fragment() {
        fragment::remember::<F>(packet, network, outcome.protocol(), choice.lease(), target.slot);
    }
    let verdict = if outcome.is(Verdict::ForwardRescheduled) {
        Verdict::ForwardRescheduled
    } else {
        Verdict::ForwardNew
    };
    forward::to::<F>(packet, network, target, verdict)
}

/// What came of the search for a real server: all in one register.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Choice(u64);

impl Choice {
    /// A real server was found.
    const TAKEN: u64 = 0;
    /// There are real servers, but all that were tried cannot take a connection at this moment.
    const LATER: u64 = 1;
    /// The service has no real server that could.
    const NOBODY: u64 = 2;
    /// There is no such service.
    const NO_SERVICE: u64 = 3;
    const WHAT_SHIFT: u32 = 16;
    /// Nothing is to be remembered of it.
    const ONE_PACKET: u64 = 1 << 18;
    const LEASE_SHIFT: u32 = 32;

    const fn what(self) -> u64 {
        self.0 >> Self::WHAT_SHIFT & 3
    }

    /// The slot of the real server that was found.
    const fn slot(self) -> u32 {
        (self.0 & 0xffff) as u32
    }

    /// Whether the connection is one: the next packet is expected to follow it.
    const fn is_remembered(self) -> bool {
        self.0 & Self::ONE_PACKET == 0
    }

    /// The slot of the lease that guards the service.
    const fn lease(self) -> u32 {
        (self.0 >> Self::LEASE_SHIFT) as u32
    }
}

/// Finds the service of a connection and a real server for it, and counts both.
#[inline(never)]
fn choose<F: Family>(key: &F::Key) -> Choice {
    let Some(service) = service::find::<F>(key) else {
        return Choice(Choice::NO_SERVICE << Choice::WHAT_SHIFT);
    };
    if service.ring_length == 0 {
        return Choice(Choice::NOBODY << Choice::WHAT_SHIFT);
    }
    let slot = match schedule::next(&service, key) {
        Ok(slot) => slot,
        Err(Refusal::Later) => return Choice(Choice::LATER << Choice::WHAT_SHIFT),
        Err(Refusal::Full) => return Choice(Choice::NOBODY << Choice::WHAT_SHIFT),
    };
    maps::count_connection(service.index, slot);
    let one_packet = if service.flags & service_flags::ONE_PACKET != 0 {
        Choice::ONE_PACKET
    } else {
        0
    };
    Choice(u64::from(slot) & 0xffff | one_packet | u64::from(service.lease) << Choice::LEASE_SHIFT)
}
