//! Interfaces that keep silent about virtual addresses which are on others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use tracing::{info, warn};

use crate::interfaces::{Answerer, own_addresses_only};
use crate::io::arp_ignore::{self, Memory};
use crate::io::netlink::Link;

/// The value with which an interface answers for its own addresses only.
const OWN_ADDRESSES_ONLY: u8 = 1;

/// Where `arp_ignore` is set while this node has virtual addresses, and put back afterwards. It outlives the daemon, as
/// the addresses do: the next daemon puts it back.
pub(super) struct Silence {
    memory: Memory,
    links: Vec<Link>,
    /// The interfaces that the virtual addresses of this node are on.
    places: BTreeMap<IpAddr, u32>,
    /// Where it is set, by us.
    ours: BTreeSet<u32>,
    /// Where it cannot be set: told once.
    failed: BTreeSet<u32>,
    /// Something has changed that it has to be put back for.
    stirred: bool,
}

impl Silence {
    /// Takes over what an earlier daemon left, as the file `memory` has it.
    pub(super) fn new(memory: PathBuf) -> Self {
        let memory = Memory::open(memory);
        Self {
            ours: memory.interfaces(),
            memory,
            links: Vec::new(),
            places: BTreeMap::new(),
            failed: BTreeSet::new(),
            stirred: true,
        }
    }

    /// These are the interfaces now. Remembers, while there is time, where the parameter is 0.
    pub(super) fn look_at(&mut self, links: &[Link]) {
        self.links = links.to_vec();
        self.ours.retain(|index| {
            let link = links.iter().find(|link| link.index == *index);
            link.is_some_and(|link| {
                arp_ignore::read(&link.name).is_ok_and(|value| value == OWN_ADDRESSES_ONLY)
            })
        });
        let eligible = own_addresses_only(&self.answerers(), &[0].into());
        let zero = links.iter().filter(|link| {
            let is_zero = || arp_ignore::read(&link.name).is_ok_and(|value| value == 0);
            eligible.contains(&link.index) && (self.ours.contains(&link.index) || is_zero())
        });
        let zero = zero.map(|link| link.index).collect();
        if let Err(error) = self.memory.replace(zero) {
            warn!(%error, "cannot remember where `arp_ignore` is 0: after a crash, it stays at 1 where it is set");
        }
        self.stirred = true;
        self.hush();
    }

    /// `address` is about to be on `interface`.
    pub(super) fn begin(&mut self, address: IpAddr, interface: u32) {
        if address.is_ipv4() && self.places.insert(address, interface) != Some(interface) {
            self.stirred = true;
            self.hush();
        }
    }

    /// `address` is not here any more.
    pub(super) fn end(&mut self, address: IpAddr) {
        self.stirred |= self.places.remove(&address).is_some();
    }

    /// Puts back what is not needed any more.
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.stirred) {
            return;
        }
        let wanted = self.wanted();
        let back: Vec<u32> = self.ours.difference(&wanted).copied().collect();
        for index in back {
            self.ours.remove(&index);
            let Some(interface) = self.name(index) else {
                continue;
            };
            match arp_ignore::set(interface, 0) {
                Ok(()) => info!(
                    interface,
                    arp_ignore = 0,
                    "answers ARP for all of this host's addresses again"
                ),
                Err(error) => warn!(interface, %error, "cannot set `arp_ignore` back to 0"),
            }
        }
    }

    /// Puts everything back: this node has nothing any more.
    pub(super) fn close(&mut self) {
        self.places.clear();
        self.stirred = true;
        self.settle();
        if let Err(error) = self.memory.clear() {
            warn!(%error, "cannot forget where `arp_ignore` was 0");
        }
    }

    /// Sets what is needed.
    fn hush(&mut self) {
        let in_force = arp_ignore::read("all").unwrap_or(0);
        if in_force != 0 {
            return;
        }
        for index in self.wanted() {
            let Some(interface) = self.name(index).map(str::to_owned) else {
                continue;
            };
            if arp_ignore::read(&interface).is_ok_and(|value| value != 0) {
                continue;
            }
            match arp_ignore::set(&interface, OWN_ADDRESSES_ONLY) {
                Ok(()) => {
                    info!(
                        interface,
                        arp_ignore = OWN_ADDRESSES_ONLY,
                        "answers ARP for its own addresses only, while this node has virtual addresses elsewhere"
                    );
                    self.ours.insert(index);
                }
                Err(error) if self.failed.insert(index) => warn!(
                    interface,
                    %error,
                    "cannot set `arp_ignore`: it answers ARP for virtual addresses that are on other interfaces; \
                     set net.ipv4.conf.all.arp_ignore to 1"
                ),
                Err(_) => {}
            }
        }
    }

    fn wanted(&self) -> BTreeSet<u32> {
        own_addresses_only(&self.answerers(), &self.places.values().copied().collect())
    }

    fn answerers(&self) -> Vec<Answerer> {
        let kind = |index: u32| {
            self.links
                .iter()
                .find(|link| link.index == index)?
                .build
                .kind
                .clone()
        };
        let answerers = self.links.iter().map(|link| Answerer {
            index: link.index,
            is_ethernet: link.mac.is_some(),
            kind: link.build.kind.clone(),
            master_kind: link.build.master.and_then(kind),
        });
        answerers.collect()
    }

    fn name(&self, index: u32) -> Option<&str> {
        let link = self.links.iter().find(|link| link.index == index)?;
        Some(&link.name)
    }
}
