//! On which interfaces the XDP program runs.

use std::collections::BTreeMap;

use tracing::{error, info, warn};

use super::forwarding::Chain;
use crate::io::bpf::Attachments;
use crate::io::netlink::{Link, Netlink, XdpProgram};
use crate::model::XdpMode;

/// The program's links, kept where they are wanted.
pub(super) struct Programs {
    attachments: Attachments,
    /// Where the program runs on the interfaces that it is attached to, as the kernel says.
    attached: BTreeMap<String, XdpProgram>,
    /// The interfaces that were tried, by the index that each had: what they said.
    tried: BTreeMap<String, (u32, Trial)>,
}

/// Whether an interface takes the program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trial {
    Passed,
    Failed(String),
}

impl Programs {
    /// Begins with the links that an earlier daemon left.
    pub(super) fn new(mut attachments: Attachments) -> std::io::Result<Self> {
        attachments.adopt()?;
        Ok(Self {
            attachments,
            attached: BTreeMap::new(),
            tried: BTreeMap::new(),
        })
    }

    /// The program on `interface`, if it is attached.
    pub(super) fn on(&self, interface: &str) -> Option<XdpProgram> {
        self.attached.get(interface).copied()
    }

    /// Whether `interface` has refused the program: a virtual router on it could not forward.
    pub(super) fn are_refused_by(&self, interface: &str) -> bool {
        matches!(self.tried.get(interface), Some((_, Trial::Failed(_))))
    }

    /// Attaches the program to the `interfaces` that have not taken it yet, to know that they would: not the moment of
    /// a failover is the one to find out that another program is there. [`Self::keep`] takes it off again where it is
    /// not wanted.
    pub(super) fn try_out(&mut self, interfaces: &[String], links: &[Link], mode: XdpMode) {
        for interface in interfaces {
            let Some(link) = links.iter().find(|link| link.name == *interface) else {
                continue;
            };
            if self.tried.get(interface) != Some(&(link.index, Trial::Passed)) {
                self.attach(interface, link.index, mode);
            }
        }
    }

    /// Has the program on the `wanted` interfaces, and on no others. Returns those that do not take it.
    pub(super) async fn keep(
        &mut self,
        wanted: &[String],
        links: &[Link],
        mode: XdpMode,
        netlink: &Netlink,
    ) -> Vec<String> {
        let unwanted: Vec<String> = self
            .attachments
            .interfaces()
            .filter(|interface| !wanted.iter().any(|name| name == interface))
            .map(str::to_owned)
            .collect();
        for interface in unwanted {
            self.attachments.detach(&interface);
            if self.attached.remove(&interface).is_some() {
                info!(interface, "took the XDP program off");
            }
        }
        let mut refused = Vec::new();
        for link in links.iter().filter(|link| wanted.contains(&link.name)) {
            if !self.attachments.contains(&link.name) && !self.attach(&link.name, link.index, mode) {
                refused.push(link.name.clone());
            } else if !self.attached.contains_key(&link.name) {
                self.learn(&link.name, netlink).await;
            }
        }
        refused
    }

    /// Lets go of links whose interface was made anew or has lost the program: [`Self::keep`] attaches it again.
    pub(super) async fn look_again(&mut self, netlink: &Netlink) {
        let interfaces: Vec<String> = self.attachments.interfaces().map(str::to_owned).collect();
        for interface in interfaces {
            match netlink.xdp_program(&interface).await {
                Ok(program) if program == self.on(&interface) => {}
                Ok(_) | Err(_) => {
                    warn!(interface, "the XDP program is not on the interface any more");
                    self.attachments.detach(&interface);
                    self.attached.remove(&interface);
                }
            }
        }
    }

    /// Lets go of an interface that is gone, and the program with it.
    pub(super) fn forget(&mut self, interface: &str) {
        self.attachments.detach(interface);
        self.attached.remove(interface);
        self.tried.remove(interface);
    }

    /// Attaches the program. Tells of a refusal once, for as long as the interface says the same.
    fn attach(&mut self, interface: &str, index: u32, mode: XdpMode) -> bool {
        let trial = match self.attachments.attach(interface, mode) {
            Ok(()) => Trial::Passed,
            Err(error) => Trial::Failed(Chain(&error).to_string()),
        };
        let news = self.tried.insert(interface.to_owned(), (index, trial.clone()));
        match trial {
            Trial::Passed => true,
            Trial::Failed(reason) => {
                if news != Some((index, Trial::Failed(reason.clone()))) {
                    error!(
                        interface,
                        reason, "cannot forward: out of the election until the program is attached"
                    );
                }
                false
            }
        }
    }

    async fn learn(&mut self, interface: &str, netlink: &Netlink) {
        match netlink.xdp_program(interface).await {
            Ok(Some(program)) => {
                info!(
                    interface,
                    native = program.native,
                    id = program.id,
                    "the XDP program is attached"
                );
                self.attached.insert(interface.to_owned(), program);
            }
            Ok(None) => {}
            Err(error) => warn!(interface, %error, "cannot tell whether the XDP program is attached"),
        }
    }
}
