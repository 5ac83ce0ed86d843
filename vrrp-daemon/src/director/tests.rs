//! From one event to the operations that follow.

mod ports;

use std::collections::BTreeSet;

use lb_common::{NO_LEASE, Real, Service, Thresholds, maps, real_flags};

use super::fixture::*;
use super::*;
use crate::health::Health;
use crate::model::Scheduler::{
    LeastConnection, Maglev, RoundRobin, SourceHash, WeightedFailover, WeightedLeastConnection,
    WeightedRoundRobin,
};
use crate::model::{HashOptions, LeaseSlot, Password, RealSlot, Version, VrrpInstance, Weight};

mod access;
mod local;
mod tunnels;

const SLOT_1: RealSlot = RealSlot::new(1);

fn three_servers() -> World {
    let mut world = World::new(vec![service(0, WeightedRoundRobin, &[(1, 3), (2, 2), (3, 1)])]);
    world.settle();
    world
}

#[test]
fn a_start_from_empty_maps_serves_by_weight() {
    let world = three_servers();
    assert_eq!(world.schedule(0), [1, 2, 1, 3, 2, 1]);
}

#[test]
fn round_robin_disregards_all_weights_but_zero() {
    let mut world = World::new(vec![service(0, RoundRobin, &[(1, 3), (2, 0), (3, 1)])]);
    world.settle();
    assert_eq!(world.schedule(0), [1, 3]);
}

#[test]
fn schedulers_that_compare_have_each_server_once_and_its_weight_beside_it() {
    let settings = [(1, 2), (2, 0), (3, 3), (4, 3)];
    for (scheduler, schedule, weights) in [
        (LeastConnection, [1, 3, 4], [1, 0, 1, 1]),
        (WeightedLeastConnection, [1, 3, 4], [2, 0, 3, 3]),
        (WeightedFailover, [3, 4, 1], [2, 0, 3, 3]),
    ] {
        let mut world = World::new(vec![service(0, scheduler, &settings)]);
        world.settle();
        assert_eq!(world.schedule(0), schedule);
        for (real, weight) in (1..).zip(weights) {
            let slot = world.slot(0, real).expect("configured");
            assert_eq!(world.plane.real(slot).weight, weight);
            assert_eq!(world.plane.real(slot).is_counted(), scheduler.counts());
        }
    }
}

#[test]
fn a_real_server_with_a_threshold_is_counted_under_every_scheduler() {
    let mut world = three_servers();
    world.configuration.virtual_services[0].real_servers[1].upper_threshold = 100;
    world.settle();
    let reals = [1, 2, 3].map(|real| world.plane.real(world.slot(0, real).expect("configured")));
    assert_eq!(reals.map(|real| real.is_counted()), [false, true, false]);
    assert_eq!(reals[1].thresholds, Thresholds::new(100, 0));
    assert!(!reals[0].thresholds.are_set());
}

#[test]
fn the_clients_of_a_server_that_fails_are_dealt_out_and_nobody_else_moves_under_maglev() {
    let options = HashOptions {
        port: true,
        fallback: true,
    };
    let maglev = service(0, Maglev(options), &[(1, 3), (2, 2), (3, 1)]);
    let mut world = World::new(vec![maglev.clone()]);
    world.settle();
    let placed = world.plane.services[&service_key(maglev.address)].placement;
    assert_eq!(placed, lb_common::placement::SOURCE_AND_PORT);
    let before = world.schedule(0);
    assert_eq!(world.plane.turns(&maglev), [2_047, 1_364, 682]);
    world.set_health(0, 1, Health::Down);
    world.settle();
    let after = world.schedule(0);
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| *before == 1 || before == after)
    );
    let turns = world.plane.turns(&maglev);
    assert_eq!((turns[0], turns[1] + turns[2]), (0, 4_093));
    world.set_health(0, 1, Health::Up);
    world.settle();
    assert_eq!(world.schedule(0), before);
}

/// Nothing but the service is written: the schedule is the same, and used otherwise.
#[test]
fn a_reload_may_change_what_is_hashed() {
    let options = |port| HashOptions {
        port,
        fallback: false,
    };
    let servers = [(1, 3), (2, 2), (3, 1)];
    let mut world = World::new(vec![service(0, SourceHash(options(false)), &servers)]);
    world.settle();
    world.configuration.virtual_services = vec![service(0, SourceHash(options(true)), &servers)];
    let operations = world.settle();
    assert!(
        matches!(operations.as_slice(), [Operation::PutService { service, .. }]
            if service.placement == lb_common::placement::SOURCE_AND_PORT),
        "{operations:#?}"
    );
}

#[test]
fn a_server_that_fails_leaves_the_schedule_before_it_loses_its_flags() {
    let mut world = three_servers();
    world.set_health(0, 2, Health::Down);
    let operations = world.settle();
    assert!(
        matches!(
            operations.as_slice(),
            [
                Operation::WriteRing { .. },
                Operation::PutService { .. },
                Operation::PutReal { slot: SLOT_1, real }
            ] if real.flags == real_flags::CONFIGURED | real_flags::RESOLVED
        ),
        "{operations:#?}"
    );
    assert_eq!(world.schedule(0), [1, 1, 3, 1]);
}

#[test]
fn a_server_that_comes_back_has_its_flags_before_it_is_in_the_schedule() {
    let mut world = three_servers();
    world.set_health(0, 2, Health::Down);
    world.settle();
    world.set_health(0, 2, Health::Up);
    let operations = world.settle();
    assert!(
        matches!(
            operations.as_slice(),
            [
                Operation::PutReal { slot: SLOT_1, .. },
                Operation::WriteRing { .. },
                Operation::PutService { .. }
            ]
        ),
        "{operations:#?}"
    );
}

#[test]
fn a_new_link_layer_address_is_one_write() {
    let mut world = three_servers();
    world.neighbours.insert(real_address(2), neighbour(9));
    let operations = world.settle();
    assert!(
        matches!(operations.as_slice(), [Operation::PutReal { slot: SLOT_1, real }]
            if real.destination_mac == neighbour(9).destination_mac),
        "{operations:#?}"
    );
}

#[test]
fn a_server_without_a_link_layer_address_keeps_its_flows_and_gets_no_new_ones() {
    let mut world = three_servers();
    let slot = world.slot(0, 2).expect("configured");
    let generation = world.plane.real(slot).generation;
    world.neighbours.remove(&real_address(2));
    world.settle();
    let real = world.plane.real(slot);
    assert_eq!(real.flags, real_flags::CONFIGURED | real_flags::UP);
    assert_eq!(real.generation, generation);
    assert_eq!(world.schedule(0), [1, 1, 3, 1]);
}

#[test]
fn a_drained_server_keeps_its_flows_and_gets_no_new_ones() {
    let mut world = three_servers();
    let slot = world.slot(0, 1).expect("configured");
    let before = world.plane.real(slot);
    world.configuration.virtual_services[0].real_servers[0].weight = Weight::new(0);
    world.settle();
    let weight = 0;
    assert_eq!(world.plane.real(slot), Real { weight, ..before });
    assert_eq!(world.schedule(0), [2, 3, 2]);
}

#[test]
fn a_server_without_a_check_is_up_and_one_whose_check_has_not_ended_is_not() {
    let mut world = World::new(vec![service(0, WeightedRoundRobin, &[(1, 1), (2, 1)])]);
    world.health.clear();
    world.configuration.virtual_services[0].real_servers[0]
        .checks
        .clear();
    world.settle();
    assert_eq!(world.schedule(0), [1]);
}

#[test]
fn the_slot_of_a_server_that_is_gone_goes_to_another_with_another_generation() {
    let mut world = three_servers();
    let slot = world.slot(0, 2).expect("configured");
    let generation = world.plane.real(slot).generation;

    world.configuration.virtual_services[0].real_servers.remove(1);
    world.settle();
    let freed = world.plane.real(slot);
    assert_eq!((freed.flags, freed.generation), (0, generation));

    let another = World::new(vec![service(0, WeightedRoundRobin, &[(1, 3), (4, 2), (3, 1)])]);
    world.configuration = another.configuration;
    world.health = another.health;
    world.neighbours = another.neighbours;
    world.sweep();
    let operations = world.settle();
    assert_eq!(world.slot(0, 4), Some(slot));
    assert_eq!(world.plane.real(slot).generation, generation + 1);
    assert_eq!(operations[0], Operation::ClearRealCounters { slot });
}

#[test]
fn the_same_machine_behind_two_services_has_two_slots_and_two_healths() {
    let mut world = World::new(vec![
        service(0, WeightedRoundRobin, &[(1, 1), (2, 1)]),
        service(1, WeightedRoundRobin, &[(1, 1), (2, 1)]),
    ]);
    world.settle();
    assert_ne!(world.slot(0, 1), world.slot(1, 1));
    world.set_health(1, 1, Health::Down);
    world.settle();
    assert_eq!(world.schedule(0), [1, 2]);
    assert_eq!(world.schedule(1), [2]);
}

#[test]
fn one_change_among_ten_thousand_servers_takes_three_operations() {
    let servers: Vec<(u16, u16)> = (0..2_500).map(|real| (real, 1 + real % 7)).collect();
    let mut world = World::new(
        (0..4)
            .map(|number| service(number, WeightedRoundRobin, &servers))
            .collect(),
    );
    hurry(&mut world);
    world.set_health(2, 1_234, Health::Down);
    assert_eq!(world.settle().len(), 3);
    world.set_health(2, 1_234, Health::Up);
    assert_eq!(world.settle().len(), 3);
}

#[test]
fn a_restart_with_what_the_maps_tell_changes_nothing() {
    let mut world = three_servers();
    world.set_health(0, 2, Health::Down);
    world.settle();
    let seeds = world.plane.seeds(&world.configuration.virtual_services);

    let mut restarted = World::new(world.configuration.virtual_services.clone());
    restarted.plane = world.plane.clone();
    restarted.health = seeds.iter().map(|(id, seed)| (*id, seed.health)).collect();
    restarted.neighbours = seeds
        .iter()
        .filter_map(|(id, seed)| Some((id.address.ip(), seed.neighbour?)))
        .collect();
    restarted.assign_leases();
    assert_eq!(restarted.advance(usize::MAX), Plan::default());
    let mut health: Vec<_> = seeds.values().map(|seed| seed.health).collect();
    health.sort_by_key(|health| *health == Health::Down);
    assert_eq!(health, [Health::Up, Health::Up, Health::Down]);
}

#[test]
fn an_address_without_an_instance_has_no_lease() {
    let mut world = three_servers();
    let key = service_key(virtual_address(0));
    let lease = LeaseSlot::new(world.plane.services[&key].lease);
    assert_eq!(world.plane.addresses[&key.address].lease, lease.get());
    assert_eq!(
        Some(lease),
        world.leases.slot(&world.configuration.vrrp_instances[0])
    );

    world.configuration.vrrp_instances.clear();
    world.assign_leases();
    world.settle();
    assert_eq!(world.plane.services[&key].lease, NO_LEASE);
    // It stays one of ours, so that what has no port to find the service by meets the same end as under a lease.
    assert_eq!(world.plane.addresses.len(), 1);
    assert_eq!(world.plane.addresses[&key.address].lease, NO_LEASE);
    assert!(world.plane.virtual_routers.is_empty());

    world.configuration.virtual_services.clear();
    world.settle();
    assert!(world.plane.addresses.is_empty());
}

#[test]
fn a_lease_keeps_its_slot_over_reload_and_restart_and_new_ones_take_slots_that_nobody_names() {
    let mut world = World::new(vec![]);
    world.configuration.vrrp_instances = vec![instance(1, 1), instance(2, 2), instance(3, 3)];
    world.leases = LeaseSlots::default();
    world.assign_leases();
    world.settle();
    let third = world.leases.slot(&instance(3, 3));

    // Reload: the first goes, the fourth comes while the maps still name the first one's slot.
    world.configuration.vrrp_instances = vec![instance(4, 4), instance(3, 3), instance(2, 2)];
    world.assign_leases();
    assert_eq!(world.leases.slot(&instance(3, 3)), third);
    assert_eq!(world.leases.fresh(), [LeaseSlot::new(3)]);
    assert_eq!(world.leases.slot(&instance(4, 4)), Some(LeaseSlot::new(3)));
    world.settle();

    // Restart: the maps are all that is left, and eth0's index finds the slots again.
    let reloaded = world.leases.clone();
    world.leases = LeaseSlots::default();
    world.configuration.vrrp_instances.push(instance(5, 5));
    world.assign_leases();
    for instance in &world.configuration.vrrp_instances[..3] {
        assert_eq!(world.leases.slot(instance), reloaded.slot(instance));
    }
    assert_eq!(world.leases.fresh(), [LeaseSlot::new(0)]);
}

#[test]
fn the_program_is_told_what_a_peers_advertisement_must_say() {
    let mut world = World::new(vec![]);
    let with_password = VrrpInstance {
        password: Some(Password::new("secret")),
        ..instance(51, 3)
    };
    // The password is version 2's only.
    let version_3 = VrrpInstance {
        version: Version::V3,
        ..with_password.clone()
    };
    let cases = [
        (instance(51, 3), (2, 0, *b"\0\0\0\0\0\0\0\0")),
        (with_password, (2, 1, *b"secret\0\0")),
        (version_3, (3, 0, *b"\0\0\0\0\0\0\0\0")),
    ];
    for (instance, expected) in cases {
        world.configuration.vrrp_instances = vec![instance];
        world.settle();
        let [entry] = world.plane.virtual_routers.values().collect::<Vec<_>>()[..] else {
            panic!("one virtual router: {:?}", world.plane.virtual_routers);
        };
        assert_eq!((entry.version, entry.authentication, entry.password), expected);
    }
}

#[test]
fn the_program_is_told_the_link_layer_addresses_of_its_interfaces() {
    let mut world = three_servers();
    let tunnel = NetworkInterface {
        index: 3,
        mac: None,
        up: true,
        vlan: None,
    };
    let eth1 = NetworkInterface {
        index: 4,
        mac: Some([2, 0, 0, 0, 0, 4]),
        up: true,
        vlan: None,
    };
    world.interfaces.insert("tun0".to_owned(), tunnel);
    world.interfaces.insert("eth1".to_owned(), eth1);
    let known = |world: &World| -> Vec<(u32, Option<[u8; 6]>)> {
        let interfaces = world.plane.interfaces.iter();
        interfaces
            .map(|(index, known)| (*index, Some(known.mac)))
            .collect()
    };
    world.settle();
    assert_eq!(
        known(&world),
        [(ETH0.index, ETH0.mac)],
        "that of the virtual router"
    );

    world.configuration.dataplane.interfaces = ["eth0", "eth1", "tun0", "eth2"].map(str::to_owned).to_vec();
    world.settle();
    assert_eq!(known(&world), [(ETH0.index, ETH0.mac), (eth1.index, eth1.mac)]);

    let moved = NetworkInterface {
        mac: Some([2, 0, 0, 0, 0, 5]),
        ..eth1
    };
    world.interfaces.insert("eth1".to_owned(), moved);
    world.interfaces.remove("eth0");
    world.settle();
    assert_eq!(known(&world), [(moved.index, moved.mac)]);
}

/// A program on the interface below sees the advertisements before it does, with their tag.
#[test]
fn a_virtual_router_on_a_vlan_device_is_found_by_its_vlan_below_as_well() {
    let mut world = three_servers();
    let keys = |world: &World| -> BTreeSet<(u32, u16)> {
        let routers = world.plane.virtual_routers.keys();
        routers.map(|key| (key.interface, key.vlan)).collect()
    };
    world.settle();
    assert_eq!(keys(&world), BTreeSet::from([(ETH0.index, 0)]));
    let leases = |world: &World| -> BTreeSet<u32> {
        let routers = world.plane.virtual_routers.values();
        routers.map(|entry| entry.lease).collect()
    };
    let before = leases(&world);

    let vlan = NetworkInterface {
        vlan: Some((7, 10)),
        ..ETH0
    };
    world.interfaces.insert("eth0".to_owned(), vlan);
    world.settle();
    assert_eq!(keys(&world), BTreeSet::from([(ETH0.index, 0), (7, 10)]));
    assert_eq!(leases(&world), before);

    world.interfaces.insert("eth0".to_owned(), ETH0);
    world.settle();
    assert_eq!(keys(&world), BTreeSet::from([(ETH0.index, 0)]));
}

#[test]
fn a_virtual_router_whose_interface_is_away_keeps_its_lease() {
    let mut world = three_servers();
    let slot = world.leases.slot(&instance(51, 3));
    world.interfaces.clear();
    world.assign_leases();
    world.settle();
    assert_eq!(world.leases.slot(&instance(51, 3)), slot);
    assert!(world.plane.virtual_routers.is_empty());
    assert_eq!(
        Some(world.plane.services[&service_key(virtual_address(0))].lease),
        slot.map(LeaseSlot::get),
        "its services are not free for all"
    );
}

#[test]
fn real_servers_whose_service_is_gone_are_freed_and_adopted_by_nobody() {
    let mut world = three_servers();
    // A daemon died after it had removed the service.
    world.plane.services.clear();
    world.configuration.virtual_services = vec![service(1, WeightedRoundRobin, &[(1, 1)])];
    world.set_health(1, 1, Health::Up);
    world.settle();
    assert_eq!(world.slot(1, 1), Some(RealSlot::new(3)));
    for slot in 0..3 {
        assert_eq!(world.plane.real(RealSlot::new(slot)).flags, 0);
    }
}

#[test]
fn a_service_that_names_a_schedule_which_is_not_there_gets_a_new_one() {
    let mut world = three_servers();
    let key = service_key(virtual_address(0));
    world.plane.services.insert(
        key,
        Service {
            ring_offset: maps::RING_SLOTS - 4,
            ..world.plane.services[&key]
        },
    );
    // Not watched: it begins with a schedule that is not there.
    let desired = Desired::new(&world.inputs(), &world.plane);
    for operation in world.planner.plan(&world.plane, &desired).operations {
        world.plane.apply(&operation);
    }
    assert_eq!(world.settle(), []);
    assert_eq!(world.schedule(0), [1, 2, 1, 3, 2, 1]);
}

#[test]
fn two_services_that_maps_gone_bad_give_one_index_are_parted() {
    let mut world = World::new(vec![
        service(0, WeightedRoundRobin, &[(1, 1)]),
        service(1, WeightedRoundRobin, &[(1, 1)]),
    ]);
    world.settle();
    for service in world.plane.services.values_mut() {
        service.index = 0;
    }
    let desired = Desired::new(&world.inputs(), &world.plane);
    for operation in world.planner.plan(&world.plane, &desired).operations {
        world.plane.apply(&operation);
    }
    assert_eq!(world.settle(), []);
    assert_ne!(world.slot(0, 1), world.slot(1, 1));
}

#[test]
fn a_slice_that_was_given_up_is_written_again_only_after_all_others() {
    let mut world = World::new(vec![service(0, WeightedRoundRobin, &[(1, 1), (2, 1)])]);
    // Halves of 44 slots.
    world.planner = Planner::with_ring_capacity(88);
    let mut offsets = Vec::new();
    for weight in [14, 0, 14, 0, 14, 0] {
        world.configuration.virtual_services[0].real_servers[1].weight = Weight::new(weight);
        for operation in world.settle() {
            if let Operation::WriteRing { offset, .. } = operation {
                offsets.push(offset);
            }
        }
    }
    assert_eq!(offsets, [0, 16, 20, 36, 0, 16]);
}

#[test]
fn a_schedule_that_finds_no_gap_has_all_schedules_move() {
    let services = |weights: [u16; 2]| {
        let numbered = (0..).zip(weights);
        numbered
            .map(|(number, weight)| service(number, WeightedRoundRobin, &[(1, weight), (2, 1)]))
            .collect()
    };
    let offsets = |world: &World| {
        [0, 1].map(|number| world.plane.services[&service_key(virtual_address(number))].ring_offset)
    };
    let mut world = World::new(services([11, 11]));
    // Halves of 72 slots.
    world.planner = Planner::with_ring_capacity(148);
    world.settle();
    for weights in [[10, 11], [12, 11]] {
        world.configuration.virtual_services = services(weights);
        world.settle();
    }
    assert_eq!(offsets(&world), [36, 12]);
    // There is room for 12 slots at 0 and at 24, and for 20 at 52.
    world.configuration.virtual_services = services([11, 12]);
    world.settle();
    assert_eq!(offsets(&world), [72, 84]);
}

/// Carries a plan out without watching every step, which would take long.
fn hurry(world: &mut World) -> Vec<Operation> {
    let desired = Desired::new(&world.inputs(), &world.plane);
    let plan = world.planner.plan(&world.plane, &desired);
    assert_eq!(plan.shortages, []);
    for operation in &plan.operations {
        world.plane.apply(operation);
    }
    plan.operations
}

#[test]
fn seventy_services_of_large_weights_all_have_a_schedule_that_a_failed_server_leaves() {
    let weights = [(1, 65_535), (2, 65_534), (3, 65_533)];
    let mut world = World::new(
        (0..70)
            .map(|number| service(number, WeightedRoundRobin, &weights))
            .collect(),
    );
    hurry(&mut world);
    for real in [3, 2, 3] {
        let health = if world.schedule(0).contains(&real) {
            Health::Down
        } else {
            Health::Up
        };
        for number in 0..70 {
            world.set_health(number, real, health);
        }
        hurry(&mut world);
        for number in 0..70 {
            let schedule = world.schedule(number);
            assert!(!schedule.is_empty(), "service {number} has no schedule");
            assert_eq!(schedule.contains(&real), health == Health::Up);
        }
    }
}

#[test]
fn as_many_services_as_fit_have_schedules_whatever_the_weights() {
    const SERVICES: u16 = maps::SERVICES.capacity as u16;
    let mut world = World::new(
        (0..SERVICES)
            .map(|number| {
                let servers = [0, 1, 2, 3].map(|real| (real, 65_000 + 7 * real + number % 13));
                service(number, WeightedRoundRobin, &servers)
            })
            .collect(),
    );
    hurry(&mut world);
    for round in 0..3 {
        for number in 0..SERVICES {
            let health = if round == 1 { Health::Up } else { Health::Down };
            world.set_health(number, 2, health);
        }
        hurry(&mut world);
        assert_eq!(world.plane.services.len(), usize::from(SERVICES));
        for (key, service) in &world.plane.services {
            assert!(service.ring_length > 0, "{key:?} has no schedule");
        }
        assert_eq!(hurry(&mut world), []);
    }
}

/// Puts the schedules of services elsewhere, where another daemon may have left them.
fn move_schedules(world: &mut World, offsets: &[(u16, u32)]) {
    let before = world.plane.clone();
    for &(number, offset) in offsets {
        let key = service_key(virtual_address(number));
        let present = before.services[&key];
        let slots = before
            .ring(present.ring_offset, present.ring_length)
            .expect("it is there")
            .to_vec();
        world.plane.apply(&Operation::WriteRing { offset, slots });
        let service = world.plane.services.get_mut(&key).expect("it is there");
        service.ring_offset = offset;
    }
}

#[test]
fn schedules_all_over_the_array_come_home_at_the_first_plan() {
    let mut world = World::new(
        (0..4)
            .map(|number| service(number, WeightedRoundRobin, &[(1, 2), (2, 1)]))
            .collect(),
    );
    world.settle();
    move_schedules(
        &mut world,
        &[(0, 0), (1, 800_000), (2, (1 << 20) - 4), (3, 1_800_000)],
    );
    world.settle();
    for service in world.plane.services.values() {
        assert!(service.ring_offset + service.ring_length <= 1 << 20);
    }
}

#[test]
fn a_move_that_stopped_halfway_leaves_room_for_the_next() {
    let services = |weights: [[(u16, u16); 2]; 3]| -> Vec<_> {
        let numbered = (0..).zip(weights);
        numbered
            .map(|(number, weights)| service(number, WeightedRoundRobin, &weights))
            .collect()
    };
    let long = [(1, 30), (2, 1)];
    let mut world = World::new(services([[(1, 3), (2, 1)], long, long]));
    world.settle();
    // Halves of 108 slots.
    world.planner = Planner::with_ring_capacity(220);
    move_schedules(&mut world, &[(0, 112), (1, 12), (2, 56)]);
    // There is room for one of 13 slots beside the two that are at home, and the other half is not empty.
    let other = [(1, 1), (2, 12)];
    world.configuration.virtual_services = services([other; 3]);
    world.settle();
    let offsets = [0, 1, 2].map(|number| {
        let key = service_key(virtual_address(number));
        world.plane.services[&key].ring_offset
    });
    assert_eq!(offsets, [108, 124, 140]);
}

#[test]
fn real_servers_beyond_the_capacity_are_told_and_the_others_served() {
    let numbers: Vec<(u16, u16)> = (0..40_000).map(|real| (real, 1)).collect();
    let mut world = World::new(vec![service(0, RoundRobin, &[(1, 1)])]);
    world.configuration.virtual_services =
        vec![service(0, RoundRobin, &numbers), service(1, RoundRobin, &numbers)];
    let desired = Desired::new(&world.inputs(), &world.plane);
    assert_eq!(
        desired.shortages,
        [Shortage::RealServers {
            service: virtual_address(1),
            count: 80_000 - maps::REALS.capacity as usize,
        }]
    );
    assert_eq!(desired.reals.len(), maps::REALS.capacity as usize);
}

#[test]
fn the_gravest_reason_to_get_no_connections_is_told() {
    let world = World::new(vec![service(0, WeightedRoundRobin, &[(1, 3), (2, 0)])]);
    let [serving, drained] = world.configuration.virtual_services[0].real_servers.as_slice() else {
        panic!("two real servers");
    };
    let share = |real_server, health, resolved| {
        let share = Share::new(WeightedRoundRobin, real_server, health, resolved);
        (share.state.name(), share.effective_weight.get())
    };
    assert_eq!(share(serving, Health::Up, true), ("up", 3));
    assert_eq!(share(serving, Health::Up, false), ("unresolved", 0));
    assert_eq!(share(serving, Health::Down, false), ("down", 0));
    assert_eq!(share(serving, Health::Unknown, true), ("down", 0));
    assert_eq!(share(drained, Health::Up, false), ("drained", 0));
    assert_eq!(share(drained, Health::Down, true), ("down", 0));
    let rr = Share::new(RoundRobin, serving, Health::Up, true);
    assert_eq!(rr.effective_weight.get(), 1);
    assert_eq!(ServiceState::of([rr], Some(&[SLOT_1])).name(), "up");
    assert_eq!(ServiceState::of([], Some(&[SLOT_1])).name(), "down");
    assert_eq!(ServiceState::of([rr], Some(&[])).name(), "down");
    assert_eq!(ServiceState::of([rr], None).name(), "down");
}

#[test]
fn keys_and_addresses_survive_the_maps() {
    for number in 0..2 {
        let address = virtual_address(number);
        assert_eq!(service_address(service_key(address)), Some(address));
    }
    let ipv6 = "2001:db8::1".parse().expect("an address");
    assert_eq!(ip_address(map_address(ipv6)), ipv6);
    let odd = lb_common::ServiceKey {
        protocol: 1,
        ..service_key(virtual_address(0))
    };
    assert_eq!(service_address(odd), None);
}
