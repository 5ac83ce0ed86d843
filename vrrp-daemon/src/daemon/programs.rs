//! On which interfaces the XDP program runs.

mod attaching;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Instant;

use tracing::{error, warn};

use super::host::Host;
use crate::interfaces::{Fit, Mode, Steadiness, Wish, fit};
use crate::io::bpf::Attachments;
use crate::io::netlink::{Link, Netlink, XdpProgram};
use crate::model::XdpMode;

/// The program's links, kept where they are wanted, and interfaces as the program needs them.
pub(super) struct Programs {
    attachments: Attachments,
    host: Host,
    /// The interfaces that there are.
    links: Vec<Link>,
    request: Request,
    /// How the program fits on them, as they are now.
    fit: Fit,
    /// Where the program runs on the interfaces that it is attached to, as the kernel says.
    attached: BTreeMap<u32, XdpProgram>,
    /// The interfaces that were tried, by how: what they said.
    tried: BTreeMap<(u32, Mode), Trial>,
    /// The interfaces that do not take a native program, or run a generic one from an earlier daemon.
    not_native: BTreeSet<u32>,
    /// Which interfaces lose their link when the program comes or goes.
    steadiness: Steadiness,
    /// What [`Self::keep`] has reached, until something changes.
    kept: Option<Presence>,
    /// What the operator was told of interfaces: once is enough.
    told: BTreeMap<u32, String>,
}

/// Whether the program is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// This node forwards.
    Wanted,
    /// It does not, and may soon again.
    Unwanted,
    /// The daemon ends.
    Ending,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The names of the interfaces that packets for the virtual addresses arrive by.
    pub(super) ingress: Vec<String>,
    /// The indices of those that lead to real servers.
    pub(super) egress: BTreeSet<u32>,
    /// The names of those that virtual addresses belong on.
    pub(super) homes: BTreeSet<String>,
    /// How to attach the program.
    pub(super) mode: XdpMode,
}

/// Whether an interface takes the program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trial {
    Passed,
    Failed(String),
}

impl Programs {
    /// Begins with the links that an earlier daemon left, and with what it has noted in `state_dir`.
    pub(super) fn new(mut attachments: Attachments, state_dir: &Path) -> io::Result<Self> {
        attachments.adopt()?;
        Ok(Self {
            attachments,
            host: Host::open(state_dir)?,
            links: Vec::new(),
            request: Request {
                ingress: Vec::new(),
                egress: BTreeSet::new(),
                homes: BTreeSet::new(),
                mode: XdpMode::Auto,
            },
            fit: Fit::default(),
            attached: BTreeMap::new(),
            tried: BTreeMap::new(),
            not_native: BTreeSet::new(),
            steadiness: Steadiness::default(),
            kept: None,
            told: BTreeMap::new(),
        })
    }

    /// The program on `interface`, if it is attached.
    pub(super) fn on(&self, interface: &str) -> Option<XdpProgram> {
        self.attached.get(&self.index(interface)?).copied()
    }

    /// Why `interface` has refused the program, if it has: a virtual router on it could not forward.
    pub(super) fn refusal_of(&self, interface: &str) -> Option<&str> {
        let index = self.index(interface)?;
        if let Some(reason) = self.fit.refused.get(&index) {
            return Some(reason);
        }
        let mode = self.fit.programs.get(&index)?;
        match self.tried.get(&(index, *mode)) {
            Some(Trial::Failed(reason)) => Some(reason),
            Some(Trial::Passed) | None => None,
        }
    }

    /// How the program fits on the interfaces.
    pub(super) fn fit(&self) -> &Fit {
        &self.fit
    }

    /// The interfaces that the program belongs on beside those that were asked for.
    pub(super) fn helpers(&self) -> impl Iterator<Item = &str> {
        let indices = self.fit.programs.keys();
        indices
            .filter_map(|index| Some(self.link(*index)?.name.as_str()))
            .filter(|name| !self.request.ingress.iter().any(|asked| asked == name))
    }

    /// Takes in what the interfaces are like now and what is asked for, and attaches the program to those that have not
    /// taken it yet, to know that they would: not the moment of a failover is the one to find out that another program
    /// is there. [`Self::keep`] takes it off again where it is not wanted.
    pub(super) async fn try_out(&mut self, request: Request, links: &[Link], netlink: &Netlink) {
        self.kept = None;
        self.replace_links(links);
        if request.mode != self.request.mode {
            self.not_native.clear();
        }
        self.request = request;
        self.learn_all(netlink).await;
        // Each round but the last learns of an interface that takes no native program.
        for _ in 0..=self.links.len() {
            self.judge();
            // What an earlier daemon had elsewhere may be in the way.
            let elsewhere = self.attachments.interfaces();
            let elsewhere: Vec<u32> = elsewhere
                .filter(|index| !self.fit.programs.contains_key(index))
                .collect();
            for index in elsewhere {
                self.detach(index);
            }
            let before = self.not_native.len();
            for (index, mode) in self.lower_first(&self.fit.programs) {
                if self.tried.get(&(index, mode)) != Some(&Trial::Passed) {
                    self.attach(index, mode);
                }
            }
            if self.not_native.len() == before {
                break;
            }
        }
        self.tell();
    }

    /// Has the program on the interfaces that it belongs on if it is wanted. If it is not, it stays only where it had
    /// better (see [`Steadiness`]). Returns the names of those asked for that do not take it.
    pub(super) async fn keep(&mut self, presence: Presence, netlink: &Netlink) -> Vec<String> {
        if self.kept == Some(presence) {
            return Vec::new();
        }
        let mut programs = self.fit.programs.clone();
        programs.retain(|index, _| match presence {
            Presence::Wanted => true,
            Presence::Unwanted => self.attachments.contains(*index) && !self.may_detach(*index),
            Presence::Ending => false,
        });
        let unwanted: Vec<u32> = self
            .attachments
            .interfaces()
            .filter(|index| self.is_otherwise(*index, programs.get(index)))
            .collect();
        for index in unwanted {
            self.detach(index);
        }
        let now = Instant::now();
        for index in self.host.prepare(&self.fit, !programs.is_empty(), &self.links) {
            self.steadiness.touched(index, now);
        }
        for (index, mode) in self.lower_first(&programs) {
            if (self.attachments.contains(index) || self.attach(index, mode))
                && !self.attached.contains_key(&index)
            {
                self.learn(index, netlink).await;
            }
        }
        let asked = self.request.ingress.iter();
        let refused: Vec<String> = asked
            .filter(|name| presence == Presence::Wanted && self.refusal_of(name).is_some())
            .cloned()
            .collect();
        if refused.is_empty() {
            self.kept = Some(presence);
        }
        refused
    }

    /// Whether the program can go from an interface without taking a link with it.
    fn may_detach(&self, index: u32) -> bool {
        let also = self.fit.unmerged.iter().chain(&self.fit.unstripped);
        also.chain([&index]).all(|index| {
            let is_up = self.link(*index).is_none_or(|link| link.up);
            self.steadiness.may_detach(*index, is_up)
        })
    }

    /// Whether the program on an interface is not there as `wanted`.
    fn is_otherwise(&self, index: u32, wanted: Option<&Mode>) -> bool {
        match (wanted, self.attached.get(&index)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mode), Some(program)) => program.native != (*mode == Mode::Native),
        }
    }

    /// Whether there is anything to look at again.
    pub(super) fn are_attached(&self) -> bool {
        self.attachments.interfaces().next().is_some()
    }

    /// Notices interfaces that have lost the program: [`Self::keep`] attaches it again. Pins again what was unpinned.
    pub(super) fn look_again(&mut self) {
        let lost = self.attachments.forget_lost();
        for index in &lost {
            self.kept = None;
            self.attached.remove(index);
            if let Some(link) = self.link(*index) {
                warn!(
                    interface = link.name,
                    "something has taken the XDP program off the interface: attaching it again"
                );
            }
        }
        for link in &self.links {
            self.attachments.keep_pinned(link.index, &link.name);
        }
    }

    /// Takes in the interfaces that there are. What was known of those that are gone is forgotten.
    fn replace_links(&mut self, links: &[Link]) {
        if self.links == links {
            return;
        }
        let now = Instant::now();
        for link in links {
            let is_proved = match self.link(link.index).map(|before| before.up) {
                Some(true) if !link.up => self.steadiness.link_fell(link.index, now),
                Some(false) if link.up => self.steadiness.link_returned(link.index, now),
                _ => false,
            };
            if is_proved {
                warn!(
                    interface = link.name,
                    "its link falls when the XDP program comes or goes: from now on the program stays on it, as with \
                     attach = \"always\" in [dataplane]"
                );
            }
        }
        self.links = links.to_vec();
        for index in self.attachments.forget_lost() {
            self.attached.remove(&index);
        }
        let is_there = |index: &u32| links.iter().any(|link| link.index == *index);
        self.attached.retain(|index, _| is_there(index));
        self.tried.retain(|(index, _), _| is_there(index));
        self.not_native.retain(is_there);
        self.steadiness.retain(|index| is_there(&index));
        self.told.retain(|index, _| is_there(index));
        for link in links {
            self.attachments.keep_pinned(link.index, &link.name);
        }
    }

    fn judge(&mut self) {
        let native: BTreeSet<u32> = self
            .attached
            .iter()
            .filter(|(_, program)| program.native)
            .map(|(index, _)| *index)
            .collect();
        let interfaces = self.host.look_at(&self.links, &native);
        let ingress = self.request.ingress.iter().filter_map(|name| self.index(name));
        let homes = self.request.homes.iter().filter_map(|name| self.index(name));
        self.fit = fit(&Wish {
            interfaces: &interfaces,
            ingress: &ingress.collect(),
            egress: &self.request.egress,
            homes: &homes.collect(),
            mode: self.request.mode,
            not_native: &self.not_native,
        });
    }

    /// Tells the operator what is new about interfaces.
    fn tell(&mut self) {
        let texts = [&self.fit.refused, &self.fit.blocked, &self.fit.remarks];
        let mut now = BTreeMap::new();
        for (level, texts) in texts.into_iter().enumerate() {
            for (index, text) in texts {
                now.entry(*index).or_insert_with(|| text.clone());
                if self.told.get(index) == Some(text) {
                    continue;
                }
                let interface = self.name(*index);
                match level {
                    0 => error!(
                        interface,
                        reason = text,
                        "cannot forward: out of the election until that is mended"
                    ),
                    1 => error!(
                        interface,
                        reason = text,
                        "its real servers get no packets until that is mended"
                    ),
                    _ => warn!(interface, "the XDP program runs {text}"),
                }
            }
        }
        // Native trials have their own, in `attach`.
        for (index, text) in &self.told {
            if self.not_native.contains(index) {
                now.entry(*index).or_insert_with(|| text.clone());
            }
        }
        self.told = now;
    }

    fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    fn name(&self, index: u32) -> &str {
        self.link(index).map_or("?", |link| &link.name)
    }

    fn index(&self, name: &str) -> Option<u32> {
        let link = self.links.iter().find(|link| link.name == name)?;
        Some(link.index)
    }
}
