//! What holds of the hash schedulers: shares, who moves, and that nothing depends on the order of the file.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const SIZE: usize = 4_093;

const LIMIT: usize = 8_192;

const FALLBACK: HashOptions = HashOptions {
    port: false,
    fallback: true,
};

const PLAIN: HashOptions = HashOptions {
    port: false,
    fallback: false,
};

fn address(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, high, low)), 80)
}

/// Members that serve, with these shares; the slot of each tells its number.
fn members(shares: &[u16]) -> Vec<Member> {
    (0..)
        .zip(shares)
        .map(|(number, share)| Member {
            address: address(number),
            slot: RealSlot::new(u32::from(number)),
            share: *share,
            serves: *share > 0,
        })
        .collect()
}

fn slots(scheduler: Scheduler, members: &[Member]) -> Vec<u32> {
    let schedule = schedule(scheduler, members, LIMIT);
    schedule.into_iter().map(RealSlot::get).collect()
}

fn counts(schedule: &[u32], members: usize) -> Vec<usize> {
    let mut counts = vec![0; members];
    for slot in schedule {
        counts[*slot as usize] += 1;
    }
    counts
}

/// How many slots have changed hands that were not those of `gone`.
fn moved(before: &[u32], after: &[u32], gone: u32) -> usize {
    assert_eq!(before.len(), after.len());
    let both = before.iter().zip(after);
    both.filter(|(before, after)| **before != gone && before != after)
        .count()
}

fn schedulers() -> impl Strategy<Value = Scheduler> {
    prop::sample::select(vec![
        Scheduler::SourceHash(PLAIN),
        Scheduler::SourceHash(FALLBACK),
        Scheduler::DestinationHash,
        Scheduler::Maglev(PLAIN),
        Scheduler::Maglev(FALLBACK),
    ])
}

#[test]
fn source_hashing_has_weighted_shares_of_those_that_serve() {
    let mut members = members(&[3, 2, 1]);
    assert_eq!(slots(Scheduler::SourceHash(PLAIN), &members), [0, 1, 0, 2, 1, 0]);
    members[0].serves = false;
    assert_eq!(slots(Scheduler::SourceHash(PLAIN), &members), [1, 2, 1]);
}

/// A director of another release, or with another order in its file, has the same table.
#[test]
fn the_maglev_table_stays_the_same_from_release_to_release() {
    let table = slots(Scheduler::Maglev(FALLBACK), &members(&[3, 2, 1]));
    assert_eq!(table.len(), SIZE);
    assert_eq!(table[..16], [0, 0, 0, 2, 0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0, 1]);
    assert_eq!(counts(&table, 3), [2_047, 1_364, 682]);
    let digest = table.iter().fold(0_u64, |digest, slot| {
        lb_common::spread(digest.wrapping_add(u64::from(*slot) + 1))
    });
    assert_eq!(digest, 0x694c_af10_cd4b_be41);
}

/// The same with IPv6, where addresses have more words.
#[test]
fn ipv6_servers_have_tables_of_their_own() {
    let mut members = members(&[1, 1, 1]);
    for (number, member) in members.iter_mut().enumerate() {
        member.address = SocketAddr::new(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x11 + number as u16]), 80);
    }
    let table = slots(Scheduler::Maglev(FALLBACK), &members);
    assert_eq!(table[..16], [0, 2, 1, 2, 1, 2, 0, 0, 0, 0, 2, 1, 1, 2, 2, 0]);
    assert_eq!(counts(&table, 3), [1_365, 1_364, 1_364]);
}

/// Where a server of many goes, few of the others' slots move (the paper's section 5.3): here three in a hundred at
/// most, and none of two servers'.
#[test]
fn a_server_that_is_removed_moves_few_slots_of_others_under_maglev() {
    for servers in [2_usize, 5, 10, 40] {
        let all = members(&vec![1; servers]);
        let before = slots(Scheduler::Maglev(FALLBACK), &all);
        for gone in 0..servers {
            let mut rest = all.clone();
            rest.remove(gone);
            let after = slots(Scheduler::Maglev(FALLBACK), &rest);
            let moved = moved(&before, &after, gone as u32);
            assert!(servers > 2 || moved == 0);
            assert!(
                moved * 100 < SIZE * 3,
                "{moved} of {SIZE} slots, with {servers} servers"
            );
        }
    }
}

#[test]
fn many_servers_have_a_larger_table_if_there_is_room() {
    let members = members(&[1; 60]);
    let slots = |limit| schedule(Scheduler::Maglev(PLAIN), &members, limit).len();
    assert_eq!([20_000, 8_191, 8_190, 480].map(slots), [8_191, 8_191, 4_093, 251]);
}

/// Of what those have who serve, what is dealt out is in proportion.
#[test]
fn what_falls_back_is_shared_by_weight() {
    for scheduler in [Scheduler::SourceHash(FALLBACK), Scheduler::Maglev(FALLBACK)] {
        let mut members = members(&[6, 3, 1, 2]);
        members[0].serves = false;
        let schedule = slots(scheduler, &members);
        let counts = counts(&schedule, 4);
        assert_eq!(counts[0], 0);
        for (count, sixths) in counts[1..].iter().zip([3, 1, 2]) {
            let fair = schedule.len() * sixths / 6;
            assert!(count.abs_diff(fair) * 10 < fair, "{scheduler:?}: {counts:?}");
        }
    }
}

/// One server in a thousand is left, and takes all.
#[test]
fn the_last_one_that_serves_takes_all_slots() {
    let mut members = members(&[1; 1_000]);
    for member in &mut members[1..] {
        member.serves = false;
    }
    for scheduler in [Scheduler::DestinationHash, Scheduler::Maglev(FALLBACK)] {
        let schedule = slots(scheduler, &members);
        assert!(!schedule.is_empty() && schedule.iter().all(|slot| *slot == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_the_file_and_the_slots_decide_nothing(
        scheduler in schedulers(),
        order in prop::collection::vec((0_u16..9, any::<bool>()), 1..12).prop_map(|settings| {
            let shares: Vec<u16> = settings.iter().map(|(share, _)| *share).collect();
            let mut members = members(&shares);
            for (member, (share, serves)) in members.iter_mut().zip(settings) {
                member.serves = serves && share > 0;
            }
            members
        }).prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
    ) {
        let (members, mut shuffled) = order;
        let expected: Vec<SocketAddr> =
            slots(scheduler, &members).into_iter().map(|slot| members[slot as usize].address).collect();
        for (slot, member) in (0..).zip(&mut shuffled) {
            member.slot = RealSlot::new(slot);
        }
        let found: Vec<SocketAddr> =
            slots(scheduler, &shuffled).into_iter().map(|slot| shuffled[slot as usize].address).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_maglev_table_has_all_shares_within_a_slot(shares in prop::collection::vec(0_u16..40, 1..20)) {
        let sum: usize = shares.iter().map(|share| usize::from(*share)).sum();
        prop_assume!(sum > 0);
        let counts = counts(&slots(Scheduler::Maglev(PLAIN), &members(&shares)), shares.len());
        prop_assert_eq!(counts.iter().sum::<usize>(), SIZE);
        for (count, share) in counts.iter().zip(&shares) {
            prop_assert!((count * sum).abs_diff(usize::from(*share) * SIZE) < sum, "{:?} for {:?}", counts, shares);
        }
    }

    #[test]
    fn who_fails_moves_nobody_elses_clients_and_who_comes_back_finds_its_own(
        scheduler in prop::sample::select(vec![
            Scheduler::SourceHash(FALLBACK), Scheduler::DestinationHash, Scheduler::Maglev(FALLBACK),
        ]),
        shares in prop::collection::vec(1_u16..9, 2..12),
        first in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(),
    ) {
        let mut members = members(&shares);
        let all = slots(scheduler, &members);
        let first = first.index(shares.len());
        members[first].serves = false;
        let without_first = slots(scheduler, &members);
        prop_assert_eq!(moved(&all, &without_first, first as u32), 0);
        let second = second.index(shares.len());
        prop_assume!(second != first && shares.len() > 2);
        // What the first one's clients have got to stays as well.
        members[second].serves = false;
        let without_both = slots(scheduler, &members);
        prop_assert_eq!(moved(&without_first, &without_both, second as u32), 0);
        members[second].serves = true;
        prop_assert_eq!(slots(scheduler, &members), without_first);
        members[first].serves = true;
        prop_assert_eq!(slots(scheduler, &members), all);
    }

    #[test]
    fn only_those_that_serve_have_slots_and_nobody_means_an_empty_schedule(
        scheduler in schedulers(),
        settings in prop::collection::vec((0_u16..9, any::<bool>()), 0..12),
    ) {
        let shares: Vec<u16> = settings.iter().map(|(share, _)| *share).collect();
        let mut members = members(&shares);
        for (member, (share, serves)) in members.iter_mut().zip(&settings) {
            member.serves = *serves && *share > 0;
        }
        let counts = counts(&slots(scheduler, &members), members.len());
        for (count, member) in counts.iter().zip(&members) {
            prop_assert_eq!(*count > 0, member.serves);
        }
    }
}
