//! A machine of the lab, its interfaces, and what can happen to them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::namespace::{Namespace, run};
use crate::topology::Machine;
use crate::{port, wait};

/// A machine of the lab: a namespace with one interface, `eth0`, or more, plugged into switches.
#[derive(Debug)]
pub struct Node {
    /// What it is called: `director1`, `rs2`, `client`.
    pub name: String,
    /// Its IPv4 address on the network of its `eth0`, of 10.0.0.0/24 as a rule.
    pub address: Ipv4Addr,
    /// Its IPv6 address there, of fd00:6c62::/64 as a rule.
    pub address6: Ipv6Addr,
    /// The MAC address of its `eth0`.
    pub mac: [u8; 6],
    /// What it is plugged in by, `eth0` first.
    pub interfaces: Vec<Interface>,
    /// Where it lives.
    pub namespace: Namespace,
    /// Where the parents of its macvlans live, if it has any: the container's host.
    host: Option<Namespace>,
}

/// An interface of a machine, as it was laid out.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name on its machine: `eth0`.
    pub name: String,
    /// The switch that it is plugged into.
    pub switch: String,
    /// The name of the switch's port.
    pub port: String,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its addresses, with their prefix lengths.
    pub addresses: Vec<String>,
    pub(crate) kind: Kind,
    pub(crate) faces_director: bool,
}

/// What an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One end of a veth pair.
    Veth,
    /// A macvlan in bridge mode of one end of a veth pair.
    Macvlan,
}

impl AsRef<Self> for Node {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Node {
    /// Creates the machine and plugs its interfaces into the bridges of `switch`.
    pub(crate) fn create(lab: &str, machine: Machine, switch: &Namespace) -> Result<Self> {
        let namespace = Namespace::create(&format!("{lab}-{}", machine.name))?;
        let is_container = machine
            .interfaces
            .iter()
            .any(|interface| interface.kind == Kind::Macvlan);
        let host = match is_container {
            true => Some(Namespace::create(&format!("{lab}-{}.host", machine.name))?),
            false => None,
        };
        let node = Self {
            name: machine.name,
            address: machine.address,
            address6: machine.address6,
            mac: machine.interfaces[0].mac,
            interfaces: machine.interfaces,
            namespace,
            host,
        };
        for interface in &node.interfaces {
            node.plug(interface, switch)?;
        }
        Ok(node)
    }

    /// Its MAC address in the usual notation.
    #[must_use]
    pub fn mac_text(&self) -> String {
        mac_text(self.mac)
    }

    /// Its interface `name`.
    ///
    /// # Panics
    /// It was not laid out with one.
    #[must_use]
    pub fn interface(&self, name: &str) -> &Interface {
        let interface = self.interfaces.iter().find(|interface| interface.name == name);
        interface.unwrap_or_else(|| panic!("{} was not laid out with an interface {name}", self.name))
    }

    /// Creates `interface`, which isn't there, and plugs it into its bridge of `switch`.
    pub(crate) fn plug(&self, interface: &Interface, switch: &Namespace) -> Result<()> {
        let Interface { name, port, .. } = interface;
        let mac = mac_text(interface.mac);
        let (end, namespace) = match (interface.kind, &self.host) {
            (Kind::Macvlan, Some(host)) => (format!("up-{name}"), host),
            _ => (name.clone(), &self.namespace),
        };
        // The parent of a macvlan has an address of its own, as the host's NIC has.
        let mut end_mac = interface.mac;
        end_mac[3] = u8::from(interface.kind == Kind::Macvlan);
        switch.ip(&format!(
            "link add {port} type veth peer name {end} address {} netns {}\n\
             link set {port} master {} up\n",
            mac_text(end_mac),
            namespace.name(),
            interface.switch,
        ))?;
        if interface.kind == Kind::Macvlan {
            namespace.ip(&format!(
                "link set {end} up\n\
                 link add link {end} name {name} address {mac} netns {} type macvlan mode bridge\n",
                self.namespace.name()
            ))?;
        }
        self.namespace.ip(&format!("link set {name} up\n"))?;
        for address in &interface.addresses {
            let flags = if address.contains(':') { " nodad" } else { "" };
            self.namespace
                .ip(&format!("address add {address} dev {name}{flags}\n"))?;
        }
        if interface.faces_director {
            port::face_director(switch, port)?;
        }
        Ok(())
    }

    /// Waits until all its interfaces can send and receive: frames sent before that are lost.
    pub(crate) fn await_carriers(&self) -> Result<()> {
        self.interfaces
            .iter()
            .try_for_each(|interface| self.await_carrier(&interface.name))
    }

    /// Waits until its interface `name` can send and receive.
    ///
    /// # Errors
    /// It can't within ten seconds.
    pub fn await_carrier(&self, name: &str) -> Result<()> {
        wait::until(
            &format!("{name} of {} comes up", self.name),
            Duration::from_secs(10),
            || self.link(name).ok()?.contains("state UP").then_some(()),
        )
    }

    /// What ip(8) says of its interface `name`, in one line.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn link(&self, name: &str) -> Result<String> {
        let namespace = self.namespace.name();
        run(Command::new("ip").args([
            "-n", namespace, "-details", "-oneline", "link", "show", "dev", name,
        ]))
    }

    /// Has its kernel keep what a neighbour has confirmed, and ask no more until it is told otherwise.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn trust_neighbours(&self) -> Result<()> {
        self.namespace
            .sysctl("net.ipv4.neigh.eth0.base_reachable_time_ms", "86400000")
    }

    /// Waits until its kernel sends what is for `address` to `other`.
    ///
    /// # Errors
    /// It doesn't within 15 seconds: with what it knows of the address.
    pub fn learns(&self, address: Ipv4Addr, other: &Self) -> Result<()> {
        self.knows(address, &other.mac_text())
    }

    /// Waits until its kernel has asked `other`, and been told that `address` is there: what it has only heard, it asks
    /// about after some seconds.
    ///
    /// # Errors
    /// As [`Node::learns`].
    pub fn confirms(&self, address: Ipv4Addr, other: &Self) -> Result<()> {
        self.knows(address, &format!("{} REACHABLE", other.mac_text()))
    }

    fn knows(&self, address: Ipv4Addr, expected: &str) -> Result<()> {
        let known = || {
            let address = address.to_string();
            run(Command::new("ip").args(["-n", self.namespace.name(), "neighbour", "show", &address]))
        };
        wait::until(
            &format!("{} has {address} at {expected}", self.name),
            Duration::from_secs(15),
            || known().ok()?.contains(expected).then_some(()),
        )
        .with_context(|| known().unwrap_or_default())
    }

    /// Gives its interface `from` the name `to`, live.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.namespace.ip(&format!("link set dev {from} name {to}\n"))
    }

    /// Deletes its interface `name`, and with it the switch's port.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn delete(&self, name: &str) -> Result<()> {
        let interface = self.interface(name);
        if let (Kind::Macvlan, Some(host)) = (interface.kind, &self.host) {
            return host.ip(&format!("link delete dev up-{name}\n"));
        }
        self.namespace.ip(&format!("link delete dev {name}\n"))
    }

    /// Puts a VLAN device on its interface `parent`, up and with these addresses; returns its name, e.g. `eth0.10`.
    /// `protocol` is `802.1Q` or, for the outer tag of two, `802.1ad`.
    ///
    /// # Errors
    /// ip(8) fails: this kernel may be built without VLANs (see [`Node::can_have_vlans`]).
    pub fn add_vlan(&self, parent: &str, protocol: &str, vlan: u16, addresses: &[&str]) -> Result<String> {
        let name = format!("{parent}.{vlan}");
        let addresses: String = addresses
            .iter()
            .map(|address| format!("address add {address} dev {name}\n"))
            .collect();
        self.namespace
            .ip(&format!(
                "link add link {parent} name {name} type vlan protocol {protocol} id {vlan}\n\
                 link set {name} up\n{addresses}"
            ))
            .with_context(|| format!("cannot add the VLAN device {name} on {}", self.name))?;
        Ok(name)
    }

    /// Whether this kernel has VLAN devices.
    #[must_use]
    pub fn can_have_vlans(&self) -> bool {
        let tried = self
            .namespace
            .ip("link add link eth0 name probe4094 type vlan id 4094\n");
        tried.is_ok() && self.namespace.ip("link delete dev probe4094\n").is_ok()
    }
}

/// A MAC address in the usual notation.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
