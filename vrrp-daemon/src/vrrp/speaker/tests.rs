//! The decisions over many virtual routers: who begins and ends, what interfaces mean to them, where the program is.

use std::time::Duration;

use lb_common::lease_state;

use super::*;
use crate::model::{LeaseSlot, VirtualAddress, VrrpInstance};
use crate::vrrp::effect::Reason;
use crate::vrrp::simulation::{instance, origin, virtual_address};
use crate::vrrp::wire::multicast_group;

mod addresses;
mod assignment;
mod datagrams;
mod interfaces;
mod program;

const SECOND: Duration = Duration::from_secs(1);

const ETH0: u32 = 2;

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// The virtual router `id` with the address 10.0.0.`host`.
fn router(id: u8, host: u8) -> VrrpInstance {
    VrrpInstance {
        name: format!("VI_{id}"),
        virtual_router_id: VirtualRouterId::new(id).unwrap(),
        virtual_addresses: vec![virtual_address(&format!("10.0.0.{host}/24"))],
        ..instance(100)
    }
}

fn slot(number: u8) -> LeaseSlot {
    LeaseSlot::new(number.into())
}

/// A task of these instances, each with the slot of its identifier.
fn task(instances: &[VrrpInstance]) -> Task {
    let members = instances.iter().map(|instance| Member {
        instance: Arc::new(instance.clone()),
        lease_slot: slot(instance.virtual_router_id.get()),
    });
    Task {
        members: members.collect(),
        program_always: false,
        awaited: BTreeSet::new(),
    }
}

/// An interface that is up and has one address.
fn port(index: u32, name: &str, address: &str) -> Port {
    Port {
        index,
        name: name.to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        up: true,
        addresses: vec![PortAddress {
            address: ip(address),
            secondary: false,
        }],
        refuses_program: false,
    }
}

/// A speaker with its clock, whose daemon can do everything that is asked for.
struct Bench {
    speaker: Speaker,
    now: Instant,
}

impl Bench {
    /// A speaker with these virtual routers, before it knows an interface.
    fn new(instances: &[VrrpInstance]) -> Self {
        let now = origin() + 100 * SECOND;
        let mut bench = Self {
            speaker: Speaker::new(now),
            now,
        };
        bench.assign(instances);
        bench
    }

    /// A speaker whose virtual routers wait on `eth0`.
    fn backup(instances: &[VrrpInstance]) -> Self {
        let mut bench = Self::new(instances);
        bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
        bench
    }

    /// A speaker that is master of all its virtual routers.
    fn master(instances: &[VrrpInstance]) -> Self {
        let mut bench = Self::backup(instances);
        bench.after(4 * SECOND);
        for instance in instances {
            assert_eq!(bench.state(instance), Some(State::Master));
        }
        bench
    }

    fn assign(&mut self, instances: &[VrrpInstance]) -> Vec<Command> {
        self.speaker
            .assign(task(instances), |_| Lease::default(), self.now, 0);
        self.commands()
    }

    fn ports(&mut self, ports: impl IntoIterator<Item = Port>) -> Vec<Command> {
        self.speaker.replace_ports(ports.into_iter().collect(), self.now);
        self.commands()
    }

    /// What the speaker asks for, while everything that it sends leaves.
    fn commands(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(command) = self.speaker.next_effect() {
            if let Command::Send { router, .. } = &command {
                self.speaker.sent(*router, self.now);
            }
            commands.push(command);
        }
        commands
    }

    /// Time passes until `duration` later, and the loop is on time.
    fn after(&mut self, duration: Duration) -> Vec<Command> {
        let end = self.now + duration;
        let mut commands = Vec::new();
        while let Some(deadline) = self.speaker.deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline.max(self.now);
            self.speaker.timeout(self.now);
            commands.extend(self.commands());
        }
        self.now = end;
        commands
    }

    /// An advertisement of `instance` with `priority` comes from 10.0.0.9.
    fn hear(&mut self, instance: &VrrpInstance, priority: u8) -> Vec<Command> {
        let mut peer = VirtualRouter::new(VrrpInstance {
            priority: crate::model::Priority::new(priority),
            ..instance.clone()
        })
        .own_advertisement();
        peer.password = instance.password;
        let source = ip("10.0.0.9");
        self.hear_this(source, &peer.emit(source))
    }

    fn hear_this(&mut self, source: IpAddr, payload: &[u8]) -> Vec<Command> {
        let datagram = Datagram {
            source,
            destination: multicast_group(AddressFamily::of(source)),
            hop_limit: 255,
            payload,
        };
        self.speaker.received(ETH0, &datagram, self.now);
        self.commands()
    }

    fn known(&self, instance: &VrrpInstance) -> Option<RouterState> {
        self.speaker.state(&instance.router_name())
    }

    fn state(&self, instance: &VrrpInstance) -> Option<State> {
        Some(self.known(instance)?.state)
    }

    fn obstacles(&self, instance: &VrrpInstance) -> Vec<Obstacle> {
        let known = self.known(instance).expect("it is one of ours");
        known.obstacles.into_iter().collect()
    }
}

/// The transitions that people are told of.
fn transitions(commands: &[Command]) -> Vec<(State, State, Reason)> {
    let transition = |command: &Command| match command {
        Command::Tell {
            news: News::Transition { from, to, reason },
            ..
        } => Some((*from, *to, *reason)),
        _ => None,
    };
    commands.iter().filter_map(transition).collect()
}

/// The addresses that are added to and removed from which interface, in order.
fn moves(commands: &[Command]) -> Vec<(char, u32, String)> {
    let change = |command: &Command| match command {
        Command::AddAddress {
            interface, address, ..
        } => Some(('+', *interface, address.address.addr().to_string())),
        Command::RemoveAddress {
            interface, address, ..
        } => Some(('-', *interface, address.address.addr().to_string())),
        _ => None,
    };
    commands.iter().filter_map(change).collect()
}

/// The interfaces that priority 0 is sent by.
fn resignations(commands: &[Command]) -> Vec<u32> {
    let resignation = |command: &Command| match command {
        // The third byte of an advertisement is its priority.
        Command::Send {
            interface, message, ..
        } => (message[2] == 0).then_some(*interface),
        _ => None,
    };
    commands.iter().filter_map(resignation).collect()
}

fn position(commands: &[Command], wanted: impl Fn(&Command) -> bool) -> usize {
    let position = commands.iter().position(wanted);
    position.unwrap_or_else(|| panic!("not among {commands:#?}"))
}
