//! Interfaces as virtual routers use them.

use std::net::{IpAddr, Ipv4Addr};

use tracing::{error, warn};

use crate::io::announce::Announcer;
use crate::io::netlink::{Link, Netlink};
use crate::model::{VirtualAddress, VrrpInstance};

/// The number of frames in a burst of gratuitous ARP (Keepalived's `vrrp_garp_master_repeat`).
const ANNOUNCEMENTS: usize = 5;

/// An interface that a virtual router can work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// Its index.
    pub(super) index: u32,
    /// Its link-layer address.
    pub(super) mac: [u8; 6],
    /// The address that advertisements come from.
    pub(super) primary_address: Ipv4Addr,
}

/// The interface as a virtual router sees it, if it has an address to send from.
pub(super) async fn port(netlink: &Netlink, link: &Link, instance: &VrrpInstance) -> Option<Port> {
    let virtual_addresses: Vec<Ipv4Addr> = instance
        .virtual_addresses
        .iter()
        .filter_map(|address| match address.address.addr() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect();
    match netlink.primary_address(link.index, &virtual_addresses).await {
        Ok(primary_address) => Some(Port {
            index: link.index,
            mac: link.mac?,
            primary_address: primary_address?,
        }),
        Err(error) => {
            warn!(interface = link.name, %error, "cannot read the addresses");
            None
        }
    }
}

/// The interface that a virtual address belongs on.
pub(super) fn device<'a>(links: &'a [Link], interface: &str, address: &VirtualAddress) -> Option<&'a Link> {
    let name = address.device.as_deref().unwrap_or(interface);
    links.iter().find(|link| link.name == name)
}

/// Adds a virtual address. Returns whether it was not there before.
pub(super) async fn add_address(
    netlink: &Netlink,
    links: &[Link],
    interface: &str,
    address: &VirtualAddress,
) -> bool {
    let Some(link) = device(links, interface, address) else {
        error!(address = %address.address, "the interface of a virtual address is gone");
        return false;
    };
    netlink
        .add_address(link.index, address)
        .await
        .unwrap_or_else(|error| {
            error!(%error, "a virtual address is missing from its interface");
            false
        })
}

pub(super) fn announce(announcer: &Announcer, link: &Link, address: &VirtualAddress) {
    let (Some(mac), IpAddr::V4(address)) = (link.mac, address.address.addr()) else {
        return;
    };
    for _ in 0..ANNOUNCEMENTS {
        if let Err(error) = announcer.announce(link.index, mac, address) {
            warn!(%address, interface = link.name, %error, "cannot send gratuitous ARP");
            return;
        }
    }
}
