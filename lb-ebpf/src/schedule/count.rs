//! Schedulers that choose by how many connections real servers have (`net/netfilter/ipvs/ip_vs_{lc,wlc,sed,nq,fo,ovf,
//! twos}.c`): the ring has each real server once, and of two that are equal the first is chosen.
//!
//! With more real servers than [`SAMPLE`], so many are compared that follow each other, and for the next connection those
//! that come after them. Where the weight alone decides, they are in its order, and the first ones are compared.
#![allow(
    unsafe_code,
    reason = "functions that are verified by themselves have names of their own"
)]

use aya_ebpf::helpers::bpf_get_prandom_u32;
use lb_common::{Load, Real, Service, placement};

use super::{FULL, LATER, has_room, is_usable, relieve};
use crate::{
    maps,
    opaque::{at_least_zero, less_bit, moved},
};

/// How many real servers are compared for a connection.
const SAMPLE: u64 = 64;

/// How many slots are tried after a random one whose server cannot take the connection.
const TRIES: u64 = 8;

/// The slot of the real server that takes a new connection of `service`.
#[inline(always)]
pub(super) fn next(service: &Service) -> u64 {
    let (offset, length) = (u64::from(service.ring_offset), u64::from(service.ring_length));
    if service.placement == placement::TWO_CHOICES {
        return one_of_two(offset, length, u64::from(service.index));
    }
    let rule = Rule::new(service);
    if length <= SAMPLE {
        return least_loaded(offset | length << u32::BITS, rule.0);
    }
    let mut start = 0;
    if !rule.is_by_weight() {
        let Some(turn) = maps::advance_cursor(service.index) else {
            return LATER;
        };
        start = (turn.wrapping_mul(SAMPLE) % length).min(length - SAMPLE);
    }
    least_loaded((offset + start) | SAMPLE << u32::BITS, rule.0)
}

/// What a connection costs a real server (the one that costs least for its weight is chosen), and the service that it
/// must belong to: in one word, for the stack has no room for the parts.
#[derive(Clone, Copy)]
struct Rule(u64);

impl Rule {
    /// What each active connection costs is in the lowest bits.
    const ACTIVE: u64 = 1;
    const ACTIVE_MASK: u64 = 0x1ff;
    /// Each inactive one costs 1.
    const INACTIVE: u64 = 1 << 9;
    /// So does this one.
    const THIS: u64 = 1 << 10;
    /// But nothing costs anything where none is active.
    const IDLE_FIRST: u64 = 1 << 11;
    /// Who has more active ones than its weight says is full.
    const WEIGHT_IS_LIMIT: u64 = 1 << 12;
    const SERVICE_SHIFT: u32 = u32::BITS;

    /// That of the service, by its [`placement`](mod@placement).
    #[inline(always)]
    const fn new(service: &Service) -> Self {
        let costs = match service.placement {
            placement::SHORTEST_DELAY => Self::ACTIVE | Self::THIS,
            placement::NEVER_QUEUE => Self::ACTIVE | Self::THIS | Self::IDLE_FIRST,
            placement::FAILOVER => Self::THIS,
            placement::OVERFLOW => Self::THIS | Self::WEIGHT_IS_LIMIT,
            _ => Self::OVERHEAD,
        };
        Self::of(costs, service.index as u64)
    }

    /// An active one weighs as much as 256 that are not (`ip_vs_dest_conn_overhead`, `include/net/ip_vs.h`).
    const OVERHEAD: u64 = Self::ACTIVE << 8 | Self::INACTIVE;

    #[inline(always)]
    const fn of(costs: u64, service: u64) -> Self {
        Self(costs | service << Self::SERVICE_SHIFT)
    }

    /// Whether nothing counts but the weight.
    #[inline(always)]
    const fn is_by_weight(self) -> bool {
        self.0 & (Self::ACTIVE_MASK | Self::INACTIVE) == 0
    }

    /// 1 if `bit` is set, else 0.
    #[inline(always)]
    fn has(self, bit: u64) -> u64 {
        (moved(self.0) / bit) & 1
    }

    /// What a connection costs who has this load.
    #[inline(always)]
    fn cost(self, active: u64, load: Load) -> u64 {
        let actives = active * (moved(self.0) & Self::ACTIVE_MASK);
        let inactives = at_least_zero(load.signed_inactive()) * self.has(Self::INACTIVE);
        actives + inactives + self.has(Self::THIS) - (less_bit(active, 1) & self.has(Self::IDLE_FIRST))
    }
}

/// The best choice so far.
struct Best {
    /// Its weight, whether there was one that may not have another connection, and its slot.
    choice: u64,
    /// What a connection costs it.
    cost: u64,
}

impl Best {
    const WEIGHT_SHIFT: u32 = 40;
    const SLOT_MASK: u64 = 0xffff;
    /// Nobody, whose weight is 0: whoever has a weight costs less.
    const NOBODY: Self = Self { choice: 0, cost: 1 };

    /// Considers a real server. Returns 1 if it could take the connection; else 0.
    #[inline(always)]
    fn consider(&mut self, slot: u32, real: &Real, load: Load, rule: Rule) -> u64 {
        let weight = u64::from(real.weight);
        let active = at_least_zero(load.signed_active());
        let is_beyond = less_bit(weight, active) & rule.has(Rule::WEIGHT_IS_LIMIT);
        let is_usable = is_usable(moved(rule.0) >> Rule::SERVICE_SHIFT, real);
        let is_fit = is_usable & has_room(real, load) & (is_beyond ^ 1);
        self.choice |= FULL * (is_usable ^ is_fit);
        let cost = rule.cost(active, load);
        let best_weight = self.choice >> Self::WEIGHT_SHIFT;
        let is_better = is_fit & less_bit(cost * best_weight, self.cost * weight);
        let mask = moved(0_u64.wrapping_sub(is_better));
        let choice = weight << Self::WEIGHT_SHIFT | self.choice & FULL | u64::from(slot);
        self.choice ^= (self.choice ^ choice) & mask;
        self.cost ^= (self.cost ^ cost) & mask;
        is_fit
    }

    /// What [`next`](super::next) returns.
    #[inline(always)]
    fn chosen(self) -> u64 {
        if self.choice >> Self::WEIGHT_SHIFT != 0 {
            let slot = self.choice & Self::SLOT_MASK;
            relieve(slot as u32);
            slot
        } else if self.choice & FULL != 0 {
            FULL
        } else {
            LATER
        }
    }
}

/// The slot of the real server that a new connection costs least by a [`Rule`], by a function that others could call: the
/// kernel verifies such a one by itself, once. The upper half of `slice` is how many of the ring's slots are compared,
/// [`SAMPLE`] at most, the lower half the first of them. Returns what [`next`](super::next) does.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn least_loaded(slice: u64, rule: u64) -> u64 {
    let mut best = Best::NOBODY;
    for compared in 0..SAMPLE {
        if compared >= moved(slice) >> u32::BITS {
            break;
        }
        let Some(slot) = maps::ring((moved(slice) + compared) as u32) else {
            break;
        };
        let (Some(real), Some(load)) = (maps::real(slot), maps::load(slot)) else {
            break;
        };
        best.consider(slot, real, load, Rule(rule));
    }
    best.chosen()
}

/// The slot of the one of two real servers, drawn by weight, that has less overhead for its weight; as [`least_loaded`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn one_of_two(offset: u64, length: u64, service: u64) -> u64 {
    let rule = Rule::of(Rule::OVERHEAD, service);
    let mut best = Best::NOBODY;
    for _ in 0..2 {
        // SAFETY: the helper has no conditions.
        let random = unsafe { bpf_get_prandom_u32() };
        for skipped in 0..TRIES {
            if skipped >= length {
                break;
            }
            let at = (u64::from(random) + skipped) % length;
            let Some(slot) = maps::ring((offset + at) as u32) else {
                break;
            };
            let (Some(real), Some(load)) = (maps::real(slot), maps::load(slot)) else {
                break;
            };
            if best.consider(slot, real, load, rule) != 0 {
                break;
            }
        }
    }
    best.chosen()
}
