//! The judgement.

use std::collections::{BTreeMap, BTreeSet};

use super::{Interface, Stripping, Tag, Transmit};
use crate::model::XdpMode;

/// How the program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's generic receive path.
    Generic,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The interfaces of the host.
    pub interfaces: &'a [Interface],
    /// Those that packets for the virtual addresses arrive by.
    pub ingress: &'a BTreeSet<u32>,
    /// Those that lead to real servers.
    pub egress: &'a BTreeSet<u32>,
    /// Those that virtual addresses belong on, as far as they are known.
    pub homes: &'a BTreeSet<u32>,
    /// How to attach the program.
    pub mode: XdpMode,
    /// The interfaces that have refused a native program.
    pub not_native: &'a BTreeSet<u32>,
}

/// How the program fits. Interfaces are named by their index; texts are for operators, and name what to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Where the program goes, and how.
    pub programs: BTreeMap<u32, Mode>,
    /// Why it goes to interfaces that were not asked for, or runs otherwise than one may expect.
    pub remarks: BTreeMap<u32, String>,
    /// The interfaces that it cannot go to.
    pub refused: BTreeMap<u32, String>,
    /// The interfaces that packets cannot leave by: their real servers get none.
    pub blocked: BTreeMap<u32, String>,
    /// VLAN devices that the program does the work of: the interface below, and the tags, outermost first, that packets
    /// have there.
    pub trunks: BTreeMap<u32, (u32, Vec<Tag>)>,
    /// The interfaces that must not merge packets (GRO).
    pub unmerged: BTreeSet<u32>,
    /// The interfaces that must leave VLAN tags in their packets.
    pub unstripped: BTreeSet<u32>,
}

/// Judges how what is asked for can be had.
#[must_use]
pub fn fit(wish: &Wish<'_>) -> Fit {
    let mut fit = Fit::default();
    let host = Host(wish.interfaces);
    for &index in wish.ingress {
        if let Some(interface) = host.get(index) {
            fit.see_vlans(wish, host, interface);
        }
    }
    for &index in wish.ingress {
        // A VLAN device takes no native program, and needs none where the one below does its work.
        let is_spared = wish.mode == XdpMode::Native && fit.trunks.contains_key(&index);
        if let Some(interface) = host.get(index)
            && !fit.refused.contains_key(&index)
            && !is_spared
        {
            fit.attach(wish, host, interface);
        }
    }
    fit
}

/// The interfaces of a host.
#[derive(Clone, Copy)]
struct Host<'a>(&'a [Interface]);

impl<'a> Host<'a> {
    fn get(self, index: u32) -> Option<&'a Interface> {
        self.0.iter().find(|interface| interface.index == index)
    }

    fn name(self, index: u32) -> &'a str {
        self.get(index).map_or("?", |interface| &interface.name)
    }

    /// The tags of what `upper`, a VLAN device, sends and receives by `lower`, outermost first; none if it is no VLAN
    /// device over that interface.
    fn tags(self, upper: &Interface, lower: u32) -> Option<Vec<Tag>> {
        let mut tags = Vec::new();
        let mut device = upper;
        // A tower of VLAN devices is as high as there are interfaces at most.
        for _ in self.0 {
            tags.insert(0, device.tag?);
            let below = device.lower?;
            if below == lower {
                return Some(tags);
            }
            device = self.get(below)?;
        }
        None
    }

    /// Where what `interface` receives is merged before it gets there: what it is made of, and its ports. On itself a
    /// generic program keeps the kernel from merging (net/core/gro.c, netif_elide_gro).
    fn receivers(self, interface: &Interface) -> BTreeSet<u32> {
        let mut receivers = BTreeSet::from([interface.index]);
        loop {
            let below = self.0.iter().filter(|other| {
                let is_lower = self
                    .0
                    .iter()
                    .any(|upper| receivers.contains(&upper.index) && upper.lower == Some(other.index));
                let is_port = other.master.is_some_and(|master| receivers.contains(&master));
                is_lower || is_port
            });
            let below: BTreeSet<u32> = below.map(|interface| interface.index).collect();
            if below.is_subset(&receivers) {
                receivers.remove(&interface.index);
                return receivers;
            }
            receivers.extend(below);
        }
    }
}

/// Why the program cannot be on `trunk`, if it would have to move packets from one VLAN to another: it leaves their
/// tags as they are.
fn several_vlans(wish: &Wish<'_>, host: Host<'_>, trunk: &Interface) -> Option<String> {
    let ends = wish.egress.union(wish.homes).filter_map(|index| host.get(*index));
    let ends: BTreeMap<Vec<Tag>, &str> = ends
        .filter_map(|end| {
            let tags = match end.index == trunk.index {
                true => Vec::new(),
                false => host.tags(end, trunk.index)?,
            };
            Some((tags, end.name.as_str()))
        })
        .collect();
    if ends.len() < 2 {
        return None;
    }
    let names: Vec<&str> = ends.into_values().collect();
    Some(format!(
        "clients and real servers are in several VLANs over {} ({}), and the program there moves no packets between \
         them; set interfaces = [\"{}\"] in [dataplane], or those of them that the clients' packets arrive by",
        trunk.name,
        names.join(", "),
        names.join("\", \"")
    ))
}

impl Fit {
    /// Judges the VLAN devices over an interface that the program is to run on. It sees their packets before they do,
    /// tags and all, or, where those are beside the packet, without.
    fn see_vlans(&mut self, wish: &Wish<'_>, host: Host<'_>, trunk: &Interface) {
        let concerned = wish
            .interfaces
            .iter()
            .filter(|device| wish.ingress.contains(&device.index) || wish.egress.contains(&device.index))
            .filter_map(|device| Some((device, host.tags(device, trunk.index)?)));
        if let Some(reason) = several_vlans(wish, host, trunk) {
            self.refused.insert(trunk.index, reason);
            return;
        }
        for (device, tags) in concerned {
            let trunk_name = &trunk.name;
            let name = &device.name;
            let hides = if !trunk.is_hardware {
                Some("are handed over beside the packets")
            } else if trunk.stripping == Stripping::Fixed {
                Some("are taken out by its hardware, which cannot be told not to")
            } else if tags.len() > 2 {
                Some("are more than two")
            } else {
                None
            };
            match hides {
                None => {
                    if trunk.stripping == Stripping::On {
                        self.unstripped.insert(trunk.index);
                    }
                    self.trunks.insert(device.index, (trunk.index, tags));
                }
                Some(why) if wish.ingress.contains(&device.index) => {
                    self.refused.insert(
                        trunk.index,
                        format!(
                            "{trunk_name} and the VLAN device {name} over it cannot both have the program: the tags \
                             of {trunk_name} {why}; set interfaces = [\"{name}\"] in [dataplane]"
                        ),
                    );
                }
                Some(why) => {
                    self.blocked.insert(
                        device.index,
                        format!(
                            "{name} is a VLAN device over {trunk_name}, where the program runs and whose tags {why}; \
                             set interfaces = [\"{name}\"] in [dataplane], if the clients' packets arrive there"
                        ),
                    );
                }
            }
        }
    }

    /// Finds the mode in which the program can run on `ingress` and reach what it has to.
    fn attach(&mut self, wish: &Wish<'_>, host: Host<'_>, ingress: &Interface) {
        let targets: BTreeSet<u32> = wish
            .egress
            .iter()
            .filter(|index| !self.blocked.contains_key(index))
            .map(|index| self.trunks.get(index).map_or(*index, |(trunk, _)| *trunk))
            .filter(|index| *index != ingress.index)
            .collect();
        let mut mode = match wish.mode {
            XdpMode::Native => Mode::Native,
            XdpMode::Generic => Mode::Generic,
            XdpMode::Auto if wish.not_native.contains(&ingress.index) => Mode::Generic,
            XdpMode::Auto => Mode::Native,
        };
        let mut helpers = BTreeSet::new();
        for &target in &targets {
            if mode == Mode::Generic {
                break;
            }
            let Some(interface) = host.get(target) else {
                continue;
            };
            let reason = match interface.transmit {
                Transmit::Able => continue,
                Transmit::WithProgram if !wish.not_native.contains(&target) => {
                    helpers.insert(target);
                    continue;
                }
                Transmit::WithProgram => {
                    "takes no native program, without which its driver sends nothing for XDP"
                }
                Transmit::Unable if interface.kind.as_deref() == Some("veth") => {
                    "is a veth whose other end has no XDP program"
                }
                Transmit::Unable => "does not send for native XDP",
                Transmit::Unknown => "may not send for native XDP (from Linux 6.3 on, the kernel tells)",
            };
            let name = &interface.name;
            if wish.mode == XdpMode::Auto {
                mode = Mode::Generic;
                let remark = format!(
                    "in generic mode, which is slower: {name}, which leads to real servers, {reason}"
                );
                self.remarks.insert(ingress.index, remark);
            } else if interface.transmit != Transmit::Unknown {
                let reason = format!(
                    "{name} {reason}, and {} runs a native one; set xdp_mode = \"auto\" or \"generic\" in [dataplane]",
                    ingress.name
                );
                self.blocked.insert(target, reason);
            }
        }
        if mode == Mode::Native {
            for helper in helpers {
                self.programs.entry(helper).or_insert(Mode::Native);
                if !wish.ingress.contains(&helper) {
                    let remark = format!(
                        "on {} as well: it leads to real servers, and its driver sends for XDP only with a program",
                        host.name(helper)
                    );
                    self.remarks.insert(helper, remark);
                }
            }
        } else if !targets.is_empty() {
            self.unmerged.extend(host.receivers(ingress));
        }
        self.programs.insert(ingress.index, mode);
    }
}

#[cfg(test)]
mod tests;
