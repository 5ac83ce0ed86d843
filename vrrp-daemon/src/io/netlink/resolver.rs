//! How each real server is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink_packet_route::route::RouteType;
use tracing::warn;

use super::{Error, Event, Link, Neighbour, Netlink, errno};

/// How a real server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The index of the interface that leads to it.
    pub interface: u32,
    /// The link-layer address of that interface.
    pub source_mac: [u8; 6],
    /// The link-layer address of the next hop, once it has answered and as long as it does.
    pub destination_mac: Option<[u8; 6]>,
    /// The next hop, if that is not the real server itself.
    pub gateway: Option<IpAddr>,
    /// The address of this machine that packets to it come from.
    pub source: Option<IpAddr>,
    /// The longest IP packet that the way there takes, as far as this machine knows.
    pub mtu: u32,
}

/// Why a real server cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The routing table leads nowhere.
    #[error("there is no route to {address}")]
    NoRoute {
        /// The real server.
        address: IpAddr,
    },
    /// The address is a broadcast address or the like.
    #[error("{address} is not the address of a machine")]
    NotUnicast {
        /// The real server.
        address: IpAddr,
    },
    /// The interface has no link-layer addresses of Ethernet.
    #[error("{address} is reached through {interface}, which is not an Ethernet interface")]
    NotEthernet {
        /// The real server.
        address: IpAddr,
        /// The name of the interface.
        interface: String,
    },
    /// The kernel refused the route look-up or the neighbour entry.
    #[error("cannot resolve {address}: {cause}")]
    Refused {
        /// The real server.
        address: IpAddr,
        /// The kernel's answer.
        cause: String,
    },
}

/// What an event means for the resolutions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nothing.
    Unchanged,
    /// What [`Resolver::resolutions`] says of these addresses has changed.
    Changed(Vec<IpAddr>),
    /// [`Resolver::resolve`] must look again.
    Stale,
}

/// Knows how each of a set of addresses is reached, and has the kernel keep their neighbour entries resolved.
///
/// The kernel's tables are the state: entries that a crashed daemon asked for are found and used or released.
/// Subscribe to all topics of [`super::Events`] before the first [`Resolver::resolve`], give every event to
/// [`Resolver::observe`], and resolve again when that says so and every now and then: changed static routes are not
/// observed.
#[derive(Debug)]
pub struct Resolver {
    netlink: Netlink,
    links: BTreeMap<u32, Link>,
    resolutions: BTreeMap<IpAddr, Result<Resolution, Unreachable>>,
    own: BTreeSet<IpAddr>,
    /// Those of the addresses that are behind a gateway, by that.
    behind: BTreeMap<IpAddr, Vec<IpAddr>>,
}

/// What the routing table says of an address.
enum Found {
    /// It is this machine's own.
    Own,
    /// It is another machine's.
    Other(Result<Resolution, Unreachable>),
}

impl Resolver {
    /// A resolver of no addresses.
    #[must_use]
    pub const fn new(netlink: Netlink) -> Self {
        Self {
            netlink,
            links: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            own: BTreeSet::new(),
            behind: BTreeMap::new(),
        }
    }

    /// How each address given to the last [`Resolver::resolve`] is reached, but for this machine's [own](Self::own).
    #[must_use]
    pub const fn resolutions(&self) -> &BTreeMap<IpAddr, Result<Resolution, Unreachable>> {
        &self.resolutions
    }

    /// Those of the addresses given to the last [`Resolver::resolve`] that are this machine's own.
    #[must_use]
    pub const fn own(&self) -> &BTreeSet<IpAddr> {
        &self.own
    }

    /// Finds out how `addresses` are reached, from now on keeps their neighbour entries resolved, and releases those
    /// of all other addresses: none at all leaves nothing behind.
    ///
    /// # Errors
    /// A dump of a whole table failed, or the socket is closed; [`Resolver::resolutions`] stays what it was.
    pub async fn resolve(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), Error> {
        let links = self.netlink.links().await?;
        let links: BTreeMap<u32, Link> = links.into_iter().map(|link| (link.index, link)).collect();
        let mut known = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for entry in self.netlink.neighbours().await? {
            let neighbour = entry.neighbour;
            known.insert((neighbour.interface, neighbour.address), neighbour.mac);
            if entry.kept {
                kept.insert((neighbour.interface, neighbour.address), neighbour);
            }
        }

        let mut resolutions = BTreeMap::new();
        let mut own = BTreeSet::new();
        let mut behind: BTreeMap<IpAddr, Vec<IpAddr>> = BTreeMap::new();
        let mut kept_now = BTreeSet::new();
        for &address in addresses {
            let mut resolution = match self.look_up(address, &links).await? {
                Found::Own => {
                    own.insert(address);
                    continue;
                }
                Found::Other(resolution) => resolution,
            };
            if let Ok(found) = &mut resolution {
                let next_hop = found.gateway.unwrap_or(address);
                let key = (found.interface, next_hop);
                found.destination_mac = known.get(&key).copied().flatten();
                if let Some(gateway) = found.gateway {
                    behind.entry(gateway).or_default().push(address);
                }
                if kept_now.insert(key)
                    && kept.remove(&key).is_none()
                    && let Err(error) = self.netlink.keep_neighbour(found.interface, next_hop).await
                {
                    resolution = Err(Unreachable::Refused {
                        address,
                        cause: kernel_text(error)?,
                    });
                }
            }
            resolutions.insert(address, resolution);
        }
        for neighbour in kept.values() {
            // What fails is still there, and is tried again, at the next call.
            if let Err(error) = self.netlink.release_neighbour(neighbour).await {
                warn!("{error}");
            }
        }
        self.links = links;
        self.resolutions = resolutions;
        self.own = own;
        self.behind = behind;
        Ok(())
    }

    /// Has the kernel ask each of `addresses` now whether it is still there, instead of when its patience with what it
    /// knows ends. What comes of that are events.
    ///
    /// # Errors
    /// The kernel refused one of them; the others are asked all the same.
    pub async fn confirm(&self, addresses: &BTreeSet<IpAddr>) -> Result<(), Error> {
        let mut outcome = Ok(());
        for &address in addresses {
            let Some(Ok(resolution)) = self.resolutions.get(&address) else {
                continue;
            };
            let is_known = resolution.destination_mac.is_some();
            let next_hop = resolution.gateway.unwrap_or(address);
            let asked = self
                .netlink
                .confirm_neighbour(resolution.interface, next_hop, is_known);
            if let Err(error) = asked.await {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Takes in what the kernel told.
    pub fn observe(&mut self, event: &Event) -> Observed {
        match event {
            Event::Overrun => Observed::Stale,
            Event::Link(link) if self.links.get(&link.index) == Some(link) => Observed::Unchanged,
            Event::Link(Link { index, .. }) | Event::LinkRemoved { index } => {
                self.stale_if(|_, resolution| {
                    resolution
                        .as_ref()
                        .map_or(true, |resolution| resolution.interface == *index)
                })
            }
            // The network of an address on an interface is a route. A virtual address that comes to a network which
            // is reached that way already changes nothing.
            Event::Address {
                interface,
                address: network,
                present,
            } if self.own.contains(&network.addr()) != *present && self.knows(network.addr()) => {
                Observed::Stale
            }
            Event::Address {
                interface,
                address: network,
                present,
            } => self.stale_if(|address, resolution| {
                let reached = resolution
                    .as_ref()
                    .is_ok_and(|resolution| resolution.interface == *interface);
                network.addr() == *address || (network.contains(address) && reached != *present)
            }),
            Event::Neighbour(neighbour) => self.learn(neighbour),
            Event::NeighbourRemoved { interface, address } => {
                self.learn(&Neighbour {
                    interface: *interface,
                    address: *address,
                    mac: None,
                });
                self.stale_if(|other, resolution| {
                    resolution.as_ref().is_ok_and(|resolution| {
                        resolution.interface == *interface && resolution.gateway.unwrap_or(*other) == *address
                    })
                })
            }
        }
    }

    /// Whether `address` is one of those that were resolved.
    fn knows(&self, address: IpAddr) -> bool {
        self.own.contains(&address) || self.resolutions.contains_key(&address)
    }

    fn stale_if(&self, concerned: impl Fn(&IpAddr, &Result<Resolution, Unreachable>) -> bool) -> Observed {
        if self
            .resolutions
            .iter()
            .any(|(address, resolution)| concerned(address, resolution))
        {
            Observed::Stale
        } else {
            Observed::Unchanged
        }
    }

    fn learn(&mut self, neighbour: &Neighbour) -> Observed {
        let behind = self.behind.get(&neighbour.address).into_iter().flatten();
        let concerned: Vec<IpAddr> = behind.copied().chain([neighbour.address]).collect();
        let changed: Vec<IpAddr> = concerned
            .into_iter()
            .filter(|address| match self.resolutions.get_mut(address) {
                Some(Ok(resolution))
                    if resolution.interface == neighbour.interface
                        && resolution.gateway.unwrap_or(*address) == neighbour.address
                        && resolution.destination_mac != neighbour.mac =>
                {
                    resolution.destination_mac = neighbour.mac;
                    true
                }
                Some(_) | None => false,
            })
            .collect();
        if changed.is_empty() {
            Observed::Unchanged
        } else {
            Observed::Changed(changed)
        }
    }

    /// How `address` is reached, but for its own link-layer address.
    async fn look_up(&self, address: IpAddr, links: &BTreeMap<u32, Link>) -> Result<Found, Error> {
        let none = || Ok(Found::Other(Err(Unreachable::NoRoute { address })));
        let route = match self.netlink.route(address).await {
            Ok(Some(route)) => route,
            Ok(None) => return none(),
            Err(error) if matches!(errno(&error), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
                return none();
            }
            Err(error) => {
                let cause = kernel_text(error)?;
                return Ok(Found::Other(Err(Unreachable::Refused { address, cause })));
            }
        };
        if route.kind == RouteType::Local {
            return Ok(Found::Own);
        }
        if route.kind != RouteType::Unicast {
            return Ok(Found::Other(Err(Unreachable::NotUnicast { address })));
        }
        let Some(link) = links.get(&route.interface) else {
            // The interface came or went between the dump and the look-up; the event of that brings us back here.
            return none();
        };
        Ok(Found::Other(match link.mac {
            Some(source_mac) => Ok(Resolution {
                interface: link.index,
                source_mac,
                destination_mac: None,
                gateway: route.gateway,
                source: route.source,
                mtu: route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
            }),
            None => Err(Unreachable::NotEthernet {
                address,
                interface: link.name.clone(),
            }),
        }))
    }
}

/// The kernel's answer in words.
///
/// # Errors
/// There was no answer, because the socket is closed.
fn kernel_text(error: rtnetlink::Error) -> Result<String, Error> {
    match Error::of("", error) {
        Error::Refused { cause, .. } => Ok(cause.to_string()),
        closed @ (Error::Closed | Error::Open(_)) => Err(closed),
    }
}
