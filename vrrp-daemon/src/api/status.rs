//! The answer to `lbd status`, in the shape of its JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Problem, Timestamp};

/// What one node is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The name of the node: the configured `router_id`, or the host's name.
    pub node: String,
    /// The version of the daemon.
    pub version: String,
    /// How long the daemon has been running, in seconds.
    pub uptime_seconds: f64,
    /// The virtual routers, in the order of the configuration.
    pub vrrp_instances: Vec<InstanceStatus>,
    /// The XDP program and its tables.
    pub dataplane: DataplaneStatus,
    /// The virtual services, in the order of the configuration.
    pub virtual_servers: Vec<VirtualServerStatus>,
    /// The configuration in force.
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// What the node does not know of its real servers, and leaves a master that is well alone for; nothing once it
    /// does.
    #[serde(default)]
    pub cold: Option<ColdStatus>,
    /// What an operator should know now.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// What a node waits for that has just begun, or whose link was away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdStatus {
    /// How many health checks have had no outcome.
    pub checks: usize,
    /// Of how many real servers the link-layer address is not known.
    pub neighbours: usize,
    /// The interfaces that real servers were reached by and that have no link.
    pub links: Vec<String>,
    /// When it is over in any case; unknown while an interface has no link.
    pub until: Option<Timestamp>,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file that it was read from, and that a reload reads.
    pub path: String,
    /// When it was read.
    pub loaded_at: Timestamp,
    /// The last reload, if that was refused: the file is not what is in force.
    pub refused_reload: Option<RefusedReload>,
}

/// A reload that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReload {
    /// When.
    pub at: Timestamp,
    /// Why, for a person; perhaps several lines.
    pub message: String,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// The configured name.
    pub name: String,
    /// The interface that advertisements are sent and heard on.
    pub interface: String,
    /// The identifier (VRID).
    pub virtual_router_id: u8,
    /// The version of the protocol, 2 or 3.
    pub version: u8,
    /// The state of the election on this node.
    pub state: InstanceState,
    /// The configured priority.
    pub priority: u8,
    /// The priority that the node takes part in the election with now.
    pub effective_priority: u8,
    /// The primary address of the master: this node's own while it is master, unknown before any was heard.
    pub master_address: Option<IpAddr>,
    /// The virtual addresses, in the order that they are advertised in.
    pub virtual_addresses: Vec<IpAddr>,
    /// How often the state has changed since the daemon started.
    pub transitions: u64,
    /// When it last changed.
    pub last_transition: Option<Timestamp>,
    /// What keeps it out of the election, for a person: in `init` and in `fault`.
    #[serde(default)]
    pub reason: Option<String>,
    /// The configured interval between two advertisements, in seconds.
    #[serde(default)]
    pub advert_interval_seconds: f64,
    /// Whether it takes over from a living master of lower priority.
    #[serde(default)]
    pub preempt: bool,
    /// The virtual addresses, with how they are added.
    #[serde(default)]
    pub addresses: Vec<AddressStatus>,
    /// The advertisements that it has sent and heard since the daemon started.
    #[serde(default)]
    pub advertisements: AdvertisementCounts,
}

/// A virtual address, as the master has it on an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatus {
    /// The address.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix_length: u8,
    /// The interface that gets it.
    pub device: String,
    /// Its label, if one is configured.
    pub label: Option<String>,
}

/// How many advertisements were sent and heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertisementCounts {
    /// Those that have left this node.
    pub sent: u64,
    /// Those that arrived whole, whether they counted or not.
    pub received: u64,
    /// Those that arrived and did not count: malformed, or not as they are configured here.
    pub refused: u64,
}

/// The state of a virtual router on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Not yet in the election: something has stood in the way since the start.
    Init,
    /// Listens to a master, or for one.
    Backup,
    /// Has the virtual addresses.
    Master,
    /// Out of the election: something stands in the way that did not before.
    Fault,
}

/// The XDP program and its tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneStatus {
    /// The interfaces that the program is for, attached or not.
    pub interfaces: Vec<InterfaceStatus>,
    /// How many connections the flow table remembers: those that have shown more than one packet, that the client has
    /// not closed, and that have not timed out.
    pub flows: u64,
    /// How many it is configured to have room for.
    pub flow_table_size: u32,
    /// How the program is to be attached, as configured.
    #[serde(default)]
    pub xdp_mode: String,
    /// When the program is to be attached, as configured.
    #[serde(default)]
    pub attach: String,
    /// How many packets met which end since the maps were made, by the name of the verdict; without zeros.
    #[serde(default)]
    pub verdicts: BTreeMap<String, u64>,
    /// How many packets were lost after the program had sent them off, since the daemon started.
    #[serde(default)]
    pub packets_lost: u64,
}

/// The XDP program on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// The name of the interface.
    pub name: String,
    /// Whether the program is attached now.
    pub attached: bool,
    /// Where in the receive path it runs, while attached.
    pub mode: Option<AttachedMode>,
    /// The kernel's identifier of the program (as in `bpftool prog`), while attached.
    pub program_id: Option<u32>,
}

/// Where in the receive path the XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// In the kernel's generic receive path.
    Generic,
}

/// One virtual service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualServerStatus {
    /// The virtual address.
    pub address: IpAddr,
    /// The port; the first one if there are several, and 0 if that is every port.
    pub port: u16,
    /// The last port, if there are several.
    #[serde(default)]
    pub last_port: Option<u16>,
    /// The virtual_server_group that has the addresses, if one has.
    #[serde(default)]
    pub group: Option<String>,
    /// The further addresses of the group, `10.0.0.4:80`: the first one is the lowest of all.
    #[serde(default)]
    pub further_addresses: Vec<String>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// IPVS's name of the scheduler.
    pub scheduler: String,
    /// Whether each datagram is scheduled for itself: one-packet scheduling.
    #[serde(default)]
    pub ops: bool,
    /// How packets reach the real servers: `dr` or `tun`; `mixed` if some in one way and some in the other.
    pub forward: String,
    /// Whether any real server can take a new connection.
    pub state: VirtualServerState,
    /// How far a share of the new connections is from what the effective weights say, at most and in proportion (0.5 is
    /// half as much, or half as much again): 0 where no weight is rounded.
    #[serde(default)]
    pub weight_error: f64,
    /// How many new connections a second are remembered; null for any number.
    #[serde(default)]
    pub new_flow_limit: Option<u32>,
    /// Why new connections are placed by a hash and not remembered; null while they are.
    #[serde(default)]
    pub episode: Option<EpisodeStatus>,
    /// Connections scheduled since the service was configured.
    pub connections: u64,
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes forwarded, from the IP header on, as IPVS counts them.
    pub bytes: u64,
    /// The real servers, in the order of the configuration.
    pub real_servers: Vec<RealServerStatus>,
}

/// That new connections of a virtual service are too many to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeStatus {
    /// Why.
    pub cause: EpisodeCause,
    /// Since when.
    pub since: Timestamp,
    /// For how many seconds they are not remembered unless there are too many again.
    pub seconds_left: f64,
}

/// Why new connections are not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpisodeCause {
    /// There are more than `new_flow_limit` a second.
    NewFlowLimit,
    /// The table of connections has had no place for one.
    TableFull,
}

/// Whether a virtual service is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VirtualServerState {
    /// Some real server takes new connections.
    Up,
    /// None does.
    Down,
}

/// One real server of one virtual service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RealServerStatus {
    /// Its address.
    pub address: IpAddr,
    /// Its port; with direct routing the service's, or 0 if that has several.
    pub port: u16,
    /// The configured weight.
    pub weight: u16,
    /// The weight in the schedule now: 0 unless the state is [`RealServerState::Up`].
    pub effective_weight: u16,
    /// What its turns in the schedule amount to beside the others': the effective weight, unless that is rounded
    /// because the schedule would be too long.
    #[serde(default)]
    pub scheduled_weight: f64,
    /// Whether it takes connections, and if not, why.
    pub state: RealServerState,
    /// How packets reach it: `dr`, `tun`, or `local` if it is the director itself.
    #[serde(default)]
    pub forward: String,
    /// Its MAC address (`02:00:00:00:00:01`), once resolved; none if it is the director itself.
    pub mac: Option<String>,
    /// Connections that are established: they have shown more than one packet, the client has not closed them, and they
    /// have not timed out. IPVS's `ActiveConn`, and established UDP as well.
    pub active_connections: u64,
    /// Connections that have shown one packet only, or that the client has closed, and that are remembered still:
    /// IPVS's `InActConn`.
    #[serde(default)]
    pub inactive_connections: u64,
    /// Connections scheduled to it since it was configured.
    pub connections: u64,
    /// Packets forwarded to it.
    pub packets: u64,
    /// Bytes forwarded to it, from the IP header on.
    pub bytes: u64,
    /// The outcome of the last health check; none before the first, and without a check.
    pub last_check: Option<LastCheck>,
    /// Its health checks: it is up while all of them pass.
    #[serde(default)]
    pub checks: Vec<CheckStatus>,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// The name of its table in the configuration: `tcp_check`.
    pub kind: String,
    /// The address and port that are tried.
    pub target: SocketAddr,
    /// How long an attempt may take, in seconds.
    pub connect_timeout_seconds: f64,
    /// The interval between two regular checks, in seconds.
    pub delay_loop_seconds: f64,
    /// How many more attempts follow a failed one before the server is down.
    pub retry: u32,
    /// The pause before each of them, in seconds.
    pub delay_before_retry_seconds: f64,
    /// How many successes in a row bring a server that is down back up.
    pub rise: u32,
    /// The outcome of the latest one, if one has ended.
    pub last_check: Option<LastCheck>,
}

/// Whether a real server takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RealServerState {
    /// Takes new connections.
    Up,
    /// Failed its health check, or has not passed it yet.
    Down,
    /// Has weight 0: known connections go on, new ones go elsewhere.
    Drained,
    /// Has no known MAC address (yet): nothing can be sent to it.
    Unresolved,
}

/// The outcome of a health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// Whether it passed.
    pub ok: bool,
    /// What happened, for a person.
    pub message: String,
    /// When.
    pub at: Timestamp,
}
