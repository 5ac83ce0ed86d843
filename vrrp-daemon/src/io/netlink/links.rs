//! Network interfaces.

use futures_util::TryStreamExt as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};

use super::{Error, Netlink};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's index of it, unique among the interfaces of a network namespace.
    pub index: u32,
    /// The name.
    pub name: String,
    /// The link-layer address, if the interface is an Ethernet interface.
    pub mac: Option<[u8; 6]>,
    /// Whether packets can pass: it is set up, its carrier is there and its operational state (RFC 2863) is "up", or
    /// "unknown" with drivers that have no notion of one.
    pub up: bool,
}

impl Link {
    /// The interface that `message` is about, if it is about an interface: bridges send messages of the same type
    /// about their ports.
    pub(super) fn from_message(message: &LinkMessage) -> Option<Self> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let mut name = None;
        let mut mac = None;
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(value) = attribute {
                name = Some(value.clone());
            } else if let LinkAttribute::Address(value) = attribute
                && message.header.link_layer_type == LinkLayerType::Ether
            {
                mac = value.as_slice().try_into().ok();
            }
        }
        // IFF_RUNNING is the operational state (netif_oper_up), IFF_LOWER_UP the carrier (net/core/dev.c,
        // netif_get_flags).
        let passing = LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp;
        Some(Self {
            index: message.header.index,
            name: name?,
            mac,
            up: message.header.flags.contains(passing),
        })
    }
}

impl Netlink {
    /// All network interfaces, in the order of their index.
    ///
    /// # Errors
    /// The kernel's refusal, or a closed socket.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let failed = |error| Error::of("list the network interfaces", error);
        let mut links = Vec::new();
        let mut messages = self.handle.link().get().execute();
        while let Some(message) = messages.try_next().await.map_err(failed)? {
            links.extend(Link::from_message(&message));
        }
        links.sort_by_key(|link| link.index);
        Ok(links)
    }
}
