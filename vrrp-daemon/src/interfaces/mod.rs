//! How the program fits on the interfaces of a host: where it can run, in which mode, where packets can leave by, and
//! what has to be switched off for that. And who would answer ARP for addresses that are on another one.
//!
//! Facts in ([`Interface`], [`Wish`]), a [`Fit`] out. What an interface is and can do is found out by `io`, and what a
//! fit asks for is done by `daemon/programs.rs`.
//!
//! # What XDP does not do by itself
//!
//! * A native program can redirect only to an interface whose driver sends for XDP. Bridges, VLAN devices and macvlans
//!   do not, some drivers do only while they have a program themselves, and a veth does while its other end has one.
//!   To any other the packet vanishes. A generic program can redirect to all of them.
//! * A generic program meets packets that the kernel has merged (GRO), which no interface takes in one piece: those are
//!   dropped when redirected.
//! * A VLAN tag that the hardware, or the other end of a veth, has put beside the packet instead of into it is
//!   invisible to the program: native, it is lost; generic, it is added twice.
#![deny(clippy::disallowed_methods)]

mod answering;
mod fit;
mod losses;
mod steadiness;

pub use answering::{Answerer, own_addresses_only};
pub use fit::{Fit, Mode, Wish, fit};
pub use losses::{Loss, Losses, Origin, Sender};
pub use steadiness::Steadiness;

/// A VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// The EtherType that announces it: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub protocol: u16,
    /// The VLAN's identifier, 1 to 4094.
    pub id: u16,
}

/// An interface of this host, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The name that the kernel has for its kind: `vlan`, `veth`, `bridge`; none of hardware.
    pub kind: Option<String>,
    /// It is a device of its own, not made of others or by the kernel: what it receives has come over a wire.
    pub is_hardware: bool,
    /// The interface that it is made of (a VLAN device's, a macvlan's).
    pub lower: Option<u32>,
    /// The tag that it adds and removes, if it is a VLAN device.
    pub tag: Option<Tag>,
    /// The interface that it is a port of (a bridge's, a bond's).
    pub master: Option<u32>,
    /// Whether it sends what native programs redirect to it.
    pub transmit: Transmit,
    /// Whether it puts the VLAN tags of what it receives beside the packets.
    pub stripping: Stripping,
}

/// Whether an interface sends what native programs on others redirect to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// It does.
    Able,
    /// It does while a native program is on it, be it one that does nothing.
    WithProgram,
    /// It does not.
    Unable,
    /// This kernel does not tell (before 6.3), and we don't know the driver.
    Unknown,
}

/// Whether an interface puts the VLAN tags of what it receives beside the packets (`rx-vlan-hw-parse`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stripping {
    /// It leaves them in.
    Off,
    /// It does, and can be told not to.
    On,
    /// It does, and cannot be told not to.
    Fixed,
}

impl Transmit {
    /// What the kernel says of an interface (`enum netdev_xdp_act`): that it runs native programs, and that it sends
    /// for others; `is_hardware` as in [`Interface`].
    #[must_use]
    pub const fn told(runs: bool, sends: bool, is_hardware: bool) -> Self {
        match (runs, sends) {
            (_, true) => Self::Able,
            // Most drivers reserve queues for it when they get a program. A veth minds its other end's.
            (true, false) if is_hardware => Self::WithProgram,
            _ => Self::Unable,
        }
    }

    /// What is known of a driver by its name, for kernels that do not tell.
    #[must_use]
    pub fn known(driver: Option<&str>, kind: Option<&str>) -> Self {
        /// Drivers that had `ndo_xdp_xmit` in Linux 5.15; all send safely with a program of their own.
        const DRIVERS: [&str; 13] = [
            "bnxt_en",
            "dpaa2-eth",
            "ena",
            "fsl_dpaa2_eth",
            "i40e",
            "ice",
            "igb",
            "ixgbe",
            "ixgbevf",
            "mlx5_core",
            "qede",
            "sfc",
            "virtio_net",
        ];
        match (driver, kind) {
            (Some(driver), None) if DRIVERS.contains(&driver) => Self::WithProgram,
            (_, Some("vlan" | "bridge" | "macvlan" | "ipvlan" | "dummy")) => Self::Unable,
            _ => Self::Unknown,
        }
    }
}
