//! Network interfaces.

use futures_util::TryStreamExt as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};

use super::{Error, Netlink};
use crate::interfaces::Tag;

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
    /// What it is made of.
    pub build: Build,
}

/// What an interface is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// The name that the kernel has for its kind: `vlan`, `veth`, `bridge`; none of hardware.
    pub kind: Option<String>,
    /// It is a device on a bus of the machine.
    pub is_hardware: bool,
    /// The index of the interface that it is made of (a VLAN device's, a macvlan's), or of its other end (a veth's).
    pub lower: Option<u32>,
    /// The tag that it adds and removes, if it is a VLAN device.
    pub tag: Option<Tag>,
    /// The index of the interface that it is a port of (a bridge's, a bond's).
    pub master: Option<u32>,
}

impl Build {
    fn from_message(message: &LinkMessage) -> Self {
        let mut build = Self::default();
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Link(index) => build.lower = Some(*index),
                LinkAttribute::Controller(index) => build.master = Some(*index),
                // Linux 5.14.
                LinkAttribute::ParentDevName(_) => build.is_hardware = true,
                LinkAttribute::LinkInfo(information) => {
                    for item in information {
                        match item {
                            LinkInfo::Kind(kind) => build.kind = Some(kind.to_string()),
                            LinkInfo::Data(InfoData::Vlan(data)) => build.tag = tag(data),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        build
    }
}

fn tag(data: &[InfoVlan]) -> Option<Tag> {
    const CUSTOMER: u16 = 0x8100;
    let mut id = None;
    let mut protocol = CUSTOMER;
    for item in data {
        match item {
            InfoVlan::Id(value) => id = Some(*value),
            InfoVlan::Protocol(value) => protocol = u16::from(*value),
            _ => {}
        }
    }
    Some(Tag { protocol, id: id? })
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
            build: Build::from_message(message),
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
