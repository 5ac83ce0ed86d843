//! The kernel's neighbour tables: ARP (IPv4) and neighbour discovery (IPv6).

use std::net::IpAddr;

use futures_util::{StreamExt as _, TryStreamExt as _};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};

use super::{Error, Netlink, errno};

/// What our entries are marked with (NDA_PROTOCOL; `ip neighbour` shows `proto 112`), so that a restarted daemon knows
/// those of its predecessor: VRRP's protocol number, which no routing protocol has in `linux/rtnetlink.h`.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(112);

/// What the kernel knows about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The index of the interface.
    pub interface: u32,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its link-layer address, if the kernel knows one that it has not found to be wrong: none while it is being
    /// asked for the first time, and none when it stopped answering.
    pub mac: Option<[u8; 6]>,
}

/// A neighbour entry with what concerns its keeping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) neighbour: Neighbour,
    /// The kernel keeps it resolved because we asked for it.
    pub(super) kept: bool,
}

impl Entry {
    /// The entry that `message` is about, if it is one of the ARP or neighbour discovery tables: bridges send messages
    /// of the same type about what they forward.
    pub(super) fn from_message(message: &NeighbourMessage) -> Option<Self> {
        let mut address = None;
        let mut mac = None;
        let mut managed = false;
        let mut ours = false;
        for attribute in &message.attributes {
            if let NeighbourAttribute::Destination(destination) = attribute {
                address = ip_address(destination);
            } else if let NeighbourAttribute::LinkLayerAddress(value) = attribute {
                // The kernel leaves it out where it is not valid (net/core/neighbour.c, neigh_fill_info).
                mac = value.as_slice().try_into().ok();
            } else if let NeighbourAttribute::ExtFlags(flags) = attribute {
                managed = flags.contains(NeighbourExtFlags::Managed);
            } else if let NeighbourAttribute::Protocol(protocol) = attribute {
                ours = *protocol == PROTOCOL;
            }
        }
        Some(Self {
            neighbour: Neighbour {
                interface: message.header.ifindex,
                address: address?,
                mac,
            },
            kept: managed && ours,
        })
    }
}

fn ip_address(address: &NeighbourAddress) -> Option<IpAddr> {
    if let NeighbourAddress::Inet(address) = address {
        Some(IpAddr::V4(*address))
    } else if let NeighbourAddress::Inet6(address) = address {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

impl Netlink {
    /// All entries of the ARP and neighbour discovery tables.
    pub(super) async fn neighbours(&self) -> Result<Vec<Entry>, Error> {
        let failed = |error| Error::of("list the neighbours", error);
        let mut entries = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = self.handle.neighbours().get().set_address_family(family);
            let mut messages = request.execute();
            while let Some(message) = messages.try_next().await.map_err(failed)? {
                entries.extend(Entry::from_message(&message));
            }
        }
        Ok(entries)
    }

    /// Has the kernel resolve `address` on `interface` and keep it resolved (NTF_EXT_MANAGED, Linux 5.16): it asks
    /// again whenever the entry gets stale, and goes on asking when it has failed.
    ///
    /// NTF_EXT_LEARNED exempts the entry from garbage collection and from the table's limit (`gc_thresh3`, 1024 by
    /// default). NTF_USE starts the resolution at once, and is all that kernels before 5.16 understand.
    pub(super) async fn keep_neighbour(
        &self,
        interface: u32,
        address: IpAddr,
    ) -> Result<(), rtnetlink::Error> {
        let mut request = self
            .handle
            .neighbours()
            .add(interface, address)
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use | NeighbourFlags::ExtLearned)
            .replace();
        request.message_mut().attributes.extend([
            NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed),
            NeighbourAttribute::Protocol(PROTOCOL),
        ]);
        request.execute().await
    }

    /// Has the kernel ask `address` on `interface` now whether it is still there. One whose link-layer address
    /// `is_known` is asked there three times, a second apart (`ucast_solicit`, `retrans_time_ms`), and packets go on
    /// being sent to it meanwhile; one that is not is searched for by broadcast or multicast.
    pub(super) async fn confirm_neighbour(
        &self,
        interface: u32,
        address: IpAddr,
        is_known: bool,
    ) -> Result<(), Error> {
        let failed = |error| Error::of(format!("ask for the neighbour {address}"), error);
        if is_known {
            // An update that has it kept leaves the state alone (net/core/neighbour.c, __neigh_update), so that it
            // takes two: the second has it kept again.
            let mut request = self
                .handle
                .neighbours()
                .add(interface, address)
                .state(NeighbourState::Probe)
                .flags(NeighbourFlags::ExtLearned)
                .replace();
            request
                .message_mut()
                .attributes
                .push(NeighbourAttribute::Protocol(PROTOCOL));
            // EINVAL: it has lost its link-layer address in this moment.
            match request.execute().await {
                Err(error) if errno(&error) != Some(libc::EINVAL) => return Err(failed(error)),
                _ => {}
            }
        }
        self.keep_neighbour(interface, address).await.map_err(failed)
    }

    /// Gives `neighbour` back to the kernel's ordinary care. The entry stays, since others may be using it, until it
    /// is garbage.
    pub(super) async fn release_neighbour(&self, neighbour: &Neighbour) -> Result<(), Error> {
        // An update without the flags takes them away (net/core/neighbour.c, neigh_update_flags); NTF_USE leaves the
        // state alone.
        let mut message = NeighbourMessage::default();
        message.header.ifindex = neighbour.interface;
        message.header.flags = NeighbourFlags::Use;
        message.header.family = match neighbour.address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message
            .attributes
            .push(NeighbourAttribute::Destination(neighbour.address.into()));
        // Not by the library's request, which would create the entry if it is gone.
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE;

        let failed = |error| Error::of(format!("release the neighbour {}", neighbour.address), error);
        let mut answers = self.handle.clone().request(message).map_err(failed)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload {
                let error = rtnetlink::Error::NetlinkError(error);
                if errno(&error) != Some(libc::ENOENT) {
                    return Err(failed(error));
                }
            }
        }
        Ok(())
    }
}
