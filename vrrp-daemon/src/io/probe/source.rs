//! The address that checks leave from: never a virtual one.
//!
//! A real server has the virtual address as its own, on its loopback interface: its answer to a check from there would
//! go to itself. Which address a connection leaves from is the kernel's choice, and a virtual address is a likely one:
//! of a plain IPv6 address with a prefix length of 128 more bits agree with a server's than of the interface's own
//! address (RFC 6724, section 5, rule 8).
#![allow(unsafe_code, reason = "setsockopt(2) has no safe wrapper for this option")]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use ipnet::IpNet;
use tokio::sync::OnceCell;

use crate::io::netlink::{Netlink, OwnAddress};

/// Chooses the addresses that checks leave from.
#[derive(Debug, Default)]
pub struct Sources {
    virtual_addresses: BTreeSet<IpAddr>,
    netlink: OnceCell<Netlink>,
}

/// Why no address was chosen.
#[derive(Debug)]
pub(super) enum NoSource {
    /// There is no route to the target: connecting will say the same.
    NoRoute,
    /// The node has no address of its own that could reach it: the kernel would take this virtual one.
    OnlyVirtual(IpAddr),
    /// The kernel could not be asked.
    Failed(io::Error),
}

impl Sources {
    /// Keeps checks from leaving from one of `virtual_addresses`.
    #[must_use]
    pub fn except(virtual_addresses: BTreeSet<IpAddr>) -> Self {
        Self {
            virtual_addresses,
            netlink: OnceCell::new(),
        }
    }

    /// The address to bind a connection to `target` to: the kernel's choice, or, if that is a virtual address, the
    /// next best.
    pub(super) async fn choose(&self, target: SocketAddr) -> Result<SocketAddr, NoSource> {
        let choice = kernels_choice(target)?;
        if !self.virtual_addresses.contains(&choice.ip()) {
            return Ok(choice);
        }
        let failed = |error| NoSource::Failed(io::Error::other(error));
        let netlink = self
            .netlink
            .get_or_try_init(async || Netlink::new())
            .await
            .map_err(failed)?;
        let interface = netlink.interface_to(target.ip()).await.map_err(failed)?;
        let own = netlink.own_addresses().await.map_err(failed)?;
        let chosen = pick(target.ip(), interface, &own, &self.virtual_addresses);
        let chosen = chosen.ok_or(NoSource::OnlyVirtual(choice.ip()))?;
        Ok(match chosen.network.addr() {
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                SocketAddrV6::new(address, 0, 0, chosen.interface).into()
            }
            address => SocketAddr::new(address, 0),
        })
    }
}

/// The address that the kernel would have a connection to `target` leave from. Connecting a socket of datagrams sends
/// nothing.
fn kernels_choice(target: SocketAddr) -> Result<SocketAddr, NoSource> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).map_err(NoSource::Failed)?;
    socket.connect(target).map_err(|_| NoSource::NoRoute)?;
    let mut choice = socket.local_addr().map_err(NoSource::Failed)?;
    choice.set_port(0);
    Ok(choice)
}

/// The best of a node's `own` addresses for a target that is reached by the interface with the index `interface`: one
/// of the target's network, else one of that interface, else any. One that is only valid on its link (IPv6) is the
/// last resort, and only there.
fn pick<'a>(
    target: IpAddr,
    interface: u32,
    own: &'a [OwnAddress],
    virtual_addresses: &BTreeSet<IpAddr>,
) -> Option<&'a OwnAddress> {
    let is_of_link = |address: &OwnAddress| matches!(address.network, IpNet::V6(network) if network.addr().is_unicast_link_local());
    own.iter()
        .filter(|address| {
            let ip = address.network.addr();
            ip.is_ipv4() == target.is_ipv4()
                && !ip.is_loopback()
                && address.usable
                && !virtual_addresses.contains(&ip)
                && (address.interface == interface || !is_of_link(address))
        })
        // The first of equals.
        .min_by_key(|address| {
            let is_there = address.interface == interface;
            (
                is_of_link(address),
                !(is_there && address.network.contains(&target)),
                !is_there,
                !address.preferred,
            )
        })
}

/// Has the kernel choose the port of a socket that is bound to an address only when it connects, when it can tell
/// connections to different targets apart: else there would be one port for each connection at a time (Linux 4.2).
pub(super) fn leave_port_open(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that outlives the call; the descriptor is open as long as `socket`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(interface: u32, network: &str) -> OwnAddress {
        OwnAddress {
            interface,
            network: network.parse().expect("an address"),
            usable: true,
            preferred: true,
        }
    }

    fn picked(target: &str, interface: u32, own: &[OwnAddress], virtual_address: &str) -> Option<String> {
        let virtual_addresses = [virtual_address.parse().expect("an address")].into();
        pick(
            target.parse().expect("an address"),
            interface,
            own,
            &virtual_addresses,
        )
        .map(|address| address.network.addr().to_string())
    }

    #[test]
    fn the_address_of_the_targets_network_is_best_then_one_of_the_interface_then_any() {
        let everything = [
            own(1, "127.0.0.1/8"),
            own(2, "10.0.0.100/24"),
            own(3, "10.1.0.1/24"),
            own(2, "10.2.0.1/24"),
            own(2, "10.0.0.1/24"),
            own(2, "fe80::1/64"),
            own(2, "fd00::1/64"),
        ];
        let target = "10.0.0.11";
        assert_eq!(
            picked(target, 2, &everything, "10.0.0.100").as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(
            picked(target, 2, &everything[..4], "10.0.0.100").as_deref(),
            Some("10.2.0.1")
        );
        assert_eq!(
            picked(target, 2, &everything[..3], "10.0.0.100").as_deref(),
            Some("10.1.0.1")
        );
        assert_eq!(picked(target, 2, &everything[..2], "10.0.0.100"), None);
        assert_eq!(
            picked("fd00::11", 2, &everything, "10.0.0.100").as_deref(),
            Some("fd00::1")
        );
    }

    #[test]
    fn an_address_of_the_link_is_the_last_resort_on_that_link() {
        let everything = [
            own(2, "fe80::1/64"),
            own(2, "fd00::100/128"),
            own(3, "fd01::1/64"),
        ];
        assert_eq!(
            picked("fd00::11", 2, &everything, "fd00::100").as_deref(),
            Some("fd01::1")
        );
        assert_eq!(
            picked("fd00::11", 2, &everything[..2], "fd00::100").as_deref(),
            Some("fe80::1")
        );
        assert_eq!(picked("fd00::11", 3, &everything[..2], "fd00::100"), None);
    }

    #[test]
    fn an_address_that_is_not_valid_yet_is_none_and_a_deprecated_one_is_a_worse_one() {
        let mut everything = [own(2, "fd00::1/64"), own(2, "fd00::2/64"), own(2, "fd00::3/64")];
        everything[0].usable = false;
        everything[1].preferred = false;
        assert_eq!(
            picked("fd00::11", 2, &everything, "fd00::100").as_deref(),
            Some("fd00::3")
        );
    }
}
