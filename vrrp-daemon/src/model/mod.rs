//! The words of the domain: what a configuration means, free of file formats, sockets and maps.

mod service;
mod vrrp;

use std::net::IpAddr;
use std::path::PathBuf;

pub use service::{Protocol, RealServer, Scheduler, ServiceAddress, TcpCheck, VirtualService, Weight};
pub use vrrp::{
    InitialState, Interval, OutOfRange, Password, Priority, Version, VirtualAddress, VirtualRouterId,
    VrrpInstance,
};

/// Everything that one node is configured to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What concerns the node itself.
    pub node: Node,
    /// What concerns the XDP program.
    pub dataplane: Dataplane,
    /// The virtual routers that this node takes part in. No two share interface and identifier.
    pub vrrp_instances: Vec<VrrpInstance>,
    /// The virtual services. No two share an address.
    pub virtual_services: Vec<VirtualService>,
}

impl Configuration {
    /// The interfaces that the program is attached to: those configured, or those of the VRRP instances.
    #[must_use]
    pub fn interfaces(&self) -> Vec<&str> {
        let configured: Vec<&str> = self.dataplane.interfaces.iter().map(String::as_str).collect();
        if !configured.is_empty() {
            return configured;
        }
        let mut interfaces: Vec<&str> = self
            .vrrp_instances
            .iter()
            .map(|instance| instance.interface.as_str())
            .collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        interfaces
    }

    /// The VRRP instance that owns `address`, if one does.
    #[must_use]
    pub fn instance_of(&self, address: IpAddr) -> Option<&VrrpInstance> {
        self.vrrp_instances.iter().find(|instance| {
            instance
                .virtual_addresses
                .iter()
                .any(|virtual_address| virtual_address.address.addr() == address)
        })
    }
}

/// The table `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name of this node in status and notices; by default the host's name.
    pub router_id: Option<String>,
    /// Where the daemon listens for its own commands.
    pub control_socket: PathBuf,
    /// Where maps (`maps/NAME`) and links (`links/INTERFACE`) are pinned; on a bpffs.
    pub pin_dir: PathBuf,
    /// Where the daemon keeps what must survive a reboot.
    pub state_dir: PathBuf,
}

/// The table `[dataplane]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataplane {
    /// The interfaces that packets for the virtual addresses arrive on; empty: those of the VRRP instances.
    pub interfaces: Vec<String>,
    /// How the program is attached.
    pub xdp_mode: XdpMode,
    /// When the program is attached.
    pub attach: Attach,
    /// How many connections each of the IPv4 and the IPv6 flow table remembers.
    pub flow_table_size: u32,
}

/// Where in the receive path the XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// Native where the driver can, else generic, with a warning.
    Auto,
    /// In the driver.
    Native,
    /// In the kernel's generic receive path: any device, slower.
    Generic,
}

/// When the XDP program is on the interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// While this node is master of a virtual router (or serves an address without one).
    OnMaster,
    /// From start to stop, idle while this node is a backup: for NICs whose link flaps on attach.
    Always,
}
