//! What the virtual routers ask for, carried out in their order.

use std::time::{Instant, SystemTime};

use tracing::{error, info, warn};

use super::VrrpLoop;
use super::interfaces::{add_address, announce, device};
use crate::model::{Priority, VirtualAddress, VirtualRouterName};
use crate::vrrp::{Effect, State};

impl VrrpLoop {
    /// Lets go of the virtual routers that have stopped. One that was wanted again meanwhile begins anew.
    pub(super) async fn let_go(&mut self) {
        let before = self.routers.len();
        self.routers.retain(|_, router| !router.machine.is_stopped());
        if self.routers.len() < before {
            self.reassign();
            self.look_at_links().await;
            self.carry_out_all().await;
        }
    }

    /// Carries out what the virtual routers ask for.
    pub(super) async fn carry_out_all(&mut self) {
        let keys: Vec<VirtualRouterName> = self.routers.keys().cloned().collect();
        for key in keys {
            while let Some(effect) = self
                .routers
                .get_mut(&key)
                .and_then(|router| router.machine.next_effect())
            {
                self.carry_out(&key, effect).await;
            }
        }
    }

    async fn carry_out(&mut self, key: &VirtualRouterName, effect: Effect) {
        let VirtualRouterName {
            interface,
            virtual_router_id,
            ..
        } = key;
        let effect = match effect {
            Effect::ReleaseAddresses(mut addresses) => {
                addresses.retain(|address| !self.is_held_by_another(key, address));
                Effect::ReleaseAddresses(addresses)
            }
            effect => effect,
        };
        let Some(router) = self.routers.get_mut(key) else {
            return;
        };
        let name = &router.machine.instance().name;
        match effect {
            Effect::GrantLease { interval } => {
                let Some(port) = router.on else { return };
                self.leases
                    .grant(router.lease_slot, port.index, virtual_router_id.get(), interval);
                // Before anybody is told to send us packets.
                self.attach_where_wanted().await;
            }
            Effect::Send(advertisement) => {
                let Some(port) = router.on else { return };
                match self
                    .listeners
                    .send(interface, &advertisement.packet(port.primary_address))
                {
                    Ok(()) if advertisement.priority != Priority::RESIGN => {
                        self.leases.renew(router.lease_slot);
                        router.machine.sent(Instant::now());
                    }
                    Ok(()) => {}
                    Err(error) => warn!(instance = name, interface, %error, "cannot send an advertisement"),
                }
            }
            // An interface that has just refused the program, or went away: the machine has been told, and resigns.
            Effect::AcquireAddresses(_) | Effect::Announce(_) if router.on.is_none() => {}
            Effect::AcquireAddresses(addresses) => {
                for address in &addresses {
                    add_address(&self.netlink, &self.links, interface, address).await;
                }
            }
            Effect::ReleaseAddresses(addresses) => {
                for address in &addresses {
                    let Some(link) = device(&self.links, interface, address) else {
                        continue;
                    };
                    if let Err(error) = self.netlink.remove_address(link.index, address).await {
                        error!(instance = name, %error, "a virtual address stays on its interface");
                    }
                }
            }
            Effect::Announce(addresses) => {
                for address in &addresses {
                    let Some(link) = device(&self.links, interface, address) else {
                        continue;
                    };
                    announce(&self.announcer, link, address);
                }
            }
            Effect::HandOverLease => self.leases.hand_over(router.lease_slot),
            Effect::VacateLease => self.leases.vacate(router.lease_slot),
            Effect::Transitioned { from, to, reason } => {
                info!(instance = name, interface, vrid = virtual_router_id.get(), %from, %to, %reason, "transition");
                router.last_transition = Some(SystemTime::now());
            }
            Effect::Notify(notice) => warn!(instance = name, interface, "{notice}"),
        }
    }

    /// Whether a virtual address that the virtual router `key` gives up is another one's, which is master: a reload has
    /// moved it.
    fn is_held_by_another(&self, key: &VirtualRouterName, address: &VirtualAddress) -> bool {
        let place = |VirtualRouterName { interface, .. }: &VirtualRouterName, address: &VirtualAddress| {
            (
                address.address.addr(),
                address.device.as_ref().unwrap_or(interface).clone(),
            )
        };
        let given_up = place(key, address);
        self.routers
            .iter()
            .filter(|(other, router)| *other != key && router.machine.state() == State::Master)
            .any(|(other, router)| {
                let mut theirs = router.machine.instance().virtual_addresses.iter();
                theirs.any(|address| place(other, address) == given_up)
            })
    }

    /// Has the program where it belongs now. A virtual router on an interface that does not take it cannot be master:
    /// the local stack would reset every connection to its addresses.
    pub(super) async fn attach_where_wanted(&mut self) {
        let holds = self
            .routers
            .values()
            .any(|router| self.leases.is_held(router.lease_slot));
        let wanted = {
            let assignment = self.assignment.borrow();
            holds || assignment.attach_always && !assignment.stopping
        };
        for refused in self.programs.keep(wanted, &self.netlink).await {
            for (name, router) in &mut self.routers {
                if name.interface == refused {
                    router.machine.lease_refused();
                    router.told = false;
                }
            }
        }
    }

    /// Puts back virtual addresses that something else has taken from a master.
    pub(super) async fn hold_addresses(&mut self) {
        let masters = self
            .routers
            .iter()
            .filter(|(_, router)| router.machine.state() == State::Master);
        for (VirtualRouterName { interface, .. }, router) in masters {
            for address in &router.machine.instance().virtual_addresses {
                if add_address(&self.netlink, &self.links, interface, address).await {
                    warn!(address = %address.address, interface, "a virtual address was gone: added it again");
                }
            }
        }
    }
}
