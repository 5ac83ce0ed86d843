//! Interfaces that come, change and go under the virtual routers.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Command, News, Port, RouterHandle, Speaker};
use crate::model::AddressFamily;
use crate::vrrp::effect::State;
use crate::vrrp::obstacle::Obstacle;

impl Speaker {
    /// These are the interfaces now. Virtual addresses that something else has taken from a master are put back.
    ///
    /// An interface that is gone, or has got another name, is to be told of by [`Self::retain_ports`] first, so that
    /// nothing of it is left when the program goes.
    pub fn replace_ports(&mut self, ports: Vec<Port>, now: Instant) {
        self.latest = now;
        self.ports = ports.into_iter().map(|port| (port.index, port)).collect();
        self.complaints.retain(|index, _| self.ports.contains_key(index));
        // A socket that could not be opened may be by now; and the program goes with an interface that is made anew.
        self.deaf.clear();
        self.program_runs = None;
        self.looked_at_ports = true;
        let handles: Vec<RouterHandle> = self.routers.keys().copied().collect();
        for handle in handles {
            self.connect(handle, now);
            self.hold_addresses(handle);
            self.release_again(handle);
        }
        self.listen();
    }

    /// These are the names of the interfaces now, by their index. One that is gone, or has got another name, is none of
    /// its virtual routers' any more: they resign by the one that only has another name, and give up what they hold on
    /// it.
    pub fn retain_ports(&mut self, names: &HashMap<u32, &str>, now: Instant) {
        self.latest = now;
        let before = self.ports.len();
        self.ports
            .retain(|index, port| names.get(index).is_some_and(|name| *name == port.name));
        if self.ports.len() == before {
            return;
        }
        let handles: Vec<RouterHandle> = self.routers.keys().copied().collect();
        for handle in handles {
            let router = &self.routers[&handle];
            let lacks = |name: &str| self.looked_at_ports && self.port_named(name).is_none();
            let obstacle = match router.port {
                Some((index, _)) if !self.ports.contains_key(&index) => {
                    if !names.contains_key(&index) {
                        self.plug(handle, None);
                    }
                    Obstacle::NoInterface
                }
                _ if router.places().any(|(_, device)| lacks(device)) => {
                    self.tell_of_missing_devices(handle);
                    Obstacle::NoDevice
                }
                _ => continue,
            };
            self.input(handle, |machine| machine.obstructed(obstacle, now));
        }
        self.listen();
    }

    /// Something may have taken the program off an interface.
    pub fn look_at_program(&mut self) {
        self.program_runs = None;
    }

    /// The interface `name` does not take the program.
    pub fn program_refused(&mut self, name: &str, now: Instant) {
        self.latest = now;
        for port in self.ports.values_mut().filter(|port| port.name == name) {
            port.refuses_program = true;
        }
        self.connect_all_on(name, now);
    }

    /// The socket for advertisements cannot be opened on an interface.
    pub fn cannot_listen(&mut self, interface: u32, family: AddressFamily, now: Instant) {
        self.latest = now;
        self.listening.remove(&(interface, family));
        self.deaf.insert((interface, family));
        if let Some(name) = self.ports.get(&interface).map(|port| port.name.clone()) {
            self.connect_all_on(&name, now);
        }
    }

    /// Something has taken an address from an interface. A master that has it takes it back.
    pub fn address_removed(&mut self, interface: u32, address: IpAddr) {
        if let Some(port) = self.ports.get_mut(&interface) {
            port.addresses.retain(|present| present.address != address);
        }
        for handle in self.addresses.get(&address).cloned().unwrap_or_default() {
            self.hold_addresses(handle);
        }
    }

    /// Names the interfaces that virtual addresses of `handle` lack, where that is news.
    fn tell_of_missing_devices(&mut self, handle: RouterHandle) {
        let router = &self.routers[&handle];
        if router.machine.obstacles().contains(&Obstacle::NoDevice) {
            return;
        }
        let missing = router
            .places()
            .filter(|(_, device)| self.port_named(device).is_none());
        let told: Vec<Command> = missing
            .map(|(address, _)| Command::Tell {
                instance: Arc::clone(router.machine.instance()),
                news: News::NoDevice {
                    address: address.clone(),
                },
            })
            .collect();
        self.commands.extend(told);
    }

    fn connect_all_on(&mut self, name: &str, now: Instant) {
        let on = |handle: &RouterHandle| {
            let router = &self.routers[handle];
            router.name.interface == name || router.places().any(|(_, device)| device == name)
        };
        let handles: Vec<RouterHandle> = self.routers.keys().copied().filter(on).collect();
        for handle in handles {
            self.connect(handle, now);
        }
    }

    /// Tells virtual routers that are new what their interfaces are like, if that is known.
    pub(super) fn connect_fresh(&mut self, fresh: &[RouterHandle], now: Instant) {
        if self.looked_at_ports {
            for handle in fresh {
                self.connect(*handle, now);
            }
        }
        self.listen();
    }

    /// Tells a virtual router what its interface is like now.
    pub(super) fn connect(&mut self, handle: RouterHandle, now: Instant) {
        let router = &self.routers[&handle];
        let family = router.name.family;
        let Some(port) = self.port_named(&router.name.interface) else {
            self.obstruct(handle, &[Obstacle::NoInterface], now);
            self.plug(handle, None);
            return;
        };
        let index = port.index;
        let primary_address = port.primary_address(family, &self.addresses);
        let mut obstacles = port.obstacles(primary_address);
        for (_, device) in router.places() {
            match self.port_named(device) {
                None => obstacles.push(Obstacle::NoDevice),
                Some(device) => obstacles.extend(device.refuses_program.then_some(Obstacle::ProgramRefused)),
            }
        }
        obstacles.sort_unstable();
        obstacles.dedup();
        if obstacles.contains(&Obstacle::NoDevice) {
            self.tell_of_missing_devices(handle);
        }
        let router = &self.routers[&handle];
        if self.deaf.contains(&(index, family)) {
            obstacles.push(Obstacle::NoSocket);
        }
        // Another interface of the same name: what was held on the first one went with it.
        if router.port.is_some_and(|(before, _)| before != index) {
            self.obstruct(handle, &[Obstacle::NoInterface], now);
        }
        self.plug(handle, Some((index, primary_address)));
        // To hear comes before to be heard.
        if !self.deaf.contains(&(index, family)) && self.listening.insert((index, family)) {
            self.commands.push_back(Command::Listen {
                interface: index,
                name: self.ports[&index].name.clone(),
                family,
            });
        }
        if let Some(primary_address) = primary_address {
            self.input(handle, |machine| machine.addressed(primary_address, now));
        }
        self.obstruct(handle, &obstacles, now);
    }

    /// Where a virtual router hears and speaks from now on.
    fn plug(&mut self, handle: RouterHandle, port: Option<(u32, Option<IpAddr>)>) {
        let Some(router) = self.routers.get_mut(&handle) else {
            return;
        };
        let hears = |index| (index, router.name.virtual_router_id, router.name.family);
        if let Some((before, _)) = router.port {
            self.hearers.remove(&hears(before));
        }
        if let Some((index, _)) = port {
            self.hearers.insert(hears(index), handle);
        }
        router.port = port;
    }

    /// Stops listening where no virtual router is.
    pub(super) fn listen(&mut self) {
        let used: BTreeSet<(u32, AddressFamily)> = self
            .routers
            .values()
            .filter_map(|router| Some((router.port?.0, router.name.family)))
            .collect();
        for (interface, family) in self.listening.difference(&used).copied().collect::<Vec<_>>() {
            self.listening.remove(&(interface, family));
            self.commands
                .push_back(Command::StopListening { interface, family });
        }
    }

    /// Puts back the virtual addresses that a master should have and its interfaces do not show.
    fn hold_addresses(&mut self, handle: RouterHandle) {
        let Some(router) = self.routers.get(&handle) else {
            return;
        };
        if router.machine.state() != State::Master {
            return;
        }
        let missing: Vec<Command> = router
            .places()
            .filter_map(|(address, device)| {
                let port = self.port_named(device)?;
                let mut present = port.addresses.iter().map(|present| present.address);
                (!present.any(|present| present == address.address.addr())).then(|| Command::AddAddress {
                    interface: port.index,
                    address: address.clone(),
                    again: true,
                })
            })
            .collect();
        self.commands.extend(missing);
    }

    pub(super) fn port_named(&self, name: &str) -> Option<&Port> {
        self.ports.values().find(|port| port.name == name)
    }
}
