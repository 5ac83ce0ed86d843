//! Whatever happens, in whatever order, and wherever a daemon dies: every state that a packet can meet is consistent,
//! and the end is what was wanted.

use std::ops::Range;

use proptest::prelude::*;

use super::fixture::{ETH0, World, neighbour, real_address, service, virtual_address};
use super::*;
use crate::health::Health;
use crate::model::{HashOptions, RealServerId, Scheduler, VirtualService, shares};

const SERVICES: u16 = 4;
const REAL_SERVERS: u16 = 5;

/// Weights that are always exact.
const SMALL: u16 = 6;

/// About the smallest ring array that has room for so many services and real servers, with Maglev rings or without.
const RING_CAPACITY: u32 = 728;

const _: () = {
    let (services, real_servers) = (SERVICES as usize, SERVICES as usize * REAL_SERVERS as usize);
    let turns = shares::TURNS_PER_REAL_SERVER * real_servers + 4 * services;
    assert!(shares::room(RING_CAPACITY) >= turns && shares::room(RING_CAPACITY - 120) <= turns);
    assert!(shares::maglev_room(RING_CAPACITY) >= shares::least_maglev_room(services, real_servers));
};

/// Something that the director's loop learns.
#[derive(Clone, Debug)]
enum Event {
    Reload(Vec<VirtualService>),
    Health(u16, u16, Health),
    Neighbour(u16, Option<u8>),
    Interface(bool),
    SweepBegins,
    /// A sweep ends, and has cleared what it was to clear, or not.
    SweepEnds(bool),
    /// The windows of all motions are over, in which connections were seen elsewhere than where the ring has them now in
    /// these slots of it, modulo its length.
    WindowsEnd(Vec<u32>),
    /// The daemon dies; all that the next one has is the maps.
    Restart,
}

/// An event, and how many operations of the plan that follows succeed.
type Step = (Event, usize);

fn hash_options() -> impl Strategy<Value = HashOptions> {
    any::<(bool, bool)>().prop_map(|(port, fallback)| HashOptions { port, fallback })
}

fn virtual_service(number: u16, weights: Range<u16>) -> impl Strategy<Value = VirtualService> {
    let scheduler = prop_oneof![
        1 => Just(Scheduler::RoundRobin),
        3 => Just(Scheduler::WeightedRoundRobin),
        1 => Just(Scheduler::DestinationHash),
        1 => hash_options().prop_map(Scheduler::SourceHash),
        1 => hash_options().prop_map(Scheduler::Maglev),
        2 => prop::sample::select(vec![
            Scheduler::LeastConnection,
            Scheduler::NeverQueue,
            Scheduler::WeightedFailover,
            Scheduler::TwoChoices,
        ]),
    ];
    let all: Vec<u16> = (0..REAL_SERVERS).collect();
    let real_servers =
        prop::sample::subsequence(all, 0..=usize::from(REAL_SERVERS)).prop_flat_map(move |numbers| {
            let count = numbers.len();
            (
                Just(numbers).prop_shuffle(),
                prop::collection::vec((weights.clone(), prop::bool::weighted(0.8)), count),
            )
        });
    (scheduler, real_servers).prop_map(move |(scheduler, (numbers, settings))| {
        let weights: Vec<(u16, u16)> = numbers
            .iter()
            .zip(&settings)
            .map(|(real, (weight, _))| (*real, *weight))
            .collect();
        let mut service = service(number, scheduler, &weights);
        for (real_server, (_, checked)) in service.real_servers.iter_mut().zip(&settings) {
            if !checked {
                real_server.checks.clear();
            }
        }
        service
    })
}

fn virtual_services(weights: Range<u16>) -> impl Strategy<Value = Vec<VirtualService>> {
    let all: Vec<u16> = (0..SERVICES).collect();
    prop::sample::subsequence(all, 0..=usize::from(SERVICES)).prop_flat_map(move |numbers| {
        let services = numbers.into_iter();
        services
            .map(|number| virtual_service(number, weights.clone()))
            .collect::<Vec<_>>()
    })
}

fn event(weights: Range<u16>) -> impl Strategy<Value = Event> {
    let health = prop_oneof![
        1 => Just(Health::Unknown),
        4 => Just(Health::Up),
        2 => Just(Health::Down)
    ];
    prop_oneof![
        3 => virtual_services(weights).prop_map(Event::Reload),
        6 => (0..SERVICES, 0..REAL_SERVERS, health)
            .prop_map(|(service, real, health)| Event::Health(service, real, health)),
        3 => (0..REAL_SERVERS, prop::option::weighted(0.7, 0..3_u8))
            .prop_map(|(real, mac)| Event::Neighbour(real, mac)),
        1 => any::<bool>().prop_map(Event::Interface),
        2 => Just(Event::SweepBegins),
        3 => prop::bool::weighted(0.9).prop_map(Event::SweepEnds),
        2 => prop::collection::vec(any::<u32>(), 0..3).prop_map(Event::WindowsEnd),
        1 => Just(Event::Restart),
    ]
}

fn steps(weights: Range<u16>) -> impl Strategy<Value = Vec<Step>> {
    let limit = prop_oneof![3 => Just(usize::MAX), 1 => 0..8_usize];
    prop::collection::vec((event(weights), limit), 1..40)
}

/// A world where everything is up, with no more slots for schedules than it takes.
fn world(virtual_services: Vec<VirtualService>) -> World {
    let mut world = World::new(virtual_services);
    world.planner = Planner::with_ring_capacity(RING_CAPACITY);
    for real in 0..REAL_SERVERS {
        world.neighbours.insert(real_address(real), neighbour(1));
        for service in 0..SERVICES {
            world.set_health(service, real, Health::Up);
        }
    }
    world
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Reload(virtual_services) => {
            world.configuration.virtual_services = virtual_services;
            world.assign_leases();
        }
        Event::Health(service, real, health) => world.set_health(service, real, health),
        Event::Neighbour(real, Some(mac)) => {
            world.neighbours.insert(real_address(real), neighbour(mac));
        }
        Event::Neighbour(real, None) => {
            world.neighbours.remove(&real_address(real));
        }
        Event::Interface(true) => {
            world.interfaces.insert("eth0".to_owned(), ETH0);
        }
        Event::Interface(false) => world.interfaces.clear(),
        Event::SweepBegins => world.begin_sweep(),
        Event::SweepEnds(has_cleared) => world.end_sweep(has_cleared),
        Event::WindowsEnd(seen) => world.end_windows(&seen),
        Event::Restart => {
            world.forget_sweeps();
            world.planner = Planner::with_ring_capacity(RING_CAPACITY);
            world.leases = LeaseSlots::default();
            world.assign_leases();
        }
    }
}

/// The maps say what the inputs mean, judged without the planner's help.
fn serves_what_is_wanted(world: &World) -> Result<(), TestCaseError> {
    let handles = world.plane.handles();
    let mut configured = 0;
    prop_assert_eq!(
        world.plane.services.len(),
        world.configuration.virtual_services.len()
    );
    for service in &world.configuration.virtual_services {
        let schedule = world
            .plane
            .schedule(&service_key(service.address))
            .expect("the schedule is there");
        let present = &world.plane.services[&service_key(service.address)];
        prop_assert_eq!(present.placement, placement(service.scheduler));
        let mut slots_per_weight = None;
        for real_server in &service.real_servers {
            configured += 1;
            let id = RealServerId {
                service: service.address,
                address: real_server.address,
            };
            let slot = handles[&id].slot;
            let count = schedule.iter().filter(|named| **named == slot).count();
            let up = real_server.checks.is_empty() || world.health.get(&id) == Some(&Health::Up);
            let known = world.neighbours.get(&real_server.address.ip());
            let seed = world.plane.seeds(&world.configuration.virtual_services)[&id];
            prop_assert_eq!(seed.health == Health::Up, up);
            prop_assert_eq!(seed.neighbour.as_ref(), known);
            let weight = match (real_server.weight.get(), service.scheduler) {
                (0, _) => 0,
                (_, Scheduler::RoundRobin | Scheduler::DestinationHash) => 1,
                // Each is there once.
                (_, scheduler) if scheduler.compares() => 1,
                (weight, _) => usize::from(weight),
            };
            // Those of the others are in `schedule/tests.rs`.
            let is_exact = match service.scheduler {
                Scheduler::SourceHash(HashOptions { fallback, .. }) => !fallback,
                Scheduler::DestinationHash | Scheduler::Maglev(_) => false,
                _ => true,
            };
            prop_assert_eq!(world.plane.real(slot).is_counted(), service.scheduler.counts());
            if up && known.is_some() && weight > 0 {
                prop_assert!(count > 0);
                if is_exact && weight < usize::from(SMALL) {
                    // Shares are exact: as many slots for each unit of weight with every real server.
                    let (first_count, first_weight) = *slots_per_weight.get_or_insert((count, weight));
                    prop_assert_eq!(count * first_weight, first_count * weight);
                }
            } else {
                prop_assert_eq!(count, 0);
            }
        }
    }
    prop_assert_eq!(handles.len(), configured, "no slot is left over");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_state_is_consistent_and_the_last_one_is_what_is_wanted(
        start in virtual_services(0..SMALL),
        steps in steps(0..SMALL),
    ) {
        let mut world = world(start);
        for (event, limit) in steps {
            happen(&mut world, event);
            world.advance(limit);
        }
        world.settle();
        serves_what_is_wanted(&world)?;
        world.sweep();
        prop_assert!(!world.quarantine.wants_sweep(&world.plane), "all slots are released in the end");
    }

    #[test]
    fn after_every_plan_all_services_have_schedules_whatever_the_weights(
        start in virtual_services(SMALL..u16::MAX),
        steps in steps(SMALL..u16::MAX),
    ) {
        let mut world = world(start);
        for (event, limit) in steps {
            happen(&mut world, event);
            // It may stop halfway, as where a map cannot be written.
            if world.advance(limit).operations.len() <= limit {
                serves_what_is_wanted(&world)?;
            }
        }
        world.settle();
        serves_what_is_wanted(&world)?;
    }

    #[test]
    fn one_health_change_takes_four_operations_at_most(
        start in virtual_services(0..SMALL),
        service in 0..SERVICES,
        real in 0..REAL_SERVERS,
    ) {
        let mut world = world(start);
        world.settle();
        let before = world.plane.clone();
        world.set_health(service, real, Health::Down);
        let operations = world.settle();
        prop_assert!(operations.len() <= 4, "{:#?}", operations);
        // Other services are not touched.
        for (key, other) in &before.services {
            if *key != service_key(virtual_address(service)) {
                prop_assert_eq!(world.plane.services.get(key), Some(other));
            }
        }
    }
}
