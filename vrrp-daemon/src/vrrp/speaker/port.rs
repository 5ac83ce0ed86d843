//! Interfaces as the speaker sees them.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::AddressFamily;
use crate::vrrp::obstacle::Obstacle;

/// An interface as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its link-layer address, if it is an Ethernet interface.
    pub mac: Option<[u8; 6]>,
    /// Whether packets can pass.
    pub up: bool,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<PortAddress>,
    /// It does not take the XDP program.
    pub refuses_program: bool,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAddress {
    /// The address.
    pub address: IpAddr,
    /// Another address of the same network came before it (IPv4 only).
    pub secondary: bool,
}

impl Port {
    /// The address that advertisements of `family` come from: the first one that is not virtual; a primary one before
    /// secondary ones, since a virtual address left by a crashed daemon may have made the interface's own address a
    /// secondary one. Of any scope for IPv4, as with Keepalived (a network between directors may have link-local
    /// addresses only); link-local for IPv6 (RFC 9568, section 5.1.2.1).
    pub(super) fn primary_address<T>(
        &self,
        family: AddressFamily,
        virtual_addresses: &HashMap<IpAddr, T>,
    ) -> Option<IpAddr> {
        let mut own = self.addresses.iter().filter(|PortAddress { address, .. }| {
            let usable = match address {
                IpAddr::V4(_) => family == AddressFamily::Ipv4,
                IpAddr::V6(address) => family == AddressFamily::Ipv6 && address.is_unicast_link_local(),
            };
            usable && !virtual_addresses.contains_key(address)
        });
        let first = own.clone().next();
        own.find(|own| !own.secondary).or(first).map(|own| own.address)
    }

    /// What about it keeps a virtual router out of the election that has no `primary_address` here, or has one.
    pub(super) fn obstacles(&self, primary_address: Option<IpAddr>) -> Vec<Obstacle> {
        let present = [
            (Obstacle::NotEthernet, self.mac.is_none()),
            (Obstacle::NoLink, !self.up),
            (Obstacle::NoAddress, primary_address.is_none()),
            (Obstacle::ProgramRefused, self.refuses_program),
        ];
        let present = present.into_iter().filter(|(_, stands)| *stands);
        present.map(|(obstacle, _)| obstacle).collect()
    }
}
