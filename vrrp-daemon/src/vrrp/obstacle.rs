//! What keeps a virtual router out of the election.

use std::fmt;

/// What stands in the way of taking part. Each comes and goes by itself; a virtual router takes part while there is
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Obstacle {
    /// There is no interface of this name.
    NoInterface,
    /// There is no interface of the name that a virtual address is to be on.
    NoDevice,
    /// It is not an Ethernet interface.
    NotEthernet,
    /// It has no link, or is set down.
    NoLink,
    /// It has no address of the family beside virtual ones: nothing to advertise from.
    NoAddress,
    /// The socket for advertisements cannot be opened on it.
    NoSocket,
    /// It, or one that a virtual address is to be on, does not take the XDP program: the local stack would reset
    /// every connection to the virtual addresses.
    ProgramRefused,
    /// Advertisements do not leave this node: nobody would know of its mastership.
    NotSent,
}

impl Obstacle {
    /// How its end is told.
    #[must_use]
    pub const fn end(self) -> &'static str {
        match self {
            Self::NoInterface | Self::NoDevice | Self::NotEthernet | Self::NoLink => "interface up",
            Self::NoAddress => "there is an address to advertise from",
            Self::NoSocket => "the VRRP socket is open",
            Self::ProgramRefused => "the interface takes the XDP program",
            Self::NotSent => "advertisements leave this node again",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoInterface => "there is no such interface",
            Self::NoDevice => "an interface of its virtual addresses is not there",
            Self::NotEthernet => "not an Ethernet interface",
            Self::NoLink => "no link on the interface",
            Self::NoAddress => "no address on the interface beside virtual ones",
            Self::NoSocket => "the VRRP socket cannot be opened",
            Self::ProgramRefused => "the interface does not take the XDP program: this node cannot forward",
            Self::NotSent => "advertisements do not leave this node",
        })
    }
}
