//! *advertisement*: has a successor spoken?
//!
//! A daemon that is dead or frozen hears no advertisement; the program does. One that arrives while our own is overdue
//! ends our answering for the virtual router's addresses at once. But only one that the daemon would have believed: of
//! the right version, to the group, from this network (hop limit 255, no foreign VLAN), whole, with the right password
//! (RFC 9568, section 7.1; RFC 3768), and not an echo of our own. Else anybody could silence a master that has no
//! successor. (One of more than 136 addresses, or 34 of IPv6, is not looked at: the lease ends answering a little
//! later.)

use lb_common::{Verdict, VirtualRouterEntry, VirtualRouterKey, checksum, lease_state, protocol};

use crate::{
    clock,
    family::{Family, V4, V6},
    frame,
    headers::{Ipv4, Ipv6, Vrrp, ethernet},
    lease,
    maps::{self, Key},
    outcome::Outcome,
    packet::Packet,
    parse,
};

/// The only type of message (RFC 9568, section 5.2.2).
const ADVERTISEMENT: u8 = 1;
/// A router one hop away cannot forge it (RFC 9568, section 5.1.1.3).
const HOP_LIMIT: u8 = 255;
/// The length of version 2's authentication data, with or without a password.
const AUTHENTICATION_DATA: usize = 8;

/// What the two IP versions do differently.
pub(crate) trait Group: Family {
    /// The length of an address.
    const ADDRESS: usize;

    /// Whether the IP header at `network` says that the packet comes from this network, and goes to VRRP's group.
    fn is_to_group(packet: &Packet, network: usize) -> Option<bool>;
    /// The sum of the two addresses.
    fn sum_of_addresses(packet: &Packet, network: usize) -> Option<u32>;
}

/// The end of a VRRP message between `start` and `end`, in the IP packet at `network`: an advertisement passes, and if
/// our own is overdue, then its sender is our successor. What is none is like any other packet without a service.
#[inline(always)]
pub(crate) fn receive<F: Group>(packet: &Packet, network: usize, start: usize, end: usize) -> Outcome {
    if observe::<F>(packet, network, start, end) {
        Outcome::pass(Verdict::PassAdvertisement)
    } else {
        lease::without_service::<F>(packet, network)
    }
}

/// Whether the message is an advertisement; one of a successor is noted.
#[inline(never)]
fn observe<F: Group>(packet: &Packet, network: usize, start: usize, end: usize) -> bool {
    let [network, start, end] = [network, start, end].map(|offset| packet.forget(offset as u64) as usize);
    let header = packet
        .read::<Vrrp>(start)
        .filter(|vrrp| is_advertisement(vrrp) && start + size_of::<Vrrp>() <= end);
    let Some(vrrp) = header else {
        return false;
    };
    if F::is_to_group(packet, network) != Some(true) {
        return false;
    }
    let key = Key(VirtualRouterKey {
        interface: packet.interface(),
        virtual_router_id: vrrp.virtual_router_id,
        ip_version: F::VERSION,
        vlan: parse::vlan(packet),
    });
    if let Some(router) = maps::virtual_router(&key)
        && let Some(lease) = maps::lease(router.lease)
        && lease.state == lease_state::HELD
    {
        let now = clock::now();
        if now >= lease.overdue_at()
            && is_peers::<F>(packet, network, start, end, &vrrp, router) == Some(true)
        {
            maps::set_successor(router.lease, now);
        }
    }
    true
}

/// An advertisement of a master that means to stay: priority 0 is a farewell.
#[inline(always)]
fn is_advertisement(vrrp: &Vrrp) -> bool {
    vrrp.version_and_type & 0xf == ADVERTISEMENT
        && matches!(vrrp.version_and_type >> 4, 2 | 3)
        && vrrp.priority > 0
}

/// Whether the advertisement is whole, and comes from a peer of the virtual router.
#[inline(always)]
fn is_peers<F: Group>(
    packet: &Packet,
    network: usize,
    start: usize,
    end: usize,
    vrrp: &Vrrp,
    router: &VirtualRouterEntry,
) -> Option<bool> {
    let version = vrrp.version_and_type >> 4;
    let sender: [u8; 6] = packet.read(ethernet::SOURCE)?;
    if version != router.version || frame::own(packet).is_some_and(|own| own.mac == sender) {
        return Some(false);
    }
    let mut length = size_of::<Vrrp>() + F::ADDRESS * usize::from(vrrp.address_count);
    if version == 2 {
        if vrrp.authentication_or_interval != router.authentication {
            return Some(false);
        }
        let password: [u8; 8] = packet.read(start + length)?;
        if router.authentication != 0 && password != router.password {
            return Some(false);
        }
        length += AUTHENTICATION_DATA;
    }
    if start + length > end || length > Packet::SUMMED {
        return Some(false);
    }
    let sum = packet.sum(start, length);
    let pseudo_header = F::sum_of_addresses(packet, network)? + u32::from(protocol::VRRP) + length as u32;
    // Version 2 sums the message alone. So does version 3 for IPv4 in RFC 9568, with the pseudo-header in Keepalived.
    Some(
        F::VERSION == 4 && checksum::checksum(sum) == 0
            || version == 3 && checksum::checksum(sum + pseudo_header) == 0,
    )
}

impl Group for V4 {
    const ADDRESS: usize = 4;

    #[inline(always)]
    fn is_to_group(packet: &Packet, network: usize) -> Option<bool> {
        let ip: Ipv4 = packet.read(network)?;
        Some(ip.destination == [224, 0, 0, 18] && ip.time_to_live == HOP_LIMIT)
    }

    #[inline(always)]
    fn sum_of_addresses(packet: &Packet, network: usize) -> Option<u32> {
        let addresses: [u8; 8] = packet.read(network + Self::SOURCE)?;
        Some(checksum::sum_of(&addresses))
    }
}

impl Group for V6 {
    const ADDRESS: usize = 16;

    #[inline(always)]
    fn is_to_group(packet: &Packet, network: usize) -> Option<bool> {
        let ip: Ipv6 = packet.read(network)?;
        Some(
            ip.destination == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]
                && ip.hop_limit == HOP_LIMIT,
        )
    }

    #[inline(always)]
    fn sum_of_addresses(packet: &Packet, network: usize) -> Option<u32> {
        let mut sum = 0;
        for quarter in 0..4 {
            let bytes: [u8; 8] = packet.read(network + Self::SOURCE + 8 * quarter)?;
            sum += checksum::sum_of(&bytes);
        }
        Some(sum)
    }
}
