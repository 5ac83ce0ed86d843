//! The right of this node to a virtual address, and how it runs out by itself.

use crate::SECOND;

/// [`crate::Service::lease`] of a service that no virtual router guards: it never expires.
pub const NO_LEASE: u32 = u32::MAX;

/// The lease of one virtual router: a slot of [`crate::maps::LEASES`].
///
/// The daemon writes everything but `successor_at`, through a memory mapping; renewing is one store to
/// `renewed_at`. The program writes `successor_at` only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// When our last advertisement went out (nanoseconds of `CLOCK_BOOTTIME`).
    pub renewed_at: u64,
    /// The advertisement interval in nanoseconds; 0 for a lease that does not expire (`lease = "off"`).
    pub interval: u64,
    /// When the program saw a peer's advertisement while ours was overdue (nanoseconds of `CLOCK_BOOTTIME`);
    /// a value not after `renewed_at` means nothing.
    pub successor_at: u64,
    /// One of [`lease_state`].
    pub state: u32,
    /// The interface of the virtual router.
    pub interface: u32,
    /// The virtual router's identifier (VRID).
    pub virtual_router_id: u32,
    /// Zero.
    pub _reserved: u32,
}

const _: () = assert!(size_of::<Lease>() == 40);

/// Values of [`Lease::state`].
pub mod lease_state {
    /// This node is not the master: packets for the virtual addresses are none of the program's business.
    pub const VACANT: u32 = 0;
    /// This node is the master, for as long as the lease lasts.
    pub const HELD: u32 = 1;
    /// This node is handing over: it forwards, and leaves answering for the address to its successor.
    pub const HANDING_OVER: u32 = 2;
}

/// What a lease entitles to at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// ARP requests and neighbour solicitations for the address may reach the kernel, which answers them.
    pub may_answer: bool,
    /// Packets may be forwarded to real servers.
    pub may_forward: bool,
}

impl Lease {
    /// Our own advertisement is overdue after one and a half intervals.
    #[inline(always)]
    #[must_use]
    pub const fn overdue_at(&self) -> u64 {
        self.renewed_at + self.interval + (self.interval >> 1)
    }

    /// No answers after four intervals, whether a successor was heard or not: no backup waits longer
    /// (`3 * Advertisement_Interval + Skew_Time`, RFC 9568 section 6.1, with a skew below one interval).
    #[inline(always)]
    #[must_use]
    pub const fn answers_end_at(&self) -> u64 {
        self.renewed_at + (self.interval << 2)
    }

    /// No forwarding a second after that.
    #[inline(always)]
    #[must_use]
    pub const fn forwarding_ends_at(&self) -> u64 {
        self.answers_end_at() + SECOND
    }

    /// What this lease entitles to at `now` (nanoseconds of `CLOCK_BOOTTIME`). The one place that both sides ask.
    #[inline(always)]
    #[must_use]
    pub const fn entitlement(&self, now: u64) -> Entitlement {
        let timeless = self.interval == 0;
        let succeeded = self.successor_at > self.renewed_at;
        match self.state {
            lease_state::HELD => Entitlement {
                may_answer: timeless || (!succeeded && now < self.answers_end_at()),
                may_forward: timeless || now < self.forwarding_ends_at(),
            },
            lease_state::HANDING_OVER => Entitlement {
                may_answer: false,
                may_forward: timeless || now < self.forwarding_ends_at(),
            },
            _ => Entitlement {
                may_answer: false,
                may_forward: false,
            },
        }
    }
}

/// A virtual address and the lease that guards it: the value of [`crate::maps::ADDRESSES`], whose key is an
/// [`crate::Address`]. Every address of a virtual router is here, with or without a service on it, and every address of
/// a service.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressEntry {
    /// The slot in [`crate::maps::LEASES`], or [`NO_LEASE`] if no virtual router guards the address.
    pub lease: u32,
}

/// A virtual router as an advertisement names it: the key of [`crate::maps::VIRTUAL_ROUTERS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VirtualRouterKey {
    /// The interface that the advertisement arrives on.
    pub interface: u32,
    /// The virtual router's identifier (VRID).
    pub virtual_router_id: u8,
    /// The IP version of the virtual router, 4 or 6: two virtual routers may share a VRID (RFC 9568, section 1.3).
    pub ip_version: u8,
    /// The VLAN that the advertisement arrives in, as its tag names it; 0 without a tag.
    pub vlan: u16,
}

const _: () = assert!(size_of::<VirtualRouterKey>() == 8);

/// The lease of a virtual router, and what its advertisements must say to be its peers': the value of
/// [`crate::maps::VIRTUAL_ROUTERS`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtualRouterEntry {
    /// The slot in [`crate::maps::LEASES`].
    pub lease: u32,
    /// The version of the protocol, 2 or 3.
    pub version: u8,
    /// The authentication type of version 2: 0 for none, 1 for a password. In version 3, 0.
    pub authentication: u8,
    /// Zero.
    pub _reserved: [u8; 2],
    /// The password, filled up with zeros; with authentication type 0, zeros.
    pub password: [u8; 8],
}

const _: () = assert!(size_of::<VirtualRouterEntry>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Lease {
        Lease {
            renewed_at: 100 * SECOND,
            interval: SECOND,
            state: lease_state::HELD,
            ..Lease::default()
        }
    }

    fn entitlement(lease: Lease, at: u64) -> (bool, bool) {
        let Entitlement {
            may_answer,
            may_forward,
        } = lease.entitlement(at);
        (may_answer, may_forward)
    }

    #[test]
    fn a_silent_daemon_stops_answering_after_four_intervals_and_forwarding_a_second_later() {
        assert_eq!(entitlement(held(), 104 * SECOND - 1), (true, true));
        assert_eq!(entitlement(held(), 104 * SECOND), (false, true));
        assert_eq!(entitlement(held(), 105 * SECOND - 1), (false, true));
        assert_eq!(entitlement(held(), 105 * SECOND), (false, false));
    }

    #[test]
    fn a_successor_ends_answering_at_once_until_the_lease_is_renewed() {
        let mut lease = held();
        lease.successor_at = 102 * SECOND;
        assert_eq!(entitlement(lease, 102 * SECOND), (false, true));
        lease.renewed_at = 103 * SECOND;
        assert_eq!(entitlement(lease, 103 * SECOND), (true, true));
    }

    #[test]
    fn a_handover_forwards_without_answering() {
        let lease = Lease {
            state: lease_state::HANDING_OVER,
            ..held()
        };
        assert_eq!(entitlement(lease, 101 * SECOND), (false, true));
    }

    #[test]
    fn without_an_interval_a_lease_never_ends() {
        let lease = Lease {
            interval: 0,
            successor_at: u64::MAX,
            ..held()
        };
        assert_eq!(entitlement(lease, u64::MAX), (true, true));
    }

    #[test]
    fn a_backup_is_entitled_to_nothing() {
        assert_eq!(
            entitlement(
                Lease {
                    state: lease_state::VACANT,
                    ..held()
                },
                100 * SECOND
            ),
            (false, false)
        );
    }
}
