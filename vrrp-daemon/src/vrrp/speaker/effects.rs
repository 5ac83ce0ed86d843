//! What the virtual routers want, put into what the daemon can do.

use std::sync::Arc;

use super::member::{Router, Sending};
use super::{Command, News, PortAddress, RouterHandle, Speaker};
use crate::model::VirtualAddress;
use crate::vrrp::effect::Effect;
use crate::vrrp::wire;

impl Speaker {
    /// The next thing to do. To be asked after every input until there is none.
    pub fn next_effect(&mut self) -> Option<Command> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Some(command);
            }
            let Some(handle) = self.turn.or_else(|| self.agenda.next_stirred()) else {
                // Off last: whoever takes over here needs it at once.
                self.run_program();
                return self.commands.pop_front();
            };
            let effect = self
                .routers
                .get_mut(&handle)
                .and_then(|router| router.machine.next_effect());
            if let Some(effect) = effect {
                self.turn = Some(handle);
                self.translate(handle, effect);
            } else {
                self.turn = None;
                self.settle(handle);
            }
        }
    }

    /// `handle` wants nothing more for now.
    fn settle(&mut self, handle: RouterHandle) {
        let Some(router) = self.routers.get_mut(&handle) else {
            return;
        };
        if router.vacates && router.staying.is_empty() {
            router.vacates = false;
            self.held -= usize::from(std::mem::replace(&mut router.holds_lease, false));
            let slot = router.lease_slot;
            self.commands.push_back(Command::VacateLease { slot });
        }
        if router.machine.is_stopped() {
            self.let_go(handle);
        } else if router.has_changed() {
            self.changed.insert(handle);
        }
    }

    /// A virtual router has stopped. One that was wanted again meanwhile begins anew.
    fn let_go(&mut self, handle: RouterHandle) {
        let Some(router) = self.routers.remove(&handle) else {
            return;
        };
        self.agenda.forget(&handle);
        self.names.remove(&router.name);
        self.hearers.retain(|_, hearer| *hearer != handle);
        // What stays after all keeps its lease and with it the program.
        self.held -= usize::from(router.holds_lease && router.staying.is_empty());
        // Whoever looks at the changes sees that it is gone.
        self.changed.insert(handle);
        // Its lease was just given up: there is nothing to resume.
        let fresh: Vec<RouterHandle> = router
            .again
            .map(|member| self.begin(&member, None, self.latest))
            .into_iter()
            .collect();
        self.index_addresses();
        self.connect_fresh(&fresh, self.latest);
    }

    fn translate(&mut self, handle: RouterHandle, effect: Effect) {
        let Some(router) = self.routers.get_mut(&handle) else {
            return;
        };
        let slot = router.lease_slot;
        match effect {
            Effect::GrantLease { interval } => {
                let Some((interface, _)) = router.port else {
                    return;
                };
                self.held += usize::from(!std::mem::replace(&mut router.holds_lease, true));
                router.vacates = false;
                let grant = Command::GrantLease {
                    slot,
                    interface,
                    virtual_router_id: router.name.virtual_router_id,
                    interval,
                };
                self.commands.push_back(grant);
                // Before anybody is told to send us packets.
                self.run_program();
            }
            Effect::Send(advertisement) => {
                let message = |source| advertisement.emit(source);
                self.commands
                    .extend(send(handle, router, Sending::Advertisement, message));
            }
            Effect::SendLast(advertisement) => {
                let message = |source| advertisement.emit(source);
                self.commands.extend(send(handle, router, Sending::Last, message));
            }
            Effect::Probe => {
                let advertisement = router.machine.own_advertisement();
                let message = |source| wire::probe(&advertisement, source);
                self.commands
                    .extend(send(handle, router, Sending::Probe, message));
            }
            Effect::AcquireAddresses(addresses) => self.acquire(handle, addresses),
            Effect::ReleaseAddresses(addresses) => self.release(handle, addresses),
            Effect::Announce(addresses) => {
                for address in addresses {
                    if let Some((interface, mac)) = self.place(handle, &address) {
                        let address = address.address.addr();
                        self.commands.push_back(Command::Announce {
                            interface,
                            mac,
                            address,
                        });
                    }
                }
            }
            Effect::HandOverLease => self.commands.push_back(Command::HandOverLease { slot }),
            // Without a lease, the local stack would have them.
            Effect::VacateLease if !router.staying.is_empty() => {
                router.vacates = true;
                self.commands.push_back(Command::HandOverLease { slot });
            }
            Effect::VacateLease => {
                self.held -= usize::from(std::mem::replace(&mut router.holds_lease, false));
                self.commands.push_back(Command::VacateLease { slot });
            }
            Effect::Transitioned { from, to, reason } => {
                router.last_transition = Some(self.latest);
                self.tell(handle, News::Transition { from, to, reason });
            }
            Effect::Obstructed(obstacle) => self.tell(handle, News::Obstructed(obstacle)),
            Effect::Ask(address) => {
                if let Some((interface, mac)) = self.place(handle, &address) {
                    let address = address.address.addr();
                    self.commands.push_back(Command::Ask {
                        interface,
                        mac,
                        address,
                    });
                }
            }
            Effect::Worry(concern) => self.tell(handle, News::Worry(concern)),
            Effect::Relief(concern) => self.tell(handle, News::Relief(concern)),
            Effect::HoldsBack {
                from,
                priority,
                awaited,
            } => self.tell(
                handle,
                News::HoldsBack {
                    from,
                    priority,
                    awaited,
                },
            ),
            Effect::HoldsBackNoMore { known } => self.tell(handle, News::HoldsBackNoMore { known }),
        }
    }

    fn tell(&mut self, handle: RouterHandle, news: News) {
        let instance = Arc::clone(self.routers[&handle].machine.instance());
        self.commands.push_back(Command::Tell { instance, news });
    }

    fn acquire(&mut self, handle: RouterHandle, addresses: Vec<VirtualAddress>) {
        if let Some(router) = self.routers.get_mut(&handle) {
            router.staying.clear();
        }
        for address in addresses {
            // Who lacks one is no master.
            let Some(interface) = self.device(handle, &address) else {
                continue;
            };
            let place = (address.address.addr(), self.routers[&handle].device_of(&address));
            if let Some(port) = self.ports.get_mut(&interface) {
                port.addresses.push(PortAddress {
                    address: address.address.addr(),
                    secondary: true,
                });
            }
            self.placed.insert(place, interface);
            self.commands.push_back(Command::AddAddress {
                interface,
                address,
                again: false,
            });
        }
    }

    fn release(&mut self, handle: RouterHandle, addresses: Vec<VirtualAddress>) {
        for address in addresses {
            let device = self.routers[&handle].device_of(&address);
            if self.has_another_master(address.address.addr(), &device, handle) {
                continue;
            }
            // Where it was added, whatever that is called by now.
            let placed = self.placed.remove(&(address.address.addr(), device));
            if let Some(interface) = placed.or_else(|| self.device(handle, &address)) {
                if let Some(port) = self.ports.get_mut(&interface) {
                    port.addresses
                        .retain(|present| present.address != address.address.addr());
                }
                self.commands.push_back(Command::RemoveAddress {
                    router: handle,
                    interface,
                    address,
                });
            }
        }
    }

    /// The interface that a virtual address of `handle` belongs on, and its link-layer address.
    fn place(&self, handle: RouterHandle, address: &VirtualAddress) -> Option<(u32, [u8; 6])> {
        let port = self.ports.get(&self.device(handle, address)?)?;
        Some((port.index, port.mac?))
    }

    /// `address` of `router` could not be removed from an interface. Its lease is kept for that long, and answers
    /// nobody.
    pub fn address_stays(&mut self, router: RouterHandle, interface: u32, address: &VirtualAddress) {
        if let Some(router) = self.routers.get_mut(&router) {
            router.staying.push((interface, address.clone()));
        }
    }

    /// Tries again to remove the addresses of `handle` that stayed.
    pub(super) fn release_again(&mut self, handle: RouterHandle) {
        let Some(router) = self.routers.get_mut(&handle) else {
            return;
        };
        let staying = std::mem::take(&mut router.staying);
        if staying.is_empty() {
            return;
        }
        self.commands.extend(
            staying
                .into_iter()
                .map(|(interface, address)| Command::RemoveAddress {
                    router: handle,
                    interface,
                    address,
                }),
        );
        self.agenda.stirred(&handle, router.machine.deadline());
    }

    /// The interface that a virtual address of `handle` belongs on.
    pub(super) fn device(&self, handle: RouterHandle, address: &VirtualAddress) -> Option<u32> {
        let name = self.routers[&handle].device_of(address);
        self.port_named(&name).map(|port| port.index)
    }

    /// Has the program where it belongs now: a virtual router whose interface does not take it cannot be master.
    fn run_program(&mut self) {
        // Before that, what a previous daemon left is not to be touched: it may be in use.
        if !self.looked_at_ports {
            return;
        }
        let wanted = self.held > 0 || self.program_always;
        if self.program_runs.replace(wanted) != Some(wanted) {
            self.commands.push_back(Command::RunProgram { wanted });
        }
    }
}

fn send(
    handle: RouterHandle,
    router: &mut Router,
    sending: Sending,
    message: impl FnOnce(std::net::IpAddr) -> Vec<u8>,
) -> Option<Command> {
    let (interface, source) = router.port?;
    let source = source?;
    router.sending = sending;
    Some(Command::Send {
        router: handle,
        interface,
        source,
        message: message(source),
    })
}
