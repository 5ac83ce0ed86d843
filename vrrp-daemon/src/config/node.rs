//! The tables `[node]` and `[dataplane]`.

use toml::Spanned;

use crate::model::{Attach, Dataplane, Node, XdpMode};

use super::section::{Problems, Reported, Section, Value};
use super::value::{array, choice, device, integer, path, text};

/// Where the daemon listens unless configured otherwise.
pub(super) const CONTROL_SOCKET: &str = "/run/lbd/lbd.sock";
const PIN_DIR: &str = "/sys/fs/bpf/lbd";
const STATE_DIR: &str = "/var/lib/lbd";

/// How many connections a flow table may have room for: a bucket for each of a few CPUs at the least, and what the
/// kernel can allocate at the most (each takes about a hundred bytes).
const FLOW_TABLE_SIZES: std::ops::RangeInclusive<u32> = 1_024..=1 << 27;

/// The table `[node]` of a file that has none.
pub(super) fn default_node() -> Node {
    Node {
        router_id: None,
        control_socket: CONTROL_SOCKET.into(),
        pin_dir: PIN_DIR.into(),
        state_dir: STATE_DIR.into(),
    }
}

/// Reads `[node]`.
pub(super) fn node(value: &Value<'_>, problems: &mut Problems) -> Result<Node, Reported> {
    let mut section = Section::open(value, "node", "[node]", problems)?;
    let default = default_node();
    let router_id = section.optional("router_id", text);
    let control_socket = section.defaulted("control_socket", default.control_socket, path);
    let pin_dir = section.defaulted("pin_dir", default.pin_dir, path);
    let state_dir = section.defaulted("state_dir", default.state_dir, path);
    section.close();
    Ok(Node {
        router_id: router_id?.map(Spanned::into_inner),
        control_socket: control_socket?.into_inner(),
        pin_dir: pin_dir?.into_inner(),
        state_dir: state_dir?.into_inner(),
    })
}

/// The table `[dataplane]`, with the places of its interfaces.
pub(super) struct RawDataplane {
    pub(super) interfaces: Vec<Spanned<String>>,
    xdp_mode: XdpMode,
    attach: Attach,
    flow_table_size: u32,
}

impl Default for RawDataplane {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            xdp_mode: XdpMode::Auto,
            attach: Attach::OnMaster,
            flow_table_size: lb_common::maps::FLOWS4.capacity,
        }
    }
}

impl RawDataplane {
    /// Reads `[dataplane]`.
    pub(super) fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let mut section = Section::open(value, "dataplane", "[dataplane]", problems)?;
        let default = Self::default();
        let interfaces = section.defaulted("interfaces", Vec::new(), array(device));
        let xdp_mode = section.defaulted(
            "xdp_mode",
            default.xdp_mode,
            choice(
                "xdp_mode",
                &[
                    ("auto", XdpMode::Auto),
                    ("native", XdpMode::Native),
                    ("generic", XdpMode::Generic),
                ],
                &[],
            ),
        );
        let attach = section.defaulted(
            "attach",
            default.attach,
            choice(
                "attach",
                &[("on_master", Attach::OnMaster), ("always", Attach::Always)],
                &[],
            ),
        );
        let flow_table_size = section.defaulted(
            "flow_table_size",
            default.flow_table_size,
            integer(
                "flow_table_size",
                FLOW_TABLE_SIZES,
                "the kernel reserves about 100 bytes for each flow, when the daemon starts",
            ),
        );
        section.close();
        Ok(Self {
            interfaces: interfaces?.into_inner().into_iter().collect::<Result<_, _>>()?,
            xdp_mode: xdp_mode?.into_inner(),
            attach: attach?.into_inner(),
            flow_table_size: flow_table_size?.into_inner(),
        })
    }

    /// What it means.
    pub(super) fn model(&self) -> Dataplane {
        let mut interfaces: Vec<String> = Vec::new();
        for interface in &self.interfaces {
            if !interfaces.contains(interface.get_ref()) {
                interfaces.push(interface.get_ref().clone());
            }
        }
        Dataplane {
            interfaces,
            xdp_mode: self.xdp_mode,
            attach: self.attach,
            flow_table_size: self.flow_table_size,
        }
    }
}
