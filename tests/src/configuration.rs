//! What the lab writes into `lbd.toml` and `keepalived.conf`: the same facts in two languages.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::{ECHO, Lab, VIP, VIP6};

/// The facts of one director's configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The VRRP version, 2 or 3.
    pub version: u8,
    /// The priority.
    pub priority: u8,
    /// The advertisement interval in milliseconds.
    pub advert_int: u64,
    /// The password of VRRP version 2.
    pub auth_pass: Option<String>,
    /// Whether a master of lower priority is left alone.
    pub nopreempt: bool,
    /// `on_master` or `always`.
    pub attach: &'static str,
    /// The virtual services.
    pub services: Vec<Service>,
}

/// A virtual service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where clients find it.
    pub address: SocketAddr,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Who serves it.
    pub real_servers: Vec<Real>,
    /// Another port for the health check to connect to.
    pub check_port: Option<u16>,
}

/// A real server of a service.
#[derive(Clone, Debug)]
pub struct Real {
    /// Its address.
    pub address: IpAddr,
    /// Its weight.
    pub weight: u32,
}

impl Configuration {
    /// VRRP version 3 at ten advertisements a second; HTTP with weights 3:2:1, and echo by UDP and TCP, over the
    /// three real servers of `lab`.
    #[must_use]
    pub fn new(lab: &Lab, priority: u8) -> Self {
        let reals = |weights: [u32; 3]| {
            let servers = lab.real_servers.iter().zip(weights);
            servers
                .map(|(server, weight)| Real {
                    address: server.node.address.into(),
                    weight,
                })
                .collect()
        };
        let service = |port, protocol, weights| Service {
            address: (VIP, port).into(),
            protocol,
            real_servers: reals(weights),
            check_port: (protocol == "udp").then_some(ECHO),
        };
        Self {
            version: 3,
            priority,
            advert_int: 100,
            auth_pass: None,
            nopreempt: false,
            attach: "on_master",
            services: vec![
                service(80, "tcp", [3, 2, 1]),
                service(ECHO, "tcp", [1, 1, 1]),
                service(ECHO, "udp", [1, 1, 1]),
            ],
        }
    }

    /// VRRP version 2 with one advertisement a second and a password: what most Keepalived pairs run.
    #[must_use]
    pub fn classic(lab: &Lab, priority: u8) -> Self {
        Self {
            version: 2,
            advert_int: 1000,
            auth_pass: Some("secret".to_owned()),
            ..Self::new(lab, priority)
        }
    }

    /// Adds the services of IPv6 on [`VIP6`].
    #[must_use]
    pub fn with_ipv6(mut self, lab: &Lab) -> Self {
        for (port, protocol, weights) in [(80, "tcp", [3, 2, 1]), (ECHO, "udp", [1, 1, 1])] {
            self.services.push(Service {
                address: (VIP6, port).into(),
                protocol,
                real_servers: lab
                    .real_servers
                    .iter()
                    .zip(weights)
                    .map(|(server, weight)| Real {
                        address: server.node.address6.into(),
                        weight,
                    })
                    .collect(),
                check_port: (protocol == "udp").then_some(ECHO),
            });
        }
        self
    }

    /// The same with other weights for the HTTP services.
    #[must_use]
    pub fn with_weights(mut self, weights: [u32; 3]) -> Self {
        for service in self
            .services
            .iter_mut()
            .filter(|service| service.address.port() == 80)
        {
            for (real, weight) in service.real_servers.iter_mut().zip(weights) {
                real.weight = weight;
            }
        }
        self
    }

    /// As `lbd.toml`, for a director that keeps its things in `directory`.
    #[must_use]
    pub fn to_toml(&self, router_id: &str, directory: &Path) -> String {
        let mut text = format!(
            "[node]\n\
             router_id = \"{router_id}\"\n\
             control_socket = \"{directory}/lbd.sock\"\n\
             pin_dir = \"{directory}/pins\"\n\
             state_dir = \"{directory}/state\"\n\
             \n\
             [dataplane]\n\
             interfaces = [\"eth0\"]\n\
             xdp_mode = \"native\"\n\
             attach = \"{attach}\"\n\
             flow_table_size = 65536\n\
             \n\
             [[vrrp_instance]]\n\
             name = \"VI_1\"\n\
             interface = \"eth0\"\n\
             virtual_router_id = 51\n\
             version = {version}\n\
             priority = {priority}\n\
             advert_int = \"{advert_int}ms\"\n\
             nopreempt = {nopreempt}\n\
             virtual_ipaddress = [\"{VIP}/24\"]\n",
            directory = directory.display(),
            attach = self.attach,
            version = self.version,
            priority = self.priority,
            advert_int = self.advert_int,
            nopreempt = self.nopreempt,
        );
        if let Some(password) = &self.auth_pass {
            write_line(
                &mut text,
                format_args!("authentication = {{ auth_type = \"pass\", auth_pass = \"{password}\" }}"),
            );
        }
        for service in &self.services {
            let check_port = service
                .check_port
                .map(|port| format!("connect_port = {port}, "))
                .unwrap_or_default();
            write_line(
                &mut text,
                format_args!(
                    "\n[[virtual_server]]\n\
                     address = \"{}\"\n\
                     port = {}\n\
                     protocol = \"{}\"\n\
                     lb_algo = \"wrr\"\n\
                     lb_kind = \"dr\"\n\
                     delay_loop = \"300ms\"",
                    service.address.ip(),
                    service.address.port(),
                    service.protocol,
                ),
            );
            for real in &service.real_servers {
                write_line(
                    &mut text,
                    format_args!(
                        "\n[[virtual_server.real_server]]\n\
                         address = \"{}\"\n\
                         weight = {}\n\
                         tcp_check = {{ {check_port}connect_timeout = \"300ms\", retry = 1, delay_before_retry = \"100ms\" }}",
                        real.address, real.weight,
                    ),
                );
            }
        }
        text
    }

    /// As `keepalived.conf`: the VRRP part.
    #[must_use]
    pub fn to_keepalived(&self, router_id: &str) -> String {
        let seconds = std::time::Duration::from_millis(self.advert_int).as_secs_f64();
        let authentication = self.auth_pass.as_ref().map_or_else(String::new, |password| {
            format!("    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}\n")
        });
        format!(
            "global_defs {{\n\
             \x20   router_id {router_id}\n\
             }}\n\
             vrrp_instance VI_1 {{\n\
             \x20   state BACKUP\n\
             \x20   interface eth0\n\
             \x20   virtual_router_id 51\n\
             \x20   version {version}\n\
             \x20   priority {priority}\n\
             \x20   advert_int {seconds}\n\
             {nopreempt}{authentication}\
             \x20   virtual_ipaddress {{\n\
             \x20       {VIP}/24\n\
             \x20   }}\n\
             }}\n",
            version = self.version,
            priority = self.priority,
            nopreempt = if self.nopreempt { "    nopreempt\n" } else { "" },
        )
    }
}

/// Adds a line to a string, which can't fail.
fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes what is written to it");
}
