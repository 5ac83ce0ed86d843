//! How real servers are reached: what the kernel says, and what the program makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Neighbour, Neighbours};
use crate::interfaces::Tag;
use crate::model::Forwarding;

/// In this time, a neighbour answers, or the kernel gives up on it: it asks three times, a second apart.
pub(super) const NEIGHBOUR_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// How a real server is reached, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The index of the interface that leads to it.
    pub interface: u32,
    /// The link-layer address of that interface.
    pub source_mac: [u8; 6],
    /// The link-layer address of the next hop, once it has answered and as long as it does.
    pub destination_mac: Option<[u8; 6]>,
    /// The next hop, if that is not the real server itself.
    pub gateway: Option<IpAddr>,
    /// The address of this node that packets to it come from.
    pub source: Option<IpAddr>,
    /// The longest IP packet that the way there takes, as far as this node knows.
    pub mtu: u32,
}

/// What the kernel says of the addresses of real servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// How those of other machines are reached.
    pub routes: BTreeMap<IpAddr, Route>,
    /// Those that are this node's own.
    pub own: BTreeSet<IpAddr>,
    /// Those that cannot be reached, and why.
    pub unreachable: BTreeMap<IpAddr, String>,
}

impl Ways {
    /// Makes those unreachable that are behind a gateway and among `linked`, to which direct routing is to lead.
    pub(super) fn refuse_gateways(&mut self, linked: &BTreeSet<IpAddr>) {
        for (address, route) in &self.routes {
            if let Some(gateway) = route.gateway
                && linked.contains(address)
            {
                let reason = format!(
                    "{address} is behind the gateway {gateway}; direct routing needs it on a network of this \
                     director, or lb_kind = \"tun\""
                );
                self.unreachable.insert(*address, reason);
            }
        }
    }
}

/// How packets leave by the interfaces that lead to real servers, where it is not simply by those. Interfaces are named
/// by their index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exits {
    /// Those that packets cannot leave by: why.
    pub blocked: BTreeMap<u32, String>,
    /// VLAN devices that the program does the work of: the interface below, and the tags, outermost first, that packets
    /// have there.
    pub trunks: BTreeMap<u32, (u32, Vec<Tag>)>,
}

/// All that is known of how real servers are reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    ways: Ways,
    exits: Exits,
    neighbours: Neighbours,
    /// Those that nobody had asked for before, and that may not have had the time to answer.
    sought: BTreeSet<IpAddr>,
    /// Until when they have it.
    sought_until: Option<Instant>,
}

impl Routes {
    /// The neighbours that packets can be sent to.
    pub(super) const fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// How each real server is reached, on whose network this node is.
    pub(super) const fn routes(&self) -> &BTreeMap<IpAddr, Route> {
        &self.ways.routes
    }

    /// The real servers that are this node itself.
    pub(super) const fn own(&self) -> &BTreeSet<IpAddr> {
        &self.ways.own
    }

    /// The real servers that are reached by the interface with the index `index`.
    pub(super) fn reached_by(&self, index: u32) -> BTreeSet<IpAddr> {
        let routes = self.ways.routes.iter();
        let reached = routes.filter(|(_, route)| route.interface == index);
        reached.map(|(address, _)| *address).collect()
    }

    /// Whether there is nothing more to be found out of `address`: packets can be sent there, or it cannot be reached.
    pub(super) fn is_settled(&self, address: IpAddr) -> bool {
        self.neighbours.contains_key(&address)
            || self.ways.own.contains(&address)
            || self.ways.unreachable.contains_key(&address)
    }

    /// The indices of the interfaces that lead to real servers.
    pub(super) fn egress(&self) -> BTreeSet<u32> {
        self.ways.routes.values().map(|route| route.interface).collect()
    }

    /// Whether `address` may answer in a moment: that it has not says nothing yet.
    pub(super) fn is_sought(&self, address: IpAddr) -> bool {
        self.sought.contains(&address)
    }

    /// When [`Self::give_up`] is due.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.sought_until
    }

    /// Who has not answered by now does not, so far as anybody knows. Returns whether there is such a one.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        let is_over = self.sought_until.is_some_and(|until| until <= now);
        if is_over {
            self.sought.clear();
            self.sought_until = None;
        }
        is_over
    }

    /// Everything was looked at again.
    pub(super) fn replace(&mut self, ways: Ways, now: Instant) {
        let known = &self.ways.routes;
        let fresh = ways
            .routes
            .iter()
            .filter(|(address, route)| route.destination_mac.is_none() && !known.contains_key(address));
        let before = self.sought.len();
        self.sought.extend(fresh.map(|(address, _)| *address));
        if self.sought.len() > before {
            self.sought_until = Some(now + NEIGHBOUR_ANSWERS_WITHIN);
        }
        self.ways = ways;
        self.work_out();
    }

    /// One has changed. Returns whether packets are sent another way.
    pub(super) fn update(&mut self, address: IpAddr, route: Route) -> bool {
        self.ways.routes.insert(address, route);
        let neighbour = self.neighbour(&route);
        if route.destination_mac.is_some() && self.sought.remove(&address) && self.sought.is_empty() {
            self.sought_until = None;
        }
        let before = match neighbour {
            Some(neighbour) => self.neighbours.insert(address, neighbour),
            None => self.neighbours.remove(&address),
        };
        before != neighbour
    }

    /// Packets leave like this. Returns whether that is news.
    pub(super) fn leave_by(&mut self, exits: &Exits) -> bool {
        let news = self.exits != *exits;
        if news {
            self.exits.clone_from(exits);
            self.work_out();
        }
        news
    }

    fn work_out(&mut self) {
        let routes = self.ways.routes.iter();
        self.neighbours = routes
            .filter_map(|(address, route)| Some((*address, self.neighbour(route)?)))
            .collect();
        // Where packets cannot leave, an answer would help nobody.
        self.sought.retain(|address| {
            self.ways.routes.get(address).is_some_and(|route| {
                route.destination_mac.is_none() && !self.exits.blocked.contains_key(&route.interface)
            })
        });
        self.sought_until = self.sought_until.filter(|_| !self.sought.is_empty());
    }

    /// The neighbour that a route leads to, if packets can be sent there.
    fn neighbour(&self, route: &Route) -> Option<Neighbour> {
        if self.exits.blocked.contains_key(&route.interface) {
            return None;
        }
        let trunk = self.exits.trunks.get(&route.interface);
        Some(Neighbour {
            interface: trunk.map_or(route.interface, |(trunk, _)| *trunk),
            source_mac: route.source_mac,
            destination_mac: route.destination_mac?,
            is_gateway: route.gateway.is_some(),
            source: route.source,
            mtu: u16::try_from(route.mtu).unwrap_or(u16::MAX),
        })
    }

    /// Why nothing can be sent to `address` in this way, if that is so, and will not be otherwise in a moment.
    pub(super) fn obstacle(&self, address: IpAddr, forwarding: Forwarding) -> Option<String> {
        let neighbour = self.neighbours.get(&address);
        let is_reached = neighbour.is_some_and(|neighbour| neighbour.serves(forwarding))
            || self.ways.own.contains(&address);
        if is_reached || self.is_sought(address) {
            return None;
        }
        if let Some(reason) = self.ways.unreachable.get(&address) {
            return Some(reason.clone());
        }
        let blocked = self
            .ways
            .routes
            .get(&address)
            .and_then(|route| self.exits.blocked.get(&route.interface));
        Some(blocked.map_or_else(
            || "nobody answers for its link-layer address".to_owned(),
            Clone::clone,
        ))
    }

    /// The addresses that cannot be reached, and why.
    pub(super) const fn unreachable(&self) -> &BTreeMap<IpAddr, String> {
        &self.ways.unreachable
    }
}
