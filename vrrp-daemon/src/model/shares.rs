//! How many turns of a schedule each weight gets, where schedules cannot be as long as weights can be large.

use std::fmt;

use lb_common::RingWord;

use super::{Scheduler, VirtualService};

/// No schedule is longer than this, but for [`TURNS_PER_REAL_SERVER`]: working one out takes time.
const LONGEST_SHARE: usize = 1 << 14;

/// What a schedule may have for each real server of its service, however many services share the room.
pub const TURNS_PER_REAL_SERVER: usize = 6;

/// How many slots a schedule takes, at most, beside those that it has.
const ROUNDED_UP: usize = RingWord::SLOTS as usize - 1;

/// What a Maglev ring may have for each real server of its service, however many services share the room, and for
/// itself.
const MAGLEV_SLOTS_PER_REAL_SERVER: usize = 2;
const MAGLEV_SLOTS: usize = 5;

/// The slots that a Maglev ring and its motion take, at most, beside 17 eighths of those that it has: what is rounded up
/// of the ring, of its predecessor and of two bits for each slot.
const MAGLEV_ROUNDED_UP: usize = 2 * ROUNDED_UP + 2 * RingWord::SLOTS as usize;

/// How many turns all schedules together may have in a ring array of `capacity` slots: of one of its two halves, what
/// Maglev rings leave. The planner moves all of them to the other half when a change finds no gap, so there is always
/// room for the old and the new schedules.
#[must_use]
pub const fn room(capacity: u32) -> usize {
    (capacity as u64 * 7 / 32) as usize
}

/// How many slots all Maglev rings together may have, each with its motion beside it, which takes as much and an eighth.
#[must_use]
pub const fn maglev_room(capacity: u32) -> usize {
    (capacity as u64 * 9 / 32 * 8 / 17) as usize
}

/// What of [`maglev_room`] these services take at least, however small their rings are.
#[must_use]
pub const fn least_maglev_room(services: usize, real_servers: usize) -> usize {
    MAGLEV_SLOTS_PER_REAL_SERVER * real_servers + (MAGLEV_SLOTS + MAGLEV_ROUNDED_UP.div_ceil(2)) * services
}

/// How long the schedules and the Maglev ring of a service may be, so that those of all services fit into a common room.
///
/// It follows from numbers that only a reload changes, not from weights or health: what becomes of one service moves
/// no other, and a service that had a schedule keeps having one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleLimit {
    /// What every service may have beside the turns for its real servers.
    share: usize,
    /// The same of the slots of Maglev rings.
    maglev_share: usize,
}

impl ScheduleLimit {
    /// The limit that keeps all schedules of `services` services, which have `real_servers` real servers together,
    /// within the [`room`] of a ring array of `capacity` slots, each rounded up to whole elements. There must be room
    /// for [`TURNS_PER_REAL_SERVER`] for each real server and an element for each service.
    #[must_use]
    pub fn new(capacity: u32, services: usize, real_servers: usize) -> Self {
        let rest = room(capacity).saturating_sub(TURNS_PER_REAL_SERVER * real_servers);
        let (some_services, some_real_servers) = (steps(services), steps(real_servers));
        let maglev_rest =
            maglev_room(capacity).saturating_sub(least_maglev_room(some_services, some_real_servers));
        Self {
            share: (rest / services.max(1))
                .saturating_sub(ROUNDED_UP)
                .min(LONGEST_SHARE),
            maglev_share: maglev_rest / some_services,
        }
    }

    /// The limit for these services in a ring array of `capacity` slots.
    pub fn of<'a>(capacity: u32, services: impl Iterator<Item = &'a VirtualService> + Clone) -> Self {
        let real_servers = services.clone().map(|service| service.real_servers.len());
        Self::new(capacity, services.count(), real_servers.sum())
    }

    /// The most turns of a service with that many real servers, whatever their weights and health.
    #[must_use]
    pub const fn turns(self, real_servers: usize) -> usize {
        TURNS_PER_REAL_SERVER * real_servers + self.share
    }

    /// The most slots of its Maglev ring.
    #[must_use]
    pub const fn maglev(self, real_servers: usize) -> usize {
        MAGLEV_SLOTS_PER_REAL_SERVER * real_servers + MAGLEV_SLOTS + self.maglev_share
    }

    /// The most slots of its schedule under this scheduler.
    #[must_use]
    pub const fn slots(self, scheduler: Scheduler, real_servers: usize) -> usize {
        if scheduler.is_placed() {
            self.maglev(real_servers)
        } else {
            self.turns(real_servers)
        }
    }

    /// What becomes of the shares of a service's real servers, 0 for those that do not serve.
    #[must_use]
    pub fn rounding(self, scheduler: Scheduler, shares: &[u16]) -> Rounding {
        Rounding::new(
            shares,
            &scheduler.turns(shares, self.slots(scheduler, shares.len())),
        )
    }
}

/// `number` or a little more, in four steps to the next power of two: one service more does not change the size of all
/// Maglev rings, on any director.
fn steps(number: usize) -> usize {
    number.next_multiple_of((number / 4).next_power_of_two()).max(1)
}

/// What becomes of weights that a schedule is too short for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounding {
    /// [`worst_error`].
    pub error: f64,
    /// What the turns of each amount to, in the measure of the weights: where nothing is rounded, the weights.
    pub weights: Vec<f64>,
}

impl Rounding {
    /// That of weights which get these turns.
    #[must_use]
    pub fn new(weights: &[u16], turns: &[u32]) -> Self {
        Self {
            error: worst_error(weights, turns),
            weights: amounts(weights, turns),
        }
    }
}

/// The sizes that a Maglev table may have: the largest primes below the powers of two, of which IPVS has those from 251
/// on. It is a prime, so that every real server's permutation visits all of it.
const TABLE_SIZES: [usize; 15] = [
    7, 13, 31, 61, 127, 251, 509, 1_021, 2_039, 4_093, 8_191, 16_381, 32_749, 65_521, 131_071,
];

/// The size of a Maglev table unless there are more real servers: IPVS's default.
const USUAL_TABLE_SIZE: usize = 4_093;

/// The slots of a Maglev table for each real server, at least: with so many, shares differ by 1 % at most (Eisenbud et
/// al., section 3.4).
const SLOTS_PER_REAL_SERVER: usize = 100;

/// The size of the Maglev table of a service with that many configured real servers, whatever their health and weights,
/// which has room for `limit` slots.
#[must_use]
pub fn table_size(real_servers: usize, limit: usize) -> usize {
    let wanted = (SLOTS_PER_REAL_SERVER * real_servers).max(USUAL_TABLE_SIZE);
    let sizes = TABLE_SIZES.into_iter().filter(|size| *size <= limit);
    let enough = sizes.clone().find(|size| *size >= wanted);
    enough.or(sizes.max()).unwrap_or(limit)
}

/// Shares all of `slots` among `weights` in proportion, as [`turns`] does where weights do not fit.
#[must_use]
pub fn apportioned(weights: &[u16], slots: usize) -> Vec<u32> {
    let mut turns: Vec<u32> = weights.iter().map(|weight| u32::from(*weight)).collect();
    apportion(&mut turns, slots as u64);
    turns
}

/// How many turns each of `weights` gets in a schedule of at most `limit` turns.
///
/// Where the weights, divided by their greatest common divisor, fit, they are the turns. Otherwise the turns are shared
/// in proportion, the largest remainders rounded up (Hamilton's method) and the first of equals first; no weight above
/// 0 is rounded to 0. `limit` must not be below the number of weights above 0.
#[must_use]
pub fn turns(weights: &[u16], limit: usize) -> Vec<u32> {
    let mut turns: Vec<u32> = weights.iter().map(|weight| u32::from(*weight)).collect();
    reduce(&mut turns);
    if sum(&turns) > limit as u64 {
        apportion(&mut turns, limit as u64);
        reduce(&mut turns);
    }
    turns
}

/// The largest relative difference between the share of the turns that a weight gets and the share that it asks for:
/// 0.5 is half as much again, or half as much. 0 where all shares are exact.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sums of weights are far below 2^52")]
pub fn worst_error(weights: &[u16], turns: &[u32]) -> f64 {
    let asked: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let given = sum(turns);
    weights
        .iter()
        .zip(turns)
        .filter(|(weight, _)| **weight > 0)
        .map(|(weight, turns)| {
            let exact = u64::from(*weight) * given;
            let got = u64::from(*turns) * asked;
            got.abs_diff(exact) as f64 / exact as f64
        })
        .fold(0.0, f64::max)
}

/// What these turns amount to in the measure of `weights`.
#[expect(clippy::cast_precision_loss, reason = "sums of weights are far below 2^52")]
fn amounts(weights: &[u16], turns: &[u32]) -> Vec<f64> {
    let asked: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let given = sum(turns).max(1);
    let amount = |turns: &u32| (u64::from(*turns) * asked) as f64 / given as f64;
    turns.iter().map(amount).collect()
}

/// How people are told of a [`worst_error`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(pub f64);

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 * 100.0 {
            ..0.01 => formatter.write_str("less than 0.01 %"),
            percent @ ..10.0 => write!(formatter, "up to {percent:.2} %"),
            percent => write!(formatter, "up to {percent:.0} %"),
        }
    }
}

/// Shares `limit` turns among `weights` and puts the result in their place.
fn apportion(weights: &mut [u32], limit: u64) {
    let mut by_weight: Vec<usize> = (0..weights.len()).filter(|index| weights[*index] > 0).collect();
    by_weight.sort_by_key(|index| weights[*index]);
    let mut left = limit;
    let mut asked = sum(weights);
    // The lightest ask for less than one turn, and get it; what they get too much, the others share as a loss.
    let light = by_weight
        .iter()
        .take_while(|index| {
            let weight = u64::from(weights[**index]);
            let is_light = weight * left < asked;
            if is_light {
                left -= 1;
                asked -= weight;
            }
            is_light
        })
        .count();
    let mut remainders = Vec::with_capacity(by_weight.len() - light);
    let mut unshared = left;
    for (position, index) in by_weight.into_iter().enumerate() {
        if position < light {
            weights[index] = 1;
            continue;
        }
        let exact = u64::from(weights[index]) * left;
        weights[index] = u32::try_from(exact / asked).expect("no schedule is that long");
        unshared -= exact / asked;
        remainders.push((exact % asked, index));
    }
    remainders.sort_by_key(|&(remainder, index)| (std::cmp::Reverse(remainder), index));
    for (_, index) in remainders
        .into_iter()
        .zip(0..unshared)
        .map(|(remainder, _)| remainder)
    {
        weights[index] += 1;
    }
}

/// Divides by the greatest common divisor.
fn reduce(turns: &mut [u32]) {
    let divisor = turns
        .iter()
        .fold(0, |divisor, turns| greatest_common_divisor(divisor, *turns));
    if divisor > 1 {
        for turns in turns {
            *turns /= divisor;
        }
    }
}

/// Euclid's algorithm.
const fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn sum(turns: &[u32]) -> u64 {
    turns.iter().map(|turns| u64::from(*turns)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_is_exact() {
        assert_eq!(turns(&[3, 2, 1], 6), [3, 2, 1]);
        assert_eq!(turns(&[300, 0, 200, 100], 6), [3, 0, 2, 1]);
        assert_eq!(turns(&[0, 0], 0), [0, 0]);
        assert!(turns(&[], 0).is_empty());
        assert_eq!(worst_error(&[300, 0, 200, 100], &[3, 0, 2, 1]), 0.0);
    }

    #[test]
    fn what_does_not_fit_is_rounded_and_the_lightest_keep_a_turn() {
        assert_eq!(turns(&[65_535, 65_534], 100), [1, 1]);
        assert_eq!(turns(&[65_535, 65_534, 1], 101), [50, 50, 1]);
        assert_eq!(turns(&[1, 65_535], 10), [1, 9]);
        assert_eq!(turns(&[50, 30, 21], 10), [5, 3, 2]);
    }

    #[test]
    fn the_error_is_that_of_the_share_that_suffers_most() {
        // Asked for 1/4 and 3/4, given 1/2 each: twice as much, and two thirds.
        assert_eq!(worst_error(&[1, 3], &[1, 1]), 1.0);
        let error = worst_error(&[65_535, 65_534], &[1, 1]);
        assert!((error - 7.6e-6).abs() < 1e-7, "{error}");
    }

    #[test]
    fn turns_amount_to_weights() {
        assert_eq!(
            amounts(&[300, 0, 200, 100], &[3, 0, 2, 1]),
            [300.0, 0.0, 200.0, 100.0]
        );
        assert_eq!(amounts(&[65_535, 65_534], &[1, 1]), [65_534.5, 65_534.5]);
        assert_eq!(amounts(&[1, 3], &[1, 1]), [2.0, 2.0]);
        assert_eq!(amounts(&[0, 0], &[0, 0]), [0.0, 0.0]);
        assert!(amounts(&[], &[]).is_empty());
        let limit = ScheduleLimit {
            share: 0,
            maglev_share: 0,
        };
        let rounding = limit.rounding(Scheduler::WeightedRoundRobin, &[65_535, 65_534, 0]);
        assert_eq!(rounding.weights, [65_534.5, 65_534.5, 0.0]);
        assert!(rounding.error > 0.0 && rounding.error < 1e-5);
        let exact = limit.rounding(Scheduler::WeightedRoundRobin, &[3, 2, 1]);
        assert_eq!((exact.error, exact.weights), (0.0, vec![3.0, 2.0, 1.0]));
    }

    #[test]
    fn an_error_is_told_in_percent_as_exactly_as_it_matters() {
        let told = |error| Percent(error).to_string();
        assert_eq!(told(7.6e-6), "less than 0.01 %");
        assert_eq!(told(0.012_345), "up to 1.23 %");
        assert_eq!(told(1.0), "up to 100 %");
    }

    #[test]
    fn a_maglev_table_is_sized_by_its_servers_and_fits_its_limit() {
        assert_eq!(table_size(3, usize::MAX), 4_093);
        assert_eq!(table_size(40, usize::MAX), 4_093);
        assert_eq!(table_size(41, usize::MAX), 8_191);
        assert_eq!(table_size(10_000, usize::MAX), 131_071);
        assert_eq!(table_size(41, 8_190), 4_093);
        for servers in 1..2_000 {
            let limit = TURNS_PER_REAL_SERVER * servers;
            assert!(
                (servers..=limit).contains(&table_size(servers, limit)),
                "{servers}"
            );
        }
    }

    #[test]
    fn a_maglev_table_is_shared_out_to_the_last_slot() {
        assert_eq!(apportioned(&[1, 1, 1], 7), [3, 2, 2]);
        assert_eq!(apportioned(&[300, 0, 100], 251), [188, 0, 63]);
        assert_eq!(apportioned(&[1, 65_535], 13), [1, 12]);
    }

    #[test]
    fn few_services_may_have_long_schedules_and_many_have_less() {
        let capacity = 1 << 21;
        assert_eq!(ScheduleLimit::new(capacity, 1, 2).turns(2), (1 << 14) + 12);
        assert_eq!(ScheduleLimit::new(capacity, 70, 140).turns(2), 6_550);
        assert_eq!(ScheduleLimit::new(capacity, 10_240, 65_536).turns(6), 39);
        assert_eq!(ScheduleLimit::new(capacity, 0, 0).turns(0), 1 << 14);
    }

    fn weights() -> impl Strategy<Value = Vec<u16>> {
        let weight = prop_oneof![1 => Just(0), 4 => 1..20_u16, 2 => any::<u16>(), 1 => 65_000_u16..];
        prop::collection::vec(weight, 1..40)
    }

    proptest! {
        #[test]
        fn shares_are_within_a_turn_and_an_eighth_of_what_is_asked(weights in weights(), share in 0..3_000_usize) {
            let limit = TURNS_PER_REAL_SERVER * weights.len() + share;
            let turns = turns(&weights, limit);
            let given = sum(&turns);
            prop_assert!(given <= limit as u64);
            let asked: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            if asked <= limit as u64 {
                prop_assert_eq!(worst_error(&weights, &turns), 0.0);
            }
            for (weight, turns) in weights.iter().zip(&turns) {
                let (weight, turns) = (f64::from(*weight), f64::from(*turns));
                if weight == 0.0 {
                    prop_assert_eq!(turns, 0.0);
                    continue;
                }
                let exact = weight * given as f64 / asked as f64;
                prop_assert!(turns >= 1.0);
                prop_assert!(turns <= exact + 1.0, "{turns} for {exact}");
                prop_assert!(turns >= exact * 7.0 / 8.0 - 1.0, "{turns} for {exact}");
            }
        }

        #[test]
        fn who_weighs_more_never_gets_less(weights in weights(), share in 0..3_000_usize) {
            let turns = turns(&weights, TURNS_PER_REAL_SERVER * weights.len() + share);
            let mut both: Vec<_> = weights.iter().zip(&turns).collect();
            both.sort_unstable();
            for pair in both.windows(2) {
                prop_assert!(pair[0].0 == pair[1].0 || pair[0].1 <= pair[1].1, "{pair:?}");
            }
        }

        #[test]
        fn schedules_within_their_limits_fit_together(
            services in prop::collection::vec(0..50_usize, 1..200),
            spare in 0..10_000_usize,
        ) {
            let real_servers: usize = services.iter().sum();
            let room = TURNS_PER_REAL_SERVER * real_servers + (ROUNDED_UP + 1) * services.len() + spare;
            let capacity = u32::try_from((32 * room).div_ceil(7)).expect("it is small");
            let limit = ScheduleLimit::new(capacity, services.len(), real_servers);
            let all: usize = services
                .iter()
                .map(|count| limit.turns(*count).next_multiple_of(ROUNDED_UP + 1))
                .sum();
            prop_assert!(all <= room);
            prop_assert!(limit.turns(0) >= 1);
        }
    }
}
