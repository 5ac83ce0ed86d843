//! The words of the domain: what a configuration means, free of file formats, sockets and maps.

mod access;
mod handle;
mod ports;
mod service;
pub mod shares;
mod vrrp;

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use access::AccessLists;
pub use handle::{LeaseSlot, RealHandle, RealSlot};
pub use ports::Ports;
pub use service::{
    Check, CheckKind, CheckTiming, Forwarding, HashOptions, Protocol, RealServer, RealServerId, Scheduler,
    ServiceAddress, Tunnel, VirtualService, Weight,
};
pub use vrrp::{
    AddressFamily, Interval, OutOfRange, Password, Priority, Version, VirtualAddress, VirtualRouterId,
    VirtualRouterName, VrrpInstance,
};

/// Everything that one node is configured to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// What concerns the node itself.
    pub node: Node,
    /// What concerns the XDP program.
    pub dataplane: Dataplane,
    /// The virtual routers that this node takes part in. No two have one [`VirtualRouterName`].
    pub vrrp_instances: Vec<VrrpInstance>,
    /// The virtual services. No two share an address and a port, unless one has some of the other's ports and no more.
    pub virtual_services: Vec<VirtualService>,
}

impl Configuration {
    /// The interfaces that the program is attached to: those configured, or those of the VRRP instances; and in any
    /// case those that virtual addresses are on, where the local stack would reset the clients' connections without it,
    /// and answer for the addresses of a dead daemon.
    #[must_use]
    pub fn interfaces(&self) -> Vec<&str> {
        let mut interfaces: Vec<&str> = self.dataplane.interfaces.iter().map(String::as_str).collect();
        let mut further = BTreeSet::new();
        for instance in &self.vrrp_instances {
            further.extend(instance.places().map(|(_, device)| device));
            further.extend(interfaces.is_empty().then_some(instance.interface.as_str()));
        }
        further.retain(|interface| !interfaces.contains(interface));
        interfaces.extend(further);
        interfaces
    }

    /// The addresses that real servers have as well: those of the virtual routers and of the virtual services.
    #[must_use]
    pub fn virtual_addresses(&self) -> BTreeSet<IpAddr> {
        let of_routers = self.vrrp_instances.iter().flat_map(|instance| {
            let addresses = instance.virtual_addresses.iter();
            addresses.map(|address| address.address.addr())
        });
        let services = self.virtual_services.iter();
        let of_services = services.flat_map(|service| service.addresses().map(|address| address.ip));
        of_routers.chain(of_services).collect()
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

impl Configuration {
    /// This configuration, and of the one before it, `previous`, what its removed virtual routers need while they hand
    /// over: those routers, first, so that their leases still guard their addresses, and the services on these.
    /// Nothing if no virtual router was removed.
    #[must_use]
    pub fn with_departing(&self, previous: &Self) -> Option<Self> {
        let kept: HashSet<VirtualRouterName> = self
            .vrrp_instances
            .iter()
            .map(VrrpInstance::router_name)
            .collect();
        let departs = |instance: &&VrrpInstance| !kept.contains(&instance.router_name());
        let mut both = self.clone();
        both.vrrp_instances = previous.vrrp_instances.iter().filter(departs).cloned().collect();
        if both.vrrp_instances.is_empty() {
            return None;
        }
        let served: Vec<_> = previous
            .virtual_services
            .iter()
            .filter(|service| {
                let mut addresses = service.addresses();
                addresses.any(|address| both.instance_of(address.ip).is_some())
            })
            .filter(|service| {
                !self
                    .virtual_services
                    .iter()
                    .any(|kept| kept.address == service.address)
            })
            .cloned()
            .collect();
        both.virtual_services.extend(served);
        both.vrrp_instances.extend(self.vrrp_instances.iter().cloned());
        Some(both)
    }
}

/// The table `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name of this node in status and notices; by default the host's name.
    pub router_id: Option<String>,
    /// Where the daemon listens for its own commands.
    pub control_socket: PathBuf,
    /// Where maps (`maps/NAME`) and links (`links/INTERFACE`, with a colon for each dot) are pinned; on a bpffs.
    pub pin_dir: PathBuf,
    /// Where the daemon keeps what must survive a reboot.
    pub state_dir: PathBuf,
}

/// The table `[dataplane]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataplane {
    /// The interfaces that packets for the virtual addresses arrive on, beside those that these addresses are on;
    /// empty: those of the VRRP instances.
    pub interfaces: Vec<String>,
    /// How the program is attached.
    pub xdp_mode: XdpMode,
    /// When the program is attached.
    pub attach: Attach,
    /// How many connections the flow table is made for.
    pub flow_table_size: u32,
    /// Whether it has their addresses and ports.
    pub flow_names: bool,
    /// For how long it remembers them.
    pub flow_timeouts: FlowTimeouts,
    /// Whether any TCP segment of a connection that nobody remembers opens one: IPVS's `sloppy_tcp`.
    pub sloppy_tcp: bool,
    /// Whether connections end whose real server is down: IPVS's `expire_nodest_conn`. Otherwise they wait for it.
    pub expire_nodest_conn: bool,
    /// Who may use the virtual services.
    pub access: AccessLists,
}

/// For how long silent connections are remembered: Keepalived's `lvs_timeouts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTimeouts {
    /// TCP, established.
    pub tcp: Duration,
    /// TCP, closed by the client.
    pub tcpfin: Duration,
    /// UDP.
    pub udp: Duration,
}

impl FlowTimeouts {
    /// Those of IPVS (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, `ip_vs_proto_udp.c`).
    pub const IPVS: Self = Self {
        tcp: Duration::from_mins(15),
        tcpfin: Duration::from_mins(2),
        udp: Duration::from_mins(5),
    };
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

#[cfg(test)]
mod tests {
    use super::Configuration;
    use crate::config;

    fn parse(text: &str) -> Configuration {
        config::parse(text)
            .expect("the configuration is valid")
            .configuration
    }

    fn instance(identifier: u8, address: &str) -> String {
        format!(
            "[[vrrp_instance]]\nname = \"VI_{identifier}\"\ninterface = \"eth0\"\n\
             virtual_router_id = {identifier}\nvirtual_ipaddress = [\"{address}/24\"]\n"
        )
    }

    fn service(address: &str) -> String {
        format!(
            "[[virtual_server]]\naddress = \"{address}\"\nport = 80\n\
             [[virtual_server.real_server]]\naddress = \"10.0.0.11\"\n"
        )
    }

    #[test]
    fn a_removed_virtual_router_keeps_its_services_while_it_departs() {
        let stays = instance(1, "10.0.0.3");
        let goes = instance(2, "10.0.0.4");
        let previous = parse(&format!(
            "{stays}{goes}{}{}",
            service("10.0.0.3"),
            service("10.0.0.4")
        ));
        let next = parse(&format!("{stays}{}", service("10.0.0.3")));
        let both = next.with_departing(&previous).expect("one departs");
        let names: Vec<_> = both
            .vrrp_instances
            .iter()
            .map(|instance| instance.name.as_str())
            .collect();
        assert_eq!(names, ["VI_2", "VI_1"]);
        let addresses: Vec<_> = both
            .virtual_services
            .iter()
            .map(|service| service.address.ip.to_string())
            .collect();
        assert_eq!(addresses, ["10.0.0.3", "10.0.0.4"]);
    }

    #[test]
    fn an_address_under_a_new_identifier_is_guarded_by_the_old_lease_until_that_is_given_up() {
        let previous = parse(&format!("{}{}", instance(1, "10.0.0.3"), service("10.0.0.3")));
        let next = parse(&format!("{}{}", instance(2, "10.0.0.3"), service("10.0.0.3")));
        let both = next.with_departing(&previous).expect("one departs");
        let guard = both.instance_of("10.0.0.3".parse().expect("an address"));
        assert_eq!(guard.map(|instance| instance.virtual_router_id.get()), Some(1));
        assert_eq!(both.virtual_services.len(), 1);
    }

    #[test]
    fn an_identifier_may_be_used_once_in_each_family() {
        let previous = parse(&instance(1, "10.0.0.3"));
        let mut next = previous.clone();
        let mut of_ipv6 = previous.vrrp_instances[0].clone();
        of_ipv6.virtual_addresses[0].address = "fd00::3/64".parse().expect("an address");
        assert_ne!(of_ipv6.router_name(), previous.vrrp_instances[0].router_name());
        next.vrrp_instances = vec![of_ipv6];
        let both = next.with_departing(&previous).expect("that of IPv4 departs");
        assert_eq!(both.vrrp_instances.len(), 2);
    }

    #[test]
    fn the_program_belongs_where_addresses_are() {
        let elsewhere = "[[vrrp_instance]]\nname = \"VI_1\"\ninterface = \"eth2\"\nvirtual_router_id = 1\n\
                         virtual_ipaddress = [\"10.0.0.3/24\", { address = \"10.1.0.3/24\", dev = \"eth1\" }]\n";
        assert_eq!(parse(elsewhere).interfaces(), ["eth1", "eth2"]);
        let none_here = elsewhere.replace("\"10.0.0.3/24\", ", "");
        assert_eq!(parse(&none_here).interfaces(), ["eth1", "eth2"]);
        // Whoever says where packets arrive may leave an instance's interface out, but not an address's.
        for (text, interfaces) in [
            (elsewhere, ["eth0", "eth1", "eth2"].as_slice()),
            (&none_here, &["eth0", "eth1"]),
        ] {
            let named = parse(&format!("dataplane.interfaces = [\"eth0\"]\n{text}"));
            assert_eq!(named.interfaces(), interfaces);
        }
    }

    #[test]
    fn nothing_departs_with_what_only_changes() {
        let previous = parse(&format!("{}{}", instance(1, "10.0.0.3"), service("10.0.0.3")));
        let next = parse(&instance(1, "10.0.0.4"));
        assert_eq!(next.with_departing(&previous), None);
    }
}
