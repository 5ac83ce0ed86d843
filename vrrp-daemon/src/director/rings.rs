//! The rings of the services: what is in them, and where they are in the ring array.

use std::collections::HashMap;
use std::ops::Range;

use lb_common::{RingWord, Service, ServiceKey, motion_slots, service_flags};

use super::motion::{Motion, Ring};
use super::slices::{self, FreeSlices, Halves};
use super::windows::Phase;
use super::{
    Desired, DesiredService, Member, Operation, Plane, maglev_placement, placement, ring_slot, schedule,
};
use crate::model::shares::ScheduleLimit;
use crate::model::{HashOptions, Protocol, Scheduler};

/// How the Maglev ring of a service is made that has another scheduler: as of one that sets nothing.
const RING_BESIDE: Scheduler = Scheduler::Maglev(HashOptions {
    port: true,
    fallback: true,
});

/// Where rings were last written, and the rings that were worked out: a change costs no more than what changed.
#[derive(Clone, Debug)]
pub(super) struct Rings {
    cursor: u32,
    capacity: u32,
    unrolled: HashMap<ServiceKey, Unrolled>,
}

/// The rings of a service that were worked out, and what from.
#[derive(Clone, Debug, Default)]
struct Unrolled {
    scheduler: Option<Scheduler>,
    has_maglev: bool,
    members: Vec<Member>,
    limit: (usize, usize),
    /// The schedule, unless that is the Maglev ring.
    turns: Vec<u16>,
    maglev: Vec<u16>,
}

impl Unrolled {
    /// Works the rings of this service out, unless that is done.
    fn update(&mut self, service: &DesiredService, has_maglev: bool, limit: (usize, usize)) {
        let scheduler = Some(service.scheduler);
        if self.members == service.members
            && self.scheduler == scheduler
            && self.has_maglev == has_maglev
            && self.limit == limit
        {
            return;
        }
        let ring = |scheduler, limit| {
            let slots = schedule(scheduler, &service.members, limit).into_iter();
            slots.map(ring_slot).collect()
        };
        let is_placed = service.scheduler.is_placed();
        self.turns = if is_placed {
            Vec::new()
        } else {
            ring(service.scheduler, limit.0)
        };
        self.maglev = match (is_placed, has_maglev) {
            (true, _) => ring(service.scheduler, limit.1),
            (false, true) => ring(RING_BESIDE, limit.1),
            (false, false) => Vec::new(),
        };
        self.scheduler = scheduler;
        self.has_maglev = has_maglev;
        self.members.clone_from(&service.members);
        self.limit = limit;
    }
}

/// What a service is to have in the ring array.
struct Contents<'a> {
    turns: &'a [u16],
    maglev: &'a [u16],
    motion: Option<Motion>,
    /// Whether that is not what is in the ring array, or its window begins anew.
    motion_is_new: bool,
}

/// Where a slice goes.
#[derive(Clone, Copy)]
enum Place {
    /// It is here, or is empty and needs no place.
    Kept(u32),
    /// Here, where nothing is in force by then.
    New(u32),
}

impl Place {
    const fn offset(self) -> u32 {
        match self {
            Self::Kept(offset) | Self::New(offset) => offset,
        }
    }
}

/// Where the slices of a service go.
#[derive(Clone, Copy)]
struct Places {
    turns: Place,
    maglev: Place,
    /// None where there is no room for a motion.
    motion: Option<Place>,
}

impl Rings {
    /// For a ring array of this many slots.
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            cursor: 0,
            capacity,
            unrolled: HashMap::new(),
        }
    }

    /// The operations that write new rings and change the services over.
    pub(super) fn change(&mut self, actual: &Plane, desired: &Desired, operations: &mut Vec<Operation>) {
        // A service may have another key than it had.
        let present: HashMap<u32, &Service> = actual
            .services
            .values()
            .map(|service| (service.index, service))
            .collect();
        self.unroll(&present, desired);
        let mut cursor = self.cursor;
        let services = &desired.services;
        let contents: Vec<Contents<'_>> = services
            .iter()
            .map(|(key, service)| {
                let present = present.get(&service.index).copied();
                self.contents(actual, present, (key, service))
            })
            .collect();
        let places = self.fill_gaps(actual, desired, &contents, &mut cursor);
        let places = places.unwrap_or_else(|| self.move_all(actual, &contents, &mut cursor, operations));
        let mut changed = Vec::new();
        for (((key, service), contents), places) in services.iter().zip(contents).zip(places) {
            let value = contents.write(service, places, operations);
            let before = actual.services.get(key);
            let is_new = match before {
                Some(before) => before.index != value.index,
                None => !present.contains_key(&value.index),
            };
            if is_new {
                changed.push(Operation::ClearServiceCounters { index: value.index });
            }
            if before != Some(&value) || places.are_new() {
                changed.push(Operation::PutService {
                    key: *key,
                    service: value,
                });
            }
        }
        operations.append(&mut changed);
        self.cursor = cursor;
    }

    /// Works the rings of all services out.
    fn unroll(&mut self, present: &HashMap<u32, &Service>, desired: &Desired) {
        let services = &desired.services;
        self.unrolled.retain(|key, _| services.contains_key(key));
        let real_servers = services.values().map(|service| service.members.len()).sum();
        let limit = ScheduleLimit::new(self.capacity, services.len(), real_servers);
        for (key, service) in services {
            let count = service.members.len();
            // A ring that is not wanted any more goes on until its motion is over.
            let present = present.get(&service.index);
            let has_maglev = service.has_maglev
                || present
                    .is_some_and(|present| present.is_moving() || present.flags & service_flags::PLACED != 0);
            let limit = (limit.turns(count), limit.maglev(count));
            self.unrolled
                .entry(*key)
                .or_default()
                .update(service, has_maglev, limit);
        }
    }

    /// What the service `key` is to have: its rings, and what is left of their motion.
    fn contents(
        &self,
        actual: &Plane,
        present: Option<&Service>,
        (key, service): (&ServiceKey, &DesiredService),
    ) -> Contents<'_> {
        let Unrolled { turns, maglev, .. } = &self.unrolled[key];
        let is_schedule = service.scheduler.is_placed();
        let wanted = Ring {
            slots: maglev,
            placement: maglev_placement(service.scheduler),
            is_schedule,
        };
        let present_ring = present.map_or(Ring { slots: &[], ..wanted }, |present| Ring {
            slots: actual
                .ring(present.maglev_offset, present.maglev_length)
                .unwrap_or_default(),
            placement: present.maglev_placement,
            is_schedule: present.flags & service_flags::PLACED != 0,
        });
        let in_motion = present.filter(|present| present.is_moving()).and_then(|present| {
            let length = present.previous_length;
            let slots = actual.ring(present.previous_offset, motion_slots(length))?;
            Motion::of(slots, length as usize, present.previous_placement)
        });
        let before = in_motion.as_ref().map(|(motion, _)| motion.clone());
        let is_over = service.window == Phase::Over;
        let mut motion = in_motion.and_then(|(motion, seen)| match is_over {
            true => motion.rest(present_ring, &seen),
            false => Some(motion),
        });
        // A ring that was there for its motion alone, or is not wanted any more, goes with it.
        let has_ring = service.has_maglev || is_schedule || present_ring.is_schedule || motion.is_some();
        if has_ring && (present_ring != wanted || motion.is_some()) {
            // Those that are new are in no ring yet, and come into the maps after it if they are not usable.
            let slots = service.members.iter().map(|member| member.slot);
            let present = slots.filter(|slot| actual.real(*slot).is_configured());
            let servers = present.map(ring_slot).collect();
            motion = Motion::next(motion, present_ring, wanted, &servers);
        }
        let has_ring = service.has_maglev || is_schedule || motion.is_some();
        Contents {
            turns,
            maglev: if has_ring { maglev } else { &[] },
            motion_is_new: is_over || motion != before,
            motion,
        }
    }

    /// Finds places for new slices between those in force, in the half where these are. Nothing if one finds none.
    fn fill_gaps(
        &self,
        actual: &Plane,
        desired: &Desired,
        contents: &[Contents<'_>],
        cursor: &mut u32,
    ) -> Option<Vec<Places>> {
        let in_force: Vec<_> = actual.services.values().flat_map(slices_of).flatten().collect();
        let home = Halves::of(self.capacity).home(&in_force);
        let mut free = None;
        let mut next = *cursor;
        let mut place = |(offset, _): (u32, u32), slots: u32, is_as_it_is: bool| {
            if slots == 0 {
                return Some(Place::Kept(0));
            }
            let is_home = home.start <= offset && slices::rounded_up(offset + slots) <= home.end;
            if is_as_it_is && is_home && offset.is_multiple_of(RingWord::SLOTS) {
                return Some(Place::Kept(offset));
            }
            let offset = free
                .get_or_insert_with(|| FreeSlices::new(in_force.clone(), next, home.clone()))
                .allocate(slots)?;
            next = offset + slices::rounded_up(slots);
            Some(Place::New(offset))
        };
        let is_there =
            |(offset, length): (u32, u32), slots: &[u16]| actual.ring(offset, length) == Some(slots);
        let mut places = Vec::with_capacity(contents.len());
        for (key, contents) in desired.services.keys().zip(contents) {
            let present = actual.services.get(key).map(Service::slices);
            let [turns, maglev, motion] = present.unwrap_or_default();
            let is_turns = is_there(turns, contents.turns);
            let is_maglev = is_there(maglev, contents.maglev);
            places.push(Places {
                turns: place(turns, length(contents.turns), is_turns)?,
                maglev: place(maglev, length(contents.maglev), is_maglev)?,
                motion: Some(place(motion, contents.motion_slots(), !contents.motion_is_new)?),
            });
        }
        *cursor = next;
        Some(places)
    }

    /// Finds places for all slices side by side, in the half where they are not. Should some be there all the same, as
    /// after a move that stopped halfway, their services go without for the moment that the plan takes.
    ///
    /// There is room for all rings, and for their motions, unless these are of rings that many reloads of long ago made
    /// larger: who finds none then is at rest before its time.
    fn move_all(
        &self,
        actual: &Plane,
        contents: &[Contents<'_>],
        cursor: &mut u32,
        operations: &mut Vec<Operation>,
    ) -> Vec<Places> {
        let in_force: Vec<_> = actual.services.values().flat_map(slices_of).flatten().collect();
        let halves = Halves::of(self.capacity);
        let half = halves.other(&halves.home(&in_force));
        for (key, service) in &actual.services {
            let mut slices = slices_of(service).into_iter().flatten();
            if slices.any(|slice| slice.start < half.end && half.start < slice.end) {
                operations.push(Operation::PutService {
                    key: *key,
                    service: Service {
                        ring_length: 0,
                        maglev_length: 0,
                        previous_length: 0,
                        ..*service
                    },
                });
            }
        }
        *cursor = half.start;
        let mut place = |slots: u32| {
            let offset = *cursor;
            if slots == 0 {
                return Some(Place::Kept(0));
            }
            let end = offset + slices::rounded_up(slots);
            (end <= half.end).then(|| {
                *cursor = end;
                Place::New(offset)
            })
        };
        let mut places: Vec<Places> = contents
            .iter()
            .map(|contents| Places {
                turns: place(length(contents.turns)).expect("there is room for all rings"),
                maglev: place(length(contents.maglev)).expect("there is room for all rings"),
                motion: None,
            })
            .collect();
        for (places, contents) in places.iter_mut().zip(contents) {
            places.motion = place(contents.motion_slots());
        }
        places
    }
}

impl Contents<'_> {
    fn motion_slots(&self) -> u32 {
        let length = self.motion.as_ref().map_or(0, |motion| length(&motion.previous));
        motion_slots(length)
    }

    /// Has what is new written, and returns the service that names it.
    fn write(self, service: &DesiredService, places: Places, operations: &mut Vec<Operation>) -> Service {
        let mut write = |place, slots: &dyn Fn() -> Vec<u16>| {
            if let Place::New(offset) = place {
                let slots = slots();
                operations.push(Operation::WriteRing { offset, slots });
            }
        };
        write(places.turns, &|| self.turns.to_vec());
        write(places.maglev, &|| self.maglev.to_vec());
        let maglev = (places.maglev.offset(), length(self.maglev));
        let is_placed = service.scheduler.is_placed();
        let (ring_offset, ring_length) = if is_placed {
            maglev
        } else {
            (places.turns.offset(), length(self.turns))
        };
        let mut value = Service {
            index: service.index,
            ring_offset,
            ring_length,
            lease: service.lease,
            placement: placement(service.scheduler),
            new_flow_limit: service.new_flow_limit,
            flags: service.flags | if is_placed { service_flags::PLACED } else { 0 },
            maglev_offset: maglev.0,
            maglev_length: maglev.1,
            maglev_placement: maglev_placement(service.scheduler),
            ..Service::default()
        };
        if let (Some(motion), Some(place)) = (self.motion, places.motion) {
            write(place, &|| motion.slots());
            value.previous_offset = place.offset();
            value.previous_length = length(&motion.previous);
            value.previous_placement = motion.placement;
            let is_settled = service.window != Phase::Open && !places.are_new();
            if is_settled && service.protocol == Protocol::Udp {
                value.flags |= service_flags::SETTLED;
            }
        }
        value
    }
}

impl Places {
    fn are_new(&self) -> bool {
        let places = [Some(self.turns), Some(self.maglev), self.motion];
        places
            .into_iter()
            .flatten()
            .any(|place| matches!(place, Place::New(_)))
    }
}

/// The slices of the ring array that a service names, in whole elements.
fn slices_of(service: &Service) -> [Option<Range<u32>>; 3] {
    service.slices().map(|(offset, length)| {
        let end = offset.saturating_add(length);
        (length > 0).then(|| offset..slices::rounded_up(end))
    })
}

/// The length of a ring, which the ring array is longer than.
fn length(ring: &[u16]) -> u32 {
    u32::try_from(ring.len()).expect("rings have a limit")
}
