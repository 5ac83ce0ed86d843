//! What the speaker asks for, carried out in its order.

use std::net::IpAddr;

use tracing::{debug, error, warn};

use super::VrrpLoop;
use crate::daemon::news::News;
use crate::daemon::programs::Presence;
use crate::io::clock;
use crate::io::limits;
use crate::io::netlink::Link;
use crate::model::VirtualAddress;
use crate::vrrp::Command;

/// The number of frames in a burst of gratuitous ARP (Keepalived's `vrrp_garp_master_repeat`).
const ANNOUNCEMENTS: usize = 5;

impl VrrpLoop {
    /// Carries out what the speaker asks for.
    pub(super) async fn carry_out_all(&mut self) {
        while let Some(command) = self.speaker.next_effect() {
            self.carry_out(command).await;
        }
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Listen {
                interface,
                name,
                family,
            } => {
                if let Err(error) = self.listeners.listen(&name, interface) {
                    let error = limits::Remedied(&error);
                    error!(interface = name, %error, "cannot open the VRRP socket");
                    self.speaker.cannot_listen(interface, family, clock::now());
                }
            }
            Command::StopListening { interface, .. } => self.listeners.stop(interface),
            Command::GrantLease {
                slot,
                interface,
                virtual_router_id,
                interval,
            } => self
                .leases
                .grant(slot, interface, virtual_router_id.get(), interval),
            Command::RenewLease { slot } => self.leases.renew(slot),
            Command::HandOverLease { slot } => self.leases.hand_over(slot),
            Command::VacateLease { slot } => self.leases.vacate(slot),
            Command::RunProgram { wanted } => self.run_program(wanted).await,
            Command::Send {
                router,
                interface,
                source,
                message,
            } => {
                let sent = self.listeners.send(interface, source, &message);
                let now = clock::now();
                match sent {
                    Ok(()) => self.speaker.sent(router, now),
                    Err(error) => self.speaker.send_failed(router, &error.to_string(), now),
                }
            }
            Command::AddAddress {
                interface,
                address,
                again,
            } => {
                self.silence.begin(address.address.addr(), interface);
                self.add_address(interface, &address, again).await;
            }
            Command::RemoveAddress {
                router,
                interface,
                address,
            } => match self.netlink.remove_address(interface, &address).await {
                Ok(_) => self.silence.end(address.address.addr()),
                Err(error) => {
                    self.speaker.address_stays(router, interface, &address);
                    let interface = self.name_of(interface);
                    error!(interface, %error, "a virtual address stays on its interface");
                }
            },
            Command::Announce {
                interface,
                mac,
                address,
            } => self.announce(interface, mac, address),
            Command::Ask {
                interface,
                mac,
                address,
            } => self.ask(interface, mac, address),
            Command::Tell { instance, news } => self.news.tell(News::Vrrp { instance, news }),
            Command::Malformed { interface, error } => {
                warn!(interface, problem = %error, "ignoring VRRP packets like this one");
            }
        }
    }

    async fn run_program(&mut self, wanted: bool) {
        let presence = if wanted {
            Presence::Wanted
        } else {
            Presence::Unwanted
        };
        let refused = self.programs.keep(presence, &self.netlink).await;
        self.reports.programs_changed();
        let now = clock::now();
        for interface in refused {
            self.speaker.program_refused(&interface, now);
        }
    }

    async fn add_address(&self, interface: u32, address: &VirtualAddress, again: bool) {
        match self.netlink.add_address(interface, address).await {
            Ok(added) => {
                if added && again {
                    let interface = self.name_of(interface);
                    warn!(address = %address.address, interface, "a virtual address was gone: added it again");
                }
            }
            Err(error) => error!(%error, "a virtual address is missing from its interface"),
        }
    }

    fn announce(&self, interface: u32, mac: [u8; 6], address: IpAddr) {
        let IpAddr::V4(address) = address else { return };
        for _ in 0..ANNOUNCEMENTS {
            if let Err(error) = self.arp.announce(interface, mac, address) {
                let interface = self.name_of(interface);
                warn!(%address, interface, %error, "cannot send gratuitous ARP");
                return;
            }
        }
    }

    fn ask(&self, interface: u32, mac: [u8; 6], address: IpAddr) {
        let IpAddr::V4(address) = address else { return };
        if let Err(error) = self.arp.ask(interface, mac, address) {
            let interface = self.name_of(interface);
            debug!(%address, interface, %error, "cannot ask who else answers for an address");
        }
    }

    fn name_of(&self, interface: u32) -> &str {
        let link = self.links.iter().find(|link| link.index == interface);
        link.map_or("?", |Link { name, .. }| name)
    }
}
