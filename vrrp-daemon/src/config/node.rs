//! The tables `[node]` and `[dataplane]`.

use std::collections::BTreeSet;

use ipnet::IpNet;
use lb_common::maps::DEFAULT_FLOW_TABLE_SIZE;
use toml::Spanned;

use crate::model::{AccessLists, Attach, Dataplane, FlowTimeouts, Node, XdpMode};

use super::diagnostic::Diagnostic;
use super::section::{Field, Problems, Reported};
use super::table::{Optional, TableCheck, default, optional, table};
use super::value::{
    AbsolutePath, ConnectionTimeout, FlowTableSize, InterfaceName, List, Name, Prefix, SocketPath,
};

/// Where the daemon listens unless configured otherwise.
pub(super) const CONTROL_SOCKET: &str = "/run/lbd/lbd.sock";

table! {
    /// The node itself.
    struct RawNode in "[node]" {
        /// The name of this node in status and logs; by default the host's name.
        router_id: Optional<Name> = optional(r#""lb1""#).shown(),
        /// Where the daemon listens for the commands `lbd status`, `lbd reload` and so on.
        control_socket: Field<SocketPath> = default(SocketPath(CONTROL_SOCKET.into())),
        /// Where BPF maps and links are pinned. Elsewhere than on a bpffs, the daemon mounts one there.
        pin_dir: Field<AbsolutePath> = default(AbsolutePath("/sys/fs/bpf/lbd".into())),
        /// Where the daemon keeps files of its own: SIGUSR1 has it write its status there, to status.json.
        state_dir: Field<AbsolutePath> = default(AbsolutePath("/var/lib/lbd".into())),
    }
}

impl TableCheck for RawNode {}

impl RawNode {
    /// What it means.
    pub(super) fn model(self) -> Result<Node, Reported> {
        Ok(Node {
            router_id: self.router_id?.map(|name| name.into_inner().0),
            control_socket: self.control_socket?.into_inner().0,
            pin_dir: self.pin_dir?.into_inner().0,
            state_dir: self.state_dir?.into_inner().0,
        })
    }
}

table! {
    /// The XDP program.
    struct RawDataplane in "[dataplane]" {
        /// The interfaces on which packets for the virtual addresses arrive, beside those that the addresses are on; by
        /// default those of the vrrp_instances.
        interfaces: Optional<List<InterfaceName>> = optional(r#"["eth0"]"#),
        /// Where the XDP program runs: "native" (in the driver), "generic" (any device, slower), or "auto": native if
        /// the driver can, else generic, with a warning.
        xdp_mode: Field<XdpMode> = default(XdpMode::Auto),
        /// When it is attached: "on_master", or "always", idle on backups, for NICs whose link flaps when it is
        /// attached. (At the start it is attached to each interface in any case, to know that it can be.)
        attach: Field<Attach> = default(Attach::OnMaster),
        /// How many connections are remembered, IPv4 and IPv6 together. The table has room to spare, so that none of
        /// these is refused.
        flow_table_size: Field<FlowTableSize> = default(FlowTableSize(DEFAULT_FLOW_TABLE_SIZE)),
        /// Whether their addresses and ports are remembered as well, for lists of them and for other directors: costs
        /// memory (24 bytes for each place), and a little time for each new connection.
        flow_names: Field<bool> = default(true),
        /// For how long silent connections are remembered. Without it, as IPVS does.
        lvs_timeouts: Optional<RawTimeouts> = optional(r#"{ tcp = "15m", tcpfin = "2m", udp = "5m" }"#),
        /// Whether TCP connections end at once whose real server is down: the next segment is answered with a reset.
        /// Otherwise they wait for it: segments are dropped until it is up again. (IPVS's default is false.)
        expire_nodest_conn: Field<bool> = default(true),
        /// Whether a TCP segment of a connection that this node does not know opens one, instead of being answered with
        /// a reset: for schedulers by a hash, which send it where another director had sent it.
        sloppy_tcp: Field<bool> = default(false),
        /// Whose packets reach no virtual server, not even those of open connections: addresses, or prefixes of
        /// networks. If several fit an address, the longest counts, here or in `allow`; what is in both is blocked.
        block: Optional<List<Prefix>> = optional(r#"["198.51.100.0/24", "2001:db8::/32"]"#),
        /// A file with more of them, one on each line; comments begin with `#` or `;`. A reload reads it again.
        block_file: Optional<AbsolutePath> = optional(r#""/etc/lbd/block""#),
        /// Who alone may begin connections; those that are open go on. Without it, everybody may.
        allow: Optional<List<Prefix>> = optional(r#"["10.0.0.0/8", "fd00::/8"]"#),
        /// A file with more of them, as `block_file`.
        allow_file: Optional<AbsolutePath> = optional(r#""/etc/lbd/allow""#),
    }
}

table! {
    /// For how long silent connections are remembered.
    struct RawTimeouts in "lvs_timeouts = {}" {
        /// TCP connections that are established, and SCTP's.
        tcp: Field<ConnectionTimeout> = default(ConnectionTimeout(FlowTimeouts::IPVS.tcp)),
        /// TCP connections that the client has closed, and SCTP's.
        tcpfin: Field<ConnectionTimeout> = default(ConnectionTimeout(FlowTimeouts::IPVS.tcpfin)),
        /// UDP: who sends datagrams from one port to another.
        udp: Field<ConnectionTimeout> = default(ConnectionTimeout(FlowTimeouts::IPVS.udp)),
    }
}

/// All prefixes of a list.
fn prefixes(list: Optional<List<Prefix>>) -> Result<BTreeSet<IpNet>, Reported> {
    let list = list?.map_or_else(Vec::new, |list| list.into_inner().0);
    let prefixes = list.into_iter();
    prefixes
        .map(|prefix| prefix.map(|prefix| prefix.into_inner().0))
        .collect()
}

impl TableCheck for RawTimeouts {}

impl RawTimeouts {
    /// What it means.
    fn model(self) -> Result<FlowTimeouts, Reported> {
        Ok(FlowTimeouts {
            tcp: self.tcp?.into_inner().0,
            tcpfin: self.tcpfin?.into_inner().0,
            udp: self.udp?.into_inner().0,
        })
    }
}

impl TableCheck for RawDataplane {
    fn check(&mut self, problems: &mut Problems) {
        if let (Ok(Some(allow)), Ok(None)) = (&self.allow, &self.allow_file)
            && allow.get_ref().0.is_empty()
        {
            let message = "nobody could begin a connection";
            let diagnostic = Diagnostic::error(allow.span(), message, "an empty list")
                .help("write who may, or remove the key to let everybody");
            self.allow = Err(problems.report(diagnostic));
        }
    }
}

impl RawDataplane {
    /// The interfaces that are named and could be read.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &Spanned<InterfaceName>> {
        let named = self.interfaces.iter().flatten();
        named.flat_map(|list| list.get_ref().0.iter().flatten())
    }

    /// What it means.
    pub(super) fn model(self) -> Result<Dataplane, Reported> {
        let mut interfaces: Vec<String> = Vec::new();
        for interface in self.interfaces?.map_or_else(Vec::new, |list| list.into_inner().0) {
            let InterfaceName(interface) = interface?.into_inner();
            if !interfaces.contains(&interface) {
                interfaces.push(interface);
            }
        }
        Ok(Dataplane {
            interfaces,
            xdp_mode: self.xdp_mode?.into_inner(),
            attach: self.attach?.into_inner(),
            flow_table_size: self.flow_table_size?.into_inner().0,
            flow_names: self.flow_names?.into_inner(),
            flow_timeouts: match self.lvs_timeouts? {
                Some(timeouts) => timeouts.into_inner().model()?,
                None => FlowTimeouts::IPVS,
            },
            sloppy_tcp: self.sloppy_tcp?.into_inner(),
            expire_nodest_conn: self.expire_nodest_conn?.into_inner(),
            access: AccessLists {
                block: prefixes(self.block)?,
                allow: prefixes(self.allow)?,
                block_file: self.block_file?.map(|path| path.into_inner().0),
                allow_file: self.allow_file?.map(|path| path.into_inner().0),
            },
        })
    }
}
