//! What a lab is to look like: which machines, which switches, and what links one with the other.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, ensure};

use crate::Lab;
use crate::node::{Interface, Kind};
use crate::process::Lifetime;

/// The switch that every machine is plugged into unless it is said otherwise: 10.0.0.0/24 and fd00:6c62::/64.
pub const SWITCH: &str = "bridge";

/// The plan of a lab: two directors, three real servers and a client at one switch, and what is added to that.
///
/// ```no_run
/// # use lab::{Link, Topology};
/// let lab = Topology::new()
///     .directors(3)
///     .switch("back")                                          // 10.0.1.0/24
///     .link("director1", Link::to("back"))                     // its eth1, 10.0.1.1
///     .link("director1", Link::to("bridge").without_address()) // its eth2, a second one on the first network
///     .first_link("director2", Link::to("bridge").macvlan())   // its eth0 is a macvlan
///     .host("stray")
///     .build()?;
/// # anyhow::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Topology {
    switches: Vec<String>,
    directors: u8,
    real_servers: u8,
    hosts: Vec<String>,
    first_links: BTreeMap<String, Link>,
    further_links: Vec<(String, Link)>,
}

/// An interface of a machine, and the switch that it is plugged into.
#[derive(Clone, Debug)]
pub struct Link {
    switch: String,
    kind: Kind,
    addresses: Option<Vec<String>>,
}

/// A machine of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) address6: Ipv6Addr,
    pub(crate) interfaces: Vec<Interface>,
}

/// The machines by what they are for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) switches: Vec<String>,
    pub(crate) directors: Vec<Machine>,
    pub(crate) real_servers: Vec<Machine>,
    pub(crate) client: Machine,
    pub(crate) hosts: Vec<Machine>,
}

impl Link {
    /// A veth pair to `switch`, with the addresses that the machine's place on that network gives it; without any if
    /// the machine has an interface there already.
    #[must_use]
    pub fn to(switch: &str) -> Self {
        Self {
            switch: switch.to_owned(),
            kind: Kind::Veth,
            addresses: None,
        }
    }

    /// A macvlan instead, of an interface that belongs to another namespace: what a container gets. It hears only the
    /// multicast groups that it has joined.
    #[must_use]
    pub fn macvlan(mut self) -> Self {
        self.kind = Kind::Macvlan;
        self
    }

    /// With this address instead, e.g. `10.0.0.21/24`; with each of them, if it is called again.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        self.addresses.get_or_insert_default().push(address.to_owned());
        self
    }

    /// Without any address.
    #[must_use]
    pub fn without_address(mut self) -> Self {
        self.addresses = Some(Vec::new());
        self
    }
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}

impl Topology {
    /// Two directors, three real servers and a client at one switch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            switches: vec![SWITCH.to_owned()],
            directors: 2,
            real_servers: 3,
            hosts: Vec::new(),
            first_links: BTreeMap::new(),
            further_links: Vec::new(),
        }
    }

    /// So many directors: `director1` and so on, 10.0.0.1 and so on. At most 9.
    #[must_use]
    pub fn directors(mut self, count: u8) -> Self {
        self.directors = count;
        self
    }

    /// So many real servers: `rs1` and so on, 10.0.0.11 and so on. At most 40.
    #[must_use]
    pub fn real_servers(mut self, count: u8) -> Self {
        self.real_servers = count;
        self
    }

    /// Another machine, with no task of its own: the first is 10.0.0.61. Its `Node` is [`Lab::node`]'s.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.hosts.push(name.to_owned());
        self
    }

    /// Another switch, a network of its own: the first is 10.0.1.0/24 and fd00:6c62:0:101::/64, the second 10.0.2.0/24.
    #[must_use]
    pub fn switch(mut self, name: &str) -> Self {
        self.switches.push(name.to_owned());
        self
    }

    /// Another interface of the machine `node`: its `eth1`, `eth2` and so on.
    #[must_use]
    pub fn link(mut self, node: &str, link: Link) -> Self {
        self.further_links.push((node.to_owned(), link));
        self
    }

    /// What `eth0` of the machine `node` is instead.
    #[must_use]
    pub fn first_link(mut self, node: &str, link: Link) -> Self {
        self.first_links.insert(node.to_owned(), link);
        self
    }

    /// Lays it out for one test, with nginx and a responder on each real server.
    ///
    /// # Errors
    /// The plan contradicts itself, the caller isn't root, or a program is missing.
    pub fn build(self) -> Result<Lab> {
        Lab::of(self)
    }

    /// Lays it out for something else than a test; the namespaces' names begin with `name`.
    ///
    /// # Errors
    /// As [`Topology::build`].
    pub fn build_as(self, name: &str) -> Result<Lab> {
        Lab::lay_out(name, self, Lifetime::Thread)
    }

    /// The machines and their interfaces, each with its names and addresses.
    pub(crate) fn plan(mut self) -> Result<Plan> {
        ensure!(self.directors <= 9, "there are addresses for 9 directors");
        ensure!(self.real_servers <= 40, "there are addresses for 40 real servers");
        ensure!(self.hosts.len() <= 60, "there are addresses for 60 hosts");
        let directors = (1..=self.directors)
            .map(|number| self.machine(&format!("director{number}"), number))
            .collect::<Result<_>>()?;
        let real_servers = (1..=self.real_servers)
            .map(|number| self.machine(&format!("rs{number}"), 10 + number))
            .collect::<Result<_>>()?;
        let client = self.machine("client", 200)?;
        let hosts = std::mem::take(&mut self.hosts);
        let hosts = hosts
            .iter()
            .zip(61..)
            .map(|(name, number)| self.machine(name, number))
            .collect::<Result<_>>()?;
        let linked = self
            .first_links
            .keys()
            .chain(self.further_links.iter().map(|(node, _link)| node));
        let nobodys: Vec<&String> = linked.collect();
        ensure!(
            nobodys.is_empty(),
            "links of machines that are not in the plan: {nobodys:?}"
        );
        Ok(Plan {
            switches: self.switches,
            directors,
            real_servers,
            client,
            hosts,
        })
    }

    /// The machine `name`, whose addresses end in `host`: takes its links out of the plan.
    fn machine(&mut self, name: &str, host: u8) -> Result<Machine> {
        let first = self.first_links.remove(name).unwrap_or_else(|| Link::to(SWITCH));
        let (own, others) = std::mem::take(&mut self.further_links)
            .into_iter()
            .partition(|(node, _link)| node == name);
        self.further_links = others;
        let own: Vec<(String, Link)> = own;
        let mut interfaces: Vec<Interface> = Vec::new();
        for (index, link) in (0..).zip(
            [first]
                .into_iter()
                .chain(own.into_iter().map(|(_node, link)| link)),
        ) {
            let known = interfaces.iter().any(|other| other.switch == link.switch);
            let number = self
                .network(&link.switch)
                .with_context(|| format!("{name}: no switch {}", link.switch))?;
            let automatic = || match known {
                true => Vec::new(),
                false => vec![
                    format!("{}/24", address(number, host)),
                    format!("{}/64", address6(number, host)),
                ],
            };
            interfaces.push(Interface {
                name: format!("eth{index}"),
                port: match index {
                    0 => name.to_owned(),
                    index => format!("{name}.{index}"),
                },
                mac: [0x02, 0, 0, 0, index, host],
                kind: link.kind,
                addresses: link.addresses.unwrap_or_else(automatic),
                switch: link.switch,
                faces_director: name.starts_with("director"),
            });
        }
        let number = self
            .network(&interfaces[0].switch)
            .expect("it was looked up above");
        Ok(Machine {
            name: name.to_owned(),
            address: address(number, host),
            address6: address6(number, host),
            interfaces,
        })
    }

    /// The number of the network at `switch`.
    fn network(&self, switch: &str) -> Option<u8> {
        let position = self.switches.iter().position(|other| other == switch);
        position.and_then(|position| u8::try_from(position).ok())
    }
}

/// The IPv4 address that ends in `host` on network `number`.
const fn address(number: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, number, host)
}

/// The IPv6 address that ends in `host` on network `number`. fd00:6c62:0:1::/64 is that of the virtual address.
fn address6(number: u8, host: u8) -> Ipv6Addr {
    let network = match number {
        0 => 0,
        number => 0x100 + u16::from(number),
    };
    Ipv6Addr::new(0xfd00, 0x6c62, 0, network, 0, 0, 0, u16::from(host))
}

#[cfg(test)]
mod tests {
    use super::{Link, SWITCH, Topology};

    #[test]
    fn machines_have_their_places() {
        let plan = Topology::new()
            .directors(3)
            .real_servers(1)
            .switch("back")
            .link("director3", Link::to("back"))
            .link("director3", Link::to(SWITCH))
            .link("director3", Link::to(SWITCH).address("10.0.0.23/24"))
            .host("stray")
            .plan()
            .unwrap();
        let director = &plan.directors[2];
        let found: Vec<_> = director
            .interfaces
            .iter()
            .map(|interface| {
                (
                    interface.name.as_str(),
                    interface.port.as_str(),
                    interface.addresses.clone(),
                )
            })
            .collect();
        let text = |addresses: &[&str]| {
            addresses
                .iter()
                .map(|&address| address.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found,
            [
                ("eth0", "director3", text(&["10.0.0.3/24", "fd00:6c62::3/64"])),
                (
                    "eth1",
                    "director3.1",
                    text(&["10.0.1.3/24", "fd00:6c62:0:101::3/64"])
                ),
                ("eth2", "director3.2", text(&[])),
                ("eth3", "director3.3", text(&["10.0.0.23/24"])),
            ]
        );
        assert_eq!(plan.real_servers.len(), 1);
        assert_eq!(plan.hosts[0].address.to_string(), "10.0.0.61");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let unknown = Topology::new()
            .link("director7", Link::to(SWITCH))
            .plan()
            .unwrap_err();
        assert!(unknown.to_string().contains("director7"), "{unknown}");
        let nowhere = Topology::new().link("rs1", Link::to("front")).plan().unwrap_err();
        assert!(nowhere.to_string().contains("rs1: no switch front"), "{nowhere}");
    }
}
