//! Whole configurations, and the diagnostics of broken ones as people see them.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Attach, InitialState, Protocol, Scheduler, Version, XdpMode};

/// The example of the design, and of the README.
const EXAMPLE: &str = r#"
[node]
router_id = "lb1"

[dataplane]
interfaces = ["eth0"]        # where packets for the VIPs arrive; default: the interfaces of the vrrp_instances
xdp_mode = "auto"            # auto (native, falling back to generic with a warning) | native | generic
attach = "on_master"         # on_master | always (pre-attached and idle on backups: for NICs whose link flaps on attach)
flow_table_size = 1048576

[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
version = 2                  # 2 | 3
state = "backup"             # initial state only, as in Keepalived
priority = 150
advert_int = "1s"            # v3: down to 10ms
nopreempt = false
authentication = { auth_type = "pass", auth_pass = "1111" }     # v2 only
virtual_ipaddress = ["10.0.0.3/24", { address = "10.0.0.4/32", dev = "eth0", label = "eth0:1" }]

[[virtual_server]]
address = "10.0.0.3"
port = 80
protocol = "tcp"
lb_algo = "wrr"
lb_kind = "dr"
delay_loop = "6s"            # interval between health checks

[[virtual_server.real_server]]
address = "10.0.0.11"
weight = 3
tcp_check = { connect_timeout = "3s", retry = 3, delay_before_retry = "3s" }
"#;

#[test]
fn the_example_of_the_design_parses() {
    let loaded = parse(EXAMPLE).expect("the example is right");
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.configuration.interfaces(), ["eth0"]);
}
