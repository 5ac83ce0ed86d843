//! What the kernel tells unasked.

use std::net::IpAddr;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{AsyncSocket as _, SocketAddr};
use socket2::SockRef;
use tokio::task;

use super::Error;
use super::addresses::local_address;
use super::links::Link;
use super::neighbours::{Entry, Neighbour};

/// What to be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Interfaces.
    Links,
    /// Addresses of interfaces.
    Addresses,
    /// The ARP and neighbour discovery tables.
    Neighbours,
}

/// A change that the kernel told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interface is new, or something about it changed, though perhaps nothing that [`Link`] shows.
    Link(Link),
    /// An interface is gone.
    LinkRemoved {
        /// Its index.
        index: u32,
    },
    /// An address was added to an interface, changed or removed.
    Address {
        /// The index of the interface.
        interface: u32,
        /// The address with its prefix length.
        address: IpNet,
        /// Whether it is there now.
        present: bool,
    },
    /// A neighbour entry is new or changed.
    Neighbour(Neighbour),
    /// A neighbour entry is gone.
    NeighbourRemoved {
        /// The index of the interface.
        interface: u32,
        /// The neighbour's address.
        address: IpAddr,
    },
    /// Notices came faster than they were read, and some are lost: ask for the whole state again. What is told from
    /// here on is newer.
    Overrun,
}

/// The notices of some topics, from the moment of the subscription on.
pub struct Events {
    messages: Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Send + Unpin>,
}

/// How many bytes of notices the kernel may keep for us: it grants what `net.core.rmem_max` allows.
const BUFFER: usize = 1 << 20;

impl Events {
    /// Subscribes to `topics` in the calling thread's network namespace; a task of the current runtime listens.
    ///
    /// Subscribe before asking for the state: then no change falls between the two.
    ///
    /// # Errors
    /// [`Error::Open`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn subscribe(topics: &[Topic]) -> Result<Self, Error> {
        let mut groups = Vec::new();
        for topic in topics {
            groups.extend_from_slice(match topic {
                Topic::Links => &[MulticastGroup::Link],
                Topic::Addresses => &[MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr],
                Topic::Neighbours => &[MulticastGroup::Neigh] as &[MulticastGroup],
            });
        }
        let (mut connection, _, messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(Error::Open)?;
        SockRef::from(connection.socket_mut().socket_ref())
            .set_recv_buffer_size(BUFFER)
            .map_err(Error::Open)?;
        // Unconstrained: once the buffer has overflowed the kernel drops every notice, and does not say so again, until
        // the buffer has been read to its end (net/netlink/af_netlink.c, netlink_overrun and netlink_rcv_wake). So it
        // is, before anyone acts upon the overrun. Reading is much faster than what there is to tell.
        tokio::spawn(task::unconstrained(connection));
        Ok(Self {
            messages: Box::new(messages),
        })
    }

    /// Waits for the next change. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// [`Error::Closed`], from then on always.
    pub async fn next(&mut self) -> Result<Event, Error> {
        while let Some((message, _)) = self.messages.next().await {
            if let Some(event) = event(message) {
                if event == Event::Overrun {
                    self.forget();
                }
                return Ok(event);
            }
        }
        Err(Error::Closed)
    }

    /// Drops what was told before now: it is older than what a caller who heard of an overrun is about to find out,
    /// and nothing newer may ever correct it.
    fn forget(&mut self) {
        while let Some(Some(_)) = self.messages.next().now_or_never() {}
    }
}

/// What `message` tells, if it is of concern.
fn event(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Event> {
    use RouteNetlinkMessage as Message;

    if matches!(message.payload, NetlinkPayload::Overrun(_)) {
        return Some(Event::Overrun);
    }
    let NetlinkPayload::InnerMessage(message) = message.payload else {
        return None;
    };
    if let Message::NewLink(message) = &message {
        Link::from_message(message).map(Event::Link)
    } else if let Message::DelLink(message) = &message {
        Link::from_message(message).map(|link| Event::LinkRemoved { index: link.index })
    } else if let Message::NewAddress(message) = &message {
        address_event(message, true)
    } else if let Message::DelAddress(message) = &message {
        address_event(message, false)
    } else if let Message::NewNeighbour(message) = &message {
        Entry::from_message(message).map(|entry| Event::Neighbour(entry.neighbour))
    } else if let Message::DelNeighbour(message) = &message {
        Entry::from_message(message).map(|entry| Event::NeighbourRemoved {
            interface: entry.neighbour.interface,
            address: entry.neighbour.address,
        })
    } else {
        None
    }
}

fn address_event(message: &AddressMessage, present: bool) -> Option<Event> {
    Some(Event::Address {
        interface: message.header.index,
        address: IpNet::new(local_address(message)?, message.header.prefix_len).ok()?,
        present,
    })
}
