//! The interfaces, as the kernel shows them.

use std::collections::{BTreeMap, HashMap};

use tracing::warn;

use super::VrrpLoop;
use crate::daemon::programs::Request;
use crate::io::clock;
use crate::io::netlink;
use crate::vrrp::{Port, PortAddress};

impl VrrpLoop {
    /// Takes in what the kernel told.
    pub(super) fn observe(&mut self, event: &netlink::Event) {
        match event {
            netlink::Event::Link(link) if self.links.contains(link) => {}
            netlink::Event::Link(_) | netlink::Event::LinkRemoved { .. } | netlink::Event::Overrun => {
                self.to_look_at.ports = true;
            }
            netlink::Event::Address {
                interface,
                address,
                present,
            } => match (self.speaker.is_virtual(address.addr()), present) {
                (false, _) => self.to_look_at.ports = true,
                (true, false) => self.speaker.address_removed(*interface, address.addr()),
                (true, true) => {}
            },
            netlink::Event::Neighbour(_) | netlink::Event::NeighbourRemoved { .. } => {}
        }
    }

    /// Tells the speaker what the interfaces are like now.
    pub(super) async fn look_at_ports(&mut self) {
        let seen = async { Ok((self.netlink.links().await?, self.netlink.addresses().await?)) };
        let (links, addresses) = match seen.await {
            Ok(seen) => seen,
            Err(error) => {
                let error: netlink::Error = error;
                warn!(%error, "cannot list the interfaces and their addresses");
                return;
            }
        };
        // What is held on an interface that is gone, or has got another name, is given up before the program goes.
        let names: HashMap<u32, &str> = links
            .iter()
            .map(|link| (link.index, link.name.as_str()))
            .collect();
        self.speaker.retain_ports(&names, clock::now());
        self.carry_out_all().await;
        self.links = links;
        self.silence.look_at(&self.links);
        let request = {
            let assignment = self.assignment.borrow();
            let members = assignment.instances.iter();
            let homes = members.flat_map(|member| {
                let instance = &member.instance;
                let addresses = instance.virtual_addresses.iter();
                addresses.map(|address| address.device.as_ref().unwrap_or(&instance.interface).clone())
            });
            Request {
                homes: homes.collect(),
                ingress: assignment.interfaces.clone(),
                egress: assignment.egress.clone(),
                mode: assignment.xdp_mode,
            }
        };
        self.programs.try_out(request, &self.links, &self.netlink).await;
        self.reports.programs_changed();
        let mut of_interface: BTreeMap<u32, Vec<PortAddress>> = BTreeMap::new();
        for known in addresses {
            of_interface
                .entry(known.interface)
                .or_default()
                .push(PortAddress {
                    address: known.address,
                    secondary: known.secondary,
                });
        }
        let ports = self.links.iter().map(|link| Port {
            index: link.index,
            name: link.name.clone(),
            mac: link.mac,
            up: link.up,
            addresses: of_interface.remove(&link.index).unwrap_or_default(),
            refuses_program: self.programs.refusal_of(&link.name).is_some(),
        });
        self.speaker.replace_ports(ports.collect(), clock::now());
    }
}
