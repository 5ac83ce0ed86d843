//! Smooth weighted round-robin, unrolled.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::shares;

/// The schedule of real servers with these weights: which of `members` (pairs of a real server's slot and its weight)
/// gets each of a round of new connections. Members of weight 0 get none.
///
/// The order is that of smooth weighted round-robin (as nginx's `ngx_http_upstream_get_peer`): in each turn every
/// member gains its weight, the richest is chosen (the first of equals) and pays the sum of all weights. Weights 5:1:1
/// make `a a b a c a a`, where plain weighted round-robin makes a burst of `a`s.
///
/// The length is the sum of the weights divided by their greatest common divisor: shares are exact. Only where that is
/// above `limit`, weights are rounded, as [`shares::turns`] says.
pub(super) fn schedule(members: &[(u32, u16)], limit: usize) -> Vec<u32> {
    let weights: Vec<u16> = members.iter().map(|(_, weight)| *weight).collect();
    let turns = shares::turns(&weights, limit);
    let members: Vec<(u32, u32)> = members
        .iter()
        .zip(turns)
        .filter(|(_, turns)| *turns > 0)
        .map(|((slot, _), turns)| (*slot, turns))
        .collect();
    unroll(&members)
}

/// Members of the same weight. All of them have gained alike, so the one to choose is the one that was chosen least
/// often, the first of equals: they take turns. So a turn of the schedule costs as much as there are different weights,
/// not as there are members; in a schedule of `n` slots these are fewer than `sqrt(2n)`.
struct Peers {
    weight: i64,
    /// The place of each among all members, and its slot.
    members: Vec<(usize, u32)>,
    /// Whose turn it is.
    next: usize,
    /// What that one has gained, less what it has paid.
    credit: i64,
}

impl Peers {
    /// The one with the highest is chosen: the richest, of equals the first.
    fn precedence(&self) -> (i64, Reverse<usize>) {
        let (position, _) = self.members[self.next];
        (self.credit, Reverse(position))
    }
}

/// A full round of smooth weighted round-robin: as many turns as the sum of the weights.
fn unroll(members: &[(u32, u32)]) -> Vec<u32> {
    let mut by_weight: BTreeMap<u32, Vec<(usize, u32)>> = BTreeMap::new();
    for (position, &(slot, weight)) in members.iter().enumerate() {
        by_weight.entry(weight).or_default().push((position, slot));
    }
    let mut groups: Vec<Peers> = by_weight
        .into_iter()
        .map(|(weight, members)| Peers {
            weight: i64::from(weight),
            members,
            next: 0,
            credit: 0,
        })
        .collect();
    let sum: i64 = groups
        .iter()
        .map(|group| group.weight * group.members.len() as i64)
        .sum();

    let mut slots = Vec::new();
    for _turn in 0..sum {
        for group in &mut groups {
            group.credit += group.weight;
        }
        let Some(group) = groups.iter_mut().max_by_key(|group| group.precedence()) else {
            break;
        };
        let (_, slot) = group.members[group.next];
        slots.push(slot);
        group.next += 1;
        if group.next == group.members.len() {
            // Everybody of this weight has been chosen as often again: the first one's payment shows now.
            group.next = 0;
            group.credit -= sum;
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, turn by turn.
    fn reference(weights: &[u16]) -> Vec<u32> {
        let sum: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
        let mut credit = vec![0_i64; weights.len()];
        (0..sum)
            .map(|_| {
                for (credit, weight) in credit.iter_mut().zip(weights) {
                    *credit += i64::from(*weight);
                }
                let mut best = 0;
                for index in 1..weights.len() {
                    if credit[index] > credit[best] {
                        best = index;
                    }
                }
                credit[best] -= sum;
                best as u32
            })
            .collect()
    }

    fn members(weights: &[u16]) -> Vec<(u32, u16)> {
        (0..).zip(weights.iter().copied()).collect()
    }

    fn exact(weights: &[u16]) -> Vec<u32> {
        schedule(&members(weights), usize::MAX)
    }

    fn counts(slots: &[u32], members: usize) -> Vec<usize> {
        let mut counts = vec![0; members];
        for slot in slots {
            counts[*slot as usize] += 1;
        }
        counts
    }

    #[test]
    fn weights_three_two_one_are_exact_and_interleaved() {
        assert_eq!(
            schedule(&[(7, 3), (8, 2), (9, 1)], usize::MAX),
            [7, 8, 7, 9, 8, 7]
        );
    }

    #[test]
    fn a_heavy_server_gets_no_bursts() {
        assert_eq!(exact(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn weights_are_reduced_by_their_common_divisor() {
        assert_eq!(exact(&[300, 200, 100]), exact(&[3, 2, 1]));
    }

    #[test]
    fn a_server_of_weight_zero_gets_nothing_and_nobody_means_an_empty_schedule() {
        assert_eq!(exact(&[0, 1, 0]), [1]);
        assert!(exact(&[0, 0]).is_empty());
        assert!(exact(&[]).is_empty());
    }

    #[test]
    fn a_schedule_that_would_be_too_long_is_scaled_within_a_slot_of_the_true_shares() {
        let weights = [65_535, 65_534, 1];
        let slots = schedule(&members(&weights), 1_000);
        assert!(slots.len() <= 1_000, "{} slots", slots.len());
        let counts = counts(&slots, 3);
        assert!(counts[0].abs_diff(counts[1]) <= 1, "{counts:?}");
        assert_eq!(counts[2], 1);
    }

    #[test]
    fn ten_thousand_servers_of_all_weights_all_get_their_share() {
        let weights: Vec<u16> = (0..10_000).map(|index| 1 + index % 100).collect();
        let slots = schedule(&members(&weights), 80_000);
        assert!(slots.len() <= 80_000, "{} slots", slots.len());
        let counts = counts(&slots, weights.len());
        assert!(counts.iter().all(|count| *count >= 1));
        assert!(counts[99] > 10 * counts[0], "{} and {}", counts[99], counts[0]);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_smooth_weighted_round_robin(weights in prop::collection::vec(0_u16..12, 1..9)) {
            let turns = shares::turns(&weights, usize::MAX);
            prop_assume!(turns.iter().zip(&weights).all(|(turns, weight)| *turns == u32::from(*weight)));
            prop_assert_eq!(exact(&weights), reference(&weights));
        }

        #[test]
        fn shares_are_in_proportion_to_the_weights(weights in prop::collection::vec(0_u16..300, 1..20)) {
            let counts = counts(&exact(&weights), weights.len());
            for (a, b) in [(0, weights.len() - 1), (weights.len() / 2, 0)] {
                prop_assert_eq!(
                    counts[a] * usize::from(weights[b]),
                    counts[b] * usize::from(weights[a])
                );
            }
        }
    }
}
