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
    /// The longest IP packet that it sends.
    pub mtu: u32,
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
    /// The index of the interface that it is made of (a VLAN device's, a macvlan's), if that one is in this network
    /// namespace.
    pub lower: Option<u32>,
    /// Its other end, if it is a veth.
    pub other_end: Option<OtherEnd>,
    /// The tag that it adds and removes, if it is a VLAN device.
    pub tag: Option<Tag>,
    /// The index of the interface that it is a port of (a bridge's, a bond's).
    pub master: Option<u32>,
}

/// The other end of a veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherEnd {
    /// Its index.
    pub index: u32,
    /// The number that this network namespace has for the one that it is in, if that is another.
    pub namespace: Option<i32>,
}

impl Build {
    fn from_message(message: &LinkMessage) -> Self {
        let mut build = Self::default();
        let mut namespace = None;
        let mut link = None;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Link(index) => link = Some(*index),
                LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
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
        if build.kind.as_deref() == Some("veth") {
            build.other_end = link.map(|index| OtherEnd { index, namespace });
        } else if namespace.is_none() {
            build.lower = link;
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
        let mut mtu = 0;
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(value) = attribute {
                name = Some(value.clone());
            } else if let LinkAttribute::Address(value) = attribute
                && message.header.link_layer_type == LinkLayerType::Ether
            {
                mac = value.as_slice().try_into().ok();
            } else if let LinkAttribute::Mtu(value) = attribute {
                mtu = *value;
            }
        }
        // IFF_RUNNING is the operational state (netif_oper_up), IFF_LOWER_UP the carrier (net/core/dev.c,
        // netif_get_flags).
        let passing = LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp;
        Some(Self {
            index: message.header.index,
            name: name?,
            mac,
            mtu,
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

    /// The name of a veth's other end, wherever that is.
    ///
    /// # Errors
    /// The kernel's refusal (in another network namespace, it asks for `CAP_NET_ADMIN` there), or a closed socket.
    pub async fn name_of(&self, end: OtherEnd) -> Result<String, Error> {
        let failed = |error| Error::of("name the other end of a veth", error);
        let mut request = self.handle.link().get().match_index(end.index);
        let there = end.namespace.map(LinkAttribute::IfNetnsId);
        request.message_mut().attributes.extend(there);
        let message = request.execute().try_next().await.map_err(failed)?;
        let link = message.as_ref().and_then(Link::from_message);
        link.map(|link| link.name)
            .ok_or_else(|| failed(rtnetlink::Error::RequestFailed))
    }
}
