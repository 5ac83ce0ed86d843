//! How the program comes to an interface, and goes.

use std::collections::BTreeMap;
use std::time::Instant;

use tracing::{error, info, warn};

use super::{Programs, Trial};
use crate::daemon::chain::Chain;
use crate::interfaces::Mode;
use crate::io::netlink::Netlink;
use crate::model::XdpMode;

impl Programs {
    /// Interfaces before those that are made of them: the kernel lets no program on an interface with one above it
    /// (net/core/dev.c, dev_xdp_attach).
    pub(super) fn lower_first(&self, programs: &BTreeMap<u32, Mode>) -> Vec<(u32, Mode)> {
        let mut ordered: Vec<(u32, Mode)> = programs.iter().map(|(index, mode)| (*index, *mode)).collect();
        ordered.sort_by_key(|(index, _)| self.below(*index).len());
        ordered
    }

    /// The interfaces that an interface is made of.
    fn below(&self, index: u32) -> Vec<u32> {
        let mut below = Vec::new();
        let mut next = Some(index);
        while let Some(link) = next.and_then(|index| self.link(index)) {
            next = link.build.lower.filter(|lower| !below.contains(lower));
            below.extend(next);
        }
        below
    }

    /// Takes the program off an interface, if it is there.
    pub(super) fn detach(&mut self, index: u32) {
        self.attachments.detach(index);
        self.steadiness.touched(index, Instant::now());
        if self.attached.remove(&index).is_some() {
            info!(interface = self.name(index), "took the XDP program off");
        }
    }

    /// Attaches the program. Tells of a refusal once, for as long as the interface says the same.
    pub(super) fn attach(&mut self, index: u32, mode: Mode) -> bool {
        let Some(interface) = self.link(index).map(|link| link.name.clone()) else {
            return false;
        };
        let is_there = self.attachments.contains(index);
        if !is_there {
            let above: Vec<u32> = self
                .attachments
                .interfaces()
                .filter(|above| self.below(*above).contains(&index))
                .collect();
            for above in above {
                self.detach(above);
            }
        }
        let trial = match self.attachments.attach(index, &interface, mode) {
            Ok(()) => {
                if !is_there {
                    self.steadiness.touched(index, Instant::now());
                }
                Trial::Passed
            }
            Err(error) => Trial::Failed(Chain(&error).to_string()),
        };
        let before = self.tried.insert((index, mode), trial.clone());
        let Trial::Failed(reason) = trial else {
            return true;
        };
        if mode == Mode::Native && self.request.mode == XdpMode::Auto {
            if self.not_native.insert(index) {
                warn!(
                    interface,
                    reason,
                    "the driver runs no XDP program here: attaching it in generic mode, which is slower"
                );
            }
        } else if before != Some(Trial::Failed(reason.clone())) {
            error!(
                interface,
                reason, "cannot forward: out of the election until the program is attached"
            );
        }
        false
    }

    /// Learns how the links that were taken over run.
    pub(super) async fn learn_all(&mut self, netlink: &Netlink) {
        let unknown: Vec<u32> = self
            .attachments
            .interfaces()
            .filter(|index| !self.attached.contains_key(index))
            .collect();
        for index in unknown {
            self.learn(index, netlink).await;
            if self.attached.get(&index).is_some_and(|program| !program.native) {
                self.not_native.insert(index);
            }
        }
    }

    pub(super) async fn learn(&mut self, index: u32, netlink: &Netlink) {
        let interface = self.name(index).to_owned();
        match netlink.xdp_program(index).await {
            Ok(Some(program)) => {
                info!(
                    interface,
                    native = program.native,
                    id = program.id,
                    "the XDP program is attached"
                );
                self.attached.insert(index, program);
            }
            Ok(None) => {}
            Err(error) => warn!(interface, %error, "cannot tell whether the XDP program is attached"),
        }
    }
}
