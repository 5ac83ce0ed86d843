//! This host's interfaces as the program's fit wants to know them, and what is switched on them for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use tracing::{info, warn};

use crate::interfaces::{Fit, Interface, Stripping, Transmit};
use crate::io::ethtool::Ethtool;
use crate::io::ledger::Ledger;
use crate::io::netlink::{Link, XdpFeatures, xdp_act};

/// The features that put VLAN tags beside packets: those of 802.1Q and of 802.1ad.
const STRIPPING: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];

/// The features that merge what is received.
const MERGING: [&str; 3] = ["rx-gro", "rx-gro-hw", "rx-lro"];

/// The interfaces of this host.
pub(super) struct Host {
    ethtool: Ethtool,
    features: XdpFeatures,
    /// What was switched off: the features of each interface, by its index.
    switched_off: BTreeMap<u32, BTreeSet<&'static str>>,
    /// The same for the next daemon, should this one not come to put it back.
    ledger: Ledger,
}

impl Host {
    /// Begins with what an earlier daemon has switched off and not put back, as the ledger in `state_dir` says.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let ledger = Ledger::at(state_dir.join("switched_off.json"));
        let known = STRIPPING.into_iter().chain(MERGING);
        let switched_off = ledger
            .read()
            .into_iter()
            .map(|(index, names)| {
                (
                    index,
                    known.clone().filter(|name| names.contains(*name)).collect(),
                )
            })
            .collect();
        Ok(Self {
            ethtool: Ethtool::open()?,
            features: XdpFeatures::open()?,
            switched_off,
            ledger,
        })
    }

    /// The facts about the interfaces `links`; on those of `native`, our own program runs natively.
    pub(super) fn look_at(&mut self, links: &[Link], native: &BTreeSet<u32>) -> Vec<Interface> {
        links
            .iter()
            .map(|link| Interface {
                index: link.index,
                name: link.name.clone(),
                kind: link.build.kind.clone(),
                is_hardware: link.build.is_hardware,
                lower: link.build.lower,
                tag: link.build.tag,
                master: link.build.master,
                transmit: self.transmit(link, native.contains(&link.index)),
                stripping: self.stripping(link),
            })
            .collect()
    }

    fn transmit(&self, link: &Link, is_ours: bool) -> Transmit {
        let build = &link.build;
        let Some(told) = self.features.of(link.index) else {
            let driver = self.ethtool.driver(&link.name).ok();
            return Transmit::known(driver.as_deref(), build.kind.as_deref());
        };
        let sends = told & xdp_act::NDO_XMIT != 0;
        // A driver that sends because our program is there must not look as if it did not need it.
        let by_itself = sends && !(is_ours && build.is_hardware);
        Transmit::told(told & xdp_act::BASIC != 0, by_itself, build.is_hardware)
    }

    fn stripping(&mut self, link: &Link) -> Stripping {
        if !link.build.is_hardware {
            return Stripping::Off;
        }
        let Ok(features) = self.ethtool.features(&link.name) else {
            return Stripping::Off;
        };
        let ours = self.switched_off.get(&link.index);
        let mut stripping = Stripping::Off;
        for name in STRIPPING {
            let was_on = ours.is_some_and(|names| names.contains(name));
            match features.get(name) {
                Some(feature) if feature.on && !feature.changeable => return Stripping::Fixed,
                Some(feature) if feature.on || was_on => stripping = Stripping::On,
                _ => {}
            }
        }
        stripping
    }

    /// Switches off what the program does not stand while it `runs`, and puts back what it stands again. Returns the
    /// interfaces that were switched.
    pub(super) fn prepare(&mut self, fit: &Fit, runs: bool, links: &[Link]) -> Vec<u32> {
        let mut switched = Vec::new();
        for link in links {
            let mut off = BTreeSet::new();
            if runs && fit.unmerged.contains(&link.index) {
                off.extend(MERGING);
            }
            if runs && fit.unstripped.contains(&link.index) {
                off.extend(STRIPPING);
            }
            if self.switch(link, &off) {
                switched.push(link.index);
            }
        }
        self.switched_off
            .retain(|index, _| links.iter().any(|link| link.index == *index));
        if !switched.is_empty()
            && let Err(error) = self.ledger.write(&self.switched_off)
        {
            warn!(%error, "cannot note what is switched off: if this daemon dies, it stays off");
        }
        switched
    }

    /// Has the features `off` switched off on an interface, and no others of ours. Returns whether any was switched.
    fn switch(&mut self, link: &Link, off: &BTreeSet<&'static str>) -> bool {
        let ours = self.switched_off.entry(link.index).or_default();
        if *ours == *off {
            return false;
        }
        let interface = &link.name;
        let mut switched = false;
        let back: Vec<&str> = ours.difference(off).copied().collect();
        for feature in back {
            ours.remove(feature);
            match self.ethtool.set_feature(interface, feature, true) {
                Ok(()) => info!(interface, feature, "switched on again"),
                Err(error) => warn!(interface, feature, %error, "cannot switch on again"),
            }
            switched = true;
        }
        let Ok(present) = self.ethtool.features(interface) else {
            return switched;
        };
        for feature in off {
            if ours.contains(feature) || !present.get(*feature).is_some_and(|feature| feature.on) {
                continue;
            }
            match self.ethtool.set_feature(interface, feature, false) {
                Ok(()) => {
                    info!(
                        interface,
                        feature,
                        "switched off, which XDP does not stand here: it comes back with the program's end"
                    );
                    ours.insert(feature);
                }
                Err(error) => {
                    warn!(interface, feature, %error, "cannot switch off, which XDP does not stand here");
                }
            }
            switched = true;
        }
        switched
    }
}
