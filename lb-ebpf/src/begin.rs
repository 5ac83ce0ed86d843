//! *begin*: a new connection gets a real server, and is remembered.
//!
//! Each step is a function that the kernel verifies by itself, whose part of the stack is free for the next one, and the
//! connection is in a map ([`maps::beginning`]): there are 512 bytes of stack along a chain of calls.
#![allow(
    unsafe_code,
    reason = "what the kernel verifies by itself has a name of its own"
)]

use lb_common::{Verdict, service_flags};

use crate::{
    episode::{self, Course},
    family::{Family, V4, V6},
    flow::{self, Target},
    forward, fragment, lease, maps,
    outcome::Outcome,
    packet::Packet,
    parsed::Segment,
    schedule, service,
};

/// The end of a packet that opens a connection.
#[inline(always)]
pub(crate) fn connection(packet: &mut Packet, outcome: Outcome) -> Outcome {
    match packet.ip_version(outcome.network()) {
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
    let choice = settle::<F>(packet, outcome);
    // The verifier would follow what comes for each way that has led here.
    let (choice, outcome) = (Choice(packet.forget(choice.0)), outcome.forgotten(packet));
    match choice.what() {
        Choice::TAKEN => {}
        Choice::LATER => return Outcome::drop(Verdict::DropNoRealServer),
        Choice::NOBODY => {
            let verdict = if outcome.opens() {
                Verdict::AnswerUnreachable
            } else {
                Verdict::ResetUnknownFlow
            };
            let protocol = u32::from(outcome.protocol());
            return Outcome::answer(verdict, network, outcome.transport(), protocol);
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
    if outcome.opens() {
        let count = maps::count_connection(real.service, target.slot);
        episode::count(real.service, count);
    }
    if outcome.is_first_fragment() {
        fragment::remember::<F>(packet, network, outcome.protocol(), choice.lease(), target.slot);
    }
    let verdict = if choice.course().is_placed() {
        Verdict::ForwardPlaced
    } else if outcome.is(Verdict::ForwardRescheduled) {
        Verdict::ForwardRescheduled
    } else {
        Verdict::ForwardNew
    };
    forward::to::<F>(packet, network, target, verdict)
}

/// Finds a real server for a connection, and remembers it.
#[inline(always)]
fn settle<F: Family>(packet: &Packet, outcome: Outcome) -> Choice {
    let choice = choose::<F>(outcome);
    if choice.what() != Choice::TAKEN || remember::<F>(packet, outcome, choice) {
        return choice;
    }
    if let Some(real) = maps::real(choice.slot()) {
        episode::refuse(real.service);
    }
    // What follows will be placed by a hash: so is this one.
    choose::<F>(outcome)
}

/// Remembers who was chosen, if that is to be. Returns whether all is well: that there is no place in the table may be.
#[inline(always)]
fn remember<F: Family>(packet: &Packet, outcome: Outcome, choice: Choice) -> bool {
    let (course, slot) = (choice.course(), choice.slot());
    if course == Course::ONE_PACKET {
        return true;
    }
    let segment = course.first(outcome.segment());
    if outcome.has_word() && flow::renew::<F>(packet, segment, slot) || !course.is_remembered() {
        return true;
    }
    if !flow::enter::<F>(segment, slot) {
        return course.may_be_refused();
    }
    if segment == Segment::DATA && maps::are_flows_named() {
        flow::name_beginning::<F>(packet);
    }
    true
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
    /// The service has no real server that could; or the packet opens no connection.
    const NOBODY: u64 = 2;
    /// There is no such service.
    const NO_SERVICE: u64 = 3;
    const WHAT_SHIFT: u32 = 16;
    const COURSE_SHIFT: u32 = 18;
    const LEASE_SHIFT: u32 = 32;

    const fn what(self) -> u64 {
        self.0 >> Self::WHAT_SHIFT & 3
    }

    /// The slot of the real server that was found.
    const fn slot(self) -> u32 {
        (self.0 & 0xffff) as u32
    }

    /// Who has found it, and whether it is remembered.
    const fn course(self) -> Course {
        Course::from_number(self.0 >> Self::COURSE_SHIFT & ((1 << Course::BITS) - 1))
    }

    /// The slot of the lease that guards the service.
    const fn lease(self) -> u32 {
        (self.0 >> Self::LEASE_SHIFT) as u32
    }
}

/// Finds the service of the connection that begins, and a real server for it.
#[inline(always)]
fn choose<F: Family>(outcome: Outcome) -> Choice {
    Choice(choose_server(u64::from(F::VERSION), outcome.to_bits()))
}

/// [`choose`], by a function that others could call: the kernel verifies such a one by itself, once
/// (`kernel/bpf/verifier.c`, `do_check_subprogs`; Linux 5.6).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn choose_server(version: u64, outcome: u64) -> u64 {
    let outcome = Outcome::from_bits(outcome);
    let choice = if version == u64::from(V4::VERSION) {
        choose_for::<V4>(outcome)
    } else {
        choose_for::<V6>(outcome)
    };
    choice.0
}

#[inline(always)]
fn choose_for<F: Family>(outcome: Outcome) -> Choice {
    let Some(key) = maps::beginning::<F>() else {
        return Choice(Choice::LATER << Choice::WHAT_SHIFT);
    };
    let Some(service) = service::find::<F>(key) else {
        return Choice(Choice::NO_SERVICE << Choice::WHAT_SHIFT);
    };
    let course = if service.flags & service_flags::ONE_PACKET == 0 {
        Course::of(service.index, outcome)
    } else {
        Course::ONE_PACKET
    };
    if service.ring_length == 0 || course == Course::REFUSED {
        return Choice(Choice::NOBODY << Choice::WHAT_SHIFT);
    }
    let chosen = if course.is_placed() {
        schedule::place(&service, &*key)
    } else {
        schedule::next(&service, &*key)
    };
    match chosen {
        schedule::LATER => return Choice(Choice::LATER << Choice::WHAT_SHIFT),
        schedule::FULL => return Choice(Choice::NOBODY << Choice::WHAT_SHIFT),
        _ => {}
    }
    Choice(
        chosen & 0xffff
            | course.number() << Choice::COURSE_SHIFT
            | u64::from(service.lease) << Choice::LEASE_SHIFT,
    )
}
