//! The services that have more new connections than are remembered, as the program has noted it.

use std::collections::BTreeMap;
use std::time::Duration;

use aya::maps::Map;
use lb_common::{Episode as Noted, maps};

use super::Error;
use super::mapped::{MappedArray, mapped};
use crate::director::{Cause, Episode};
use crate::io::clock::boot_now;

/// The episodes of all services, mapped into this process: looking at ten thousand takes some microseconds. The program
/// begins and prolongs them.
pub(super) struct Episodes {
    slots: MappedArray<Noted>,
}

impl Episodes {
    pub(super) fn open(map: &Map) -> Result<Self, Error> {
        let slots = mapped(map, maps::EPISODES)?;
        Ok(Self { slots })
    }

    /// Those that are not over, by [`lb_common::Service::index`].
    pub(super) fn lasting(&self) -> BTreeMap<u32, Episode> {
        let now = boot_now();
        let all = (0..self.slots.length()).map(|index| (index, self.slots.get(index)));
        let lasting = all.filter(|(_, noted)| Noted::lasts(noted.until, now));
        let told = lasting.map(|(index, noted)| {
            let episode = Episode {
                left: Duration::from_nanos(noted.until - now),
                // What was longer ago than an episode lasts is not why this one does.
                cause: if Noted::lasts(noted.refused_at + Noted::LENGTH, now) {
                    Cause::TableFull
                } else {
                    Cause::Limit
                },
            };
            (index, episode)
        });
        told.collect()
    }

    /// Forgets the last one of the service that had `index` before.
    pub(super) fn clear(&mut self, index: u32) {
        self.slots.set(index, Noted::default());
    }
}
