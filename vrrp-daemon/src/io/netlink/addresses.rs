//! Addresses of interfaces.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, CacheInfo};

use super::{Error, Netlink, errno};
use crate::model::VirtualAddress;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The index of the interface.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// Another IPv4 address of the same network was there before it.
    pub secondary: bool,
}

/// What the kernel answers who wants to remove an address that is not there: the interface has no such address, has no
/// addresses of this family, or is gone.
const NOT_THERE: [i32; 3] = [libc::EADDRNOTAVAIL, libc::ENXIO, libc::ENODEV];

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// The index of the interface that it is on.
    pub interface: u32,
    /// The address with its prefix length.
    pub network: IpNet,
    /// Whether packets may leave from it: it has passed duplicate address detection.
    pub usable: bool,
    /// Whether it is as good as others to leave from: neither deprecated nor (IPv4) a secondary one.
    pub preferred: bool,
}

impl OwnAddress {
    fn from_message(message: &AddressMessage) -> Option<Self> {
        let flags = message.header.flags;
        Some(Self {
            interface: message.header.index,
            network: IpNet::new(local_address(message)?, message.header.prefix_len).ok()?,
            usable: !flags.intersects(AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed),
            // IFA_F_SECONDARY is IFA_F_TEMPORARY in IPv6: an address that its machine prefers.
            preferred: !flags.contains(AddressHeaderFlags::Deprecated)
                && (message.header.family != AddressFamily::Inet
                    || !flags.contains(AddressHeaderFlags::Secondary)),
        })
    }
}

/// The lifetimes of an address that is always valid and never preferred: the kernel sends nothing from it unasked.
fn never_preferred() -> CacheInfo {
    let mut lifetimes = CacheInfo::default();
    lifetimes.ifa_preferred = 0;
    lifetimes.ifa_valid = u32::MAX;
    lifetimes
}

impl Netlink {
    /// Adds `address` to the interface `interface`; true if it was not there already.
    ///
    /// The scope is global, and there is no broadcast address, as with Keepalived. IPv6 addresses skip duplicate
    /// address detection: it would keep the address from being used for a second, and the failed master may still
    /// have it. They are deprecated from the start (RFC 4862, section 5.5.4), so that the host's own connections do not
    /// leave from them; IPv4 has a secondary address for that.
    ///
    /// # Errors
    /// The kernel's refusal, or a closed socket.
    pub async fn add_address(&self, interface: u32, address: &VirtualAddress) -> Result<bool, Error> {
        let net = address.address;
        let mut request = self.handle.address().add(interface, net.addr(), net.prefix_len());
        let message = request.message_mut();
        message
            .attributes
            .retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
        match net {
            IpNet::V4(_) => message
                .attributes
                .extend(address.label.clone().map(AddressAttribute::Label)),
            IpNet::V6(_) => {
                message.header.flags |= AddressHeaderFlags::Nodad;
                message
                    .attributes
                    .push(AddressAttribute::CacheInfo(never_preferred()));
            }
        }
        match request.execute().await {
            Ok(()) => Ok(true),
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(Error::of(format!("add the address {net}"), error)),
        }
    }

    /// Removes `address` from the interface `interface`; true if it was there.
    ///
    /// An IPv4 address goes with whatever prefix length and label it was added: those of a daemon that crashed under
    /// another configuration may differ. A primary IPv4 address takes the secondary ones of its network with it, where
    /// the interface's sysctl `promote_secondaries` is off; they are added again at once. The interface's own address
    /// may be one of them, if it was added after the virtual one.
    ///
    /// # Errors
    /// The kernel's refusal, or a closed socket.
    pub async fn remove_address(&self, interface: u32, address: &VirtualAddress) -> Result<bool, Error> {
        let net = address.address;
        let mut message = AddressMessage::default();
        message.header.index = interface;
        message.header.prefix_len = net.prefix_len();
        message.header.family = match net {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        // IFA_LOCAL alone: IPv4 compares the prefix only of an IFA_ADDRESS, and the label only if one is given
        // (net/ipv4/devinet.c, inet_rtm_deladdr).
        message.attributes.push(AddressAttribute::Local(net.addr()));

        let before = match net {
            IpNet::V4(_) => self.ipv4_addresses(interface).await?,
            IpNet::V6(_) => Vec::new(),
        };
        let is_primary = before.iter().any(|message| {
            local_address(message) == Some(net.addr())
                && !message.header.flags.contains(AddressHeaderFlags::Secondary)
        });
        let removed = self.delete_address(net, message).await?;
        if is_primary {
            self.restore(interface, net.addr(), before).await?;
        }
        Ok(removed)
    }

    async fn delete_address(&self, net: IpNet, message: AddressMessage) -> Result<bool, Error> {
        let mut removed = false;
        loop {
            match self.handle.address().del(message.clone()).execute().await {
                // Once more: the same IPv4 address may be there with several prefix lengths.
                Ok(()) => removed = true,
                Err(error) if errno(&error).is_some_and(|number| NOT_THERE.contains(&number)) => {
                    return Ok(removed);
                }
                Err(error) => return Err(Error::of(format!("remove the address {net}"), error)),
            }
        }
    }

    /// Adds those addresses of `before` that went with `removed`.
    async fn restore(
        &self,
        interface: u32,
        removed: IpAddr,
        before: Vec<AddressMessage>,
    ) -> Result<(), Error> {
        let left = self.ipv4_addresses(interface).await?;
        for message in before {
            let Some(address) = local_address(&message) else {
                continue;
            };
            if address == removed || left.iter().any(|other| local_address(other) == Some(address)) {
                continue;
            }
            let prefix_length = message.header.prefix_len;
            let mut request = self.handle.address().add(interface, address, prefix_length);
            *request.message_mut() = message;
            request.execute().await.map_err(|error| {
                Error::of(format!("add the address {address}/{prefix_length} again"), error)
            })?;
        }
        Ok(())
    }

    /// All addresses of this machine, in the order in which the kernel has them.
    ///
    /// # Errors
    /// The kernel's refusal, or a closed socket.
    pub async fn own_addresses(&self) -> Result<Vec<OwnAddress>, Error> {
        let failed = |error| Error::of("list the addresses", error);
        let mut own = Vec::new();
        let mut messages = self.handle.address().get().execute();
        while let Some(message) = messages.try_next().await.map_err(failed)? {
            own.extend(OwnAddress::from_message(&message));
        }
        Ok(own)
    }

    async fn ipv4_addresses(&self, interface: u32) -> Result<Vec<AddressMessage>, Error> {
        let mut request = self.handle.address().get().set_link_index_filter(interface);
        request.message_mut().header.family = AddressFamily::Inet;
        let messages = request.execute().try_collect().await;
        match messages {
            Ok(messages) => Ok(messages),
            // The interface is gone, and its addresses with it.
            Err(error) if errno(&error).is_some_and(|number| NOT_THERE.contains(&number)) => Ok(Vec::new()),
            Err(error) => Err(Error::of("list the addresses", error)),
        }
    }

    /// All addresses of all interfaces, in the kernel's order.
    ///
    /// # Errors
    /// The kernel's refusal, or a closed socket.
    pub async fn addresses(&self) -> Result<Vec<InterfaceAddress>, Error> {
        let failed = |error| Error::of("list the addresses", error);
        let mut addresses = Vec::new();
        let mut messages = std::pin::pin!(self.handle.address().get().execute());
        while let Some(message) = messages.try_next().await.map_err(failed)? {
            addresses.extend(local_address(&message).map(|address| InterfaceAddress {
                interface: message.header.index,
                address,
                secondary: message.header.flags.contains(AddressHeaderFlags::Secondary),
            }));
        }
        Ok(addresses)
    }
}

/// The interface's own address in `message`: IFA_LOCAL, or, in IPv6 without a peer, IFA_ADDRESS.
pub(super) fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut address = None;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(local) = attribute {
            return Some(*local);
        }
        if let AddressAttribute::Address(other) = attribute {
            address = Some(*other);
        }
    }
    address
}
