//! Which interfaces would answer for an address that is on another one.
//!
//! Linux gives its addresses to the host, not to the interface: by default (`arp_ignore` 0) every interface answers ARP
//! for all of them. A second interface on the clients' network, or on another network at the same switch, then draws
//! half of the clients to a link-layer address where no program runs, and goes on when the daemon is dead. What is at
//! the other end of a wire nobody tells, so every interface that a network may be behind is told to answer for its own
//! addresses only, while this node has an address elsewhere. (The program there as well would do more harm: drivers
//! drop their link when it comes, and everything that the interface receives would pass through it.) IPv6 asks the
//! interface only.

use std::collections::BTreeSet;

/// An interface of this host, as far as ARP is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answerer {
    /// Its index.
    pub index: u32,
    /// It is an Ethernet interface.
    pub is_ethernet: bool,
    /// The name that the kernel has for its kind: `vlan`, `veth`, `bridge`; none of hardware.
    pub kind: Option<String>,
    /// The kind of the interface that it is a port of, if it is one.
    pub master_kind: Option<String>,
}

impl Answerer {
    /// Whether questions of a network reach it.
    fn is_asked(&self) -> bool {
        /// What a port of these receives is its master's.
        const OWNERS: [&str; 4] = ["bridge", "bond", "team", "openvswitch"];
        /// These ask and answer nothing; but a tap leads to one virtual machine, which the host may answer for
        /// addresses that it has elsewhere.
        const NO_NETWORK: [&str; 5] = ["dummy", "ifb", "vrf", "tun", "openvswitch"];
        let among =
            |kind: &Option<String>, kinds: &[&str]| kind.as_deref().is_some_and(|kind| kinds.contains(&kind));
        self.is_ethernet && !among(&self.master_kind, &OWNERS) && !among(&self.kind, &NO_NETWORK)
    }
}

/// Those that must answer for their own addresses only, while this node has virtual IPv4 addresses on the interfaces
/// `places`.
#[must_use]
pub fn own_addresses_only(answerers: &[Answerer], places: &BTreeSet<u32>) -> BTreeSet<u32> {
    let asked = answerers.iter().filter(|answerer| answerer.is_asked());
    asked
        .map(|answerer| answerer.index)
        .filter(|index| places.iter().any(|place| place != index))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answerer(index: u32, kind: Option<&str>, master_kind: Option<&str>) -> Answerer {
        Answerer {
            index,
            is_ethernet: true,
            kind: kind.map(str::to_owned),
            master_kind: master_kind.map(str::to_owned),
        }
    }

    fn judged(answerers: &[Answerer], places: &[u32]) -> Vec<u32> {
        let places = places.iter().copied().collect();
        own_addresses_only(answerers, &places).into_iter().collect()
    }

    #[test]
    fn all_but_the_one_with_the_address_keep_to_their_own() {
        let host = [
            Answerer {
                is_ethernet: false,
                ..answerer(1, None, None)
            },
            answerer(2, None, None),
            answerer(3, None, None),
            answerer(4, Some("vlan"), None),
            answerer(5, Some("macvlan"), None),
            answerer(6, Some("bridge"), None),
        ];
        assert!(judged(&host, &[]).is_empty());
        assert_eq!(judged(&host, &[2]), [3, 4, 5, 6]);
        assert_eq!(judged(&host, &[6]), [2, 3, 4, 5]);
        // Each has one that the other must not answer for.
        assert_eq!(judged(&host, &[2, 3]), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn who_is_never_asked_is_left_alone() {
        let host = [
            answerer(2, None, None),
            answerer(3, None, Some("bond")),
            answerer(4, Some("veth"), Some("bridge")),
            answerer(5, Some("dummy"), None),
            answerer(6, Some("tun"), None),
            // A router of its own on the same host, whose ports are asked all the same.
            answerer(7, None, Some("vrf")),
            answerer(8, Some("vrf"), None),
        ];
        assert_eq!(judged(&host, &[2]), [7]);
    }
}
