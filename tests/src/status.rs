//! What `lbd status --json` says, read as its users' scripts read it.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

/// One answer.
#[derive(Clone, Debug)]
pub struct Status(pub Value);

impl Status {
    /// The state of the virtual router `VI_1`: `init`, `backup`, `master` or `fault`.
    #[must_use]
    pub fn state(&self) -> &str {
        self.0["vrrp_instances"][0]["state"].as_str().unwrap_or_default()
    }

    /// Whether this node is the master.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.state() == "master"
    }

    /// Whether this node is a backup.
    #[must_use]
    pub fn is_backup(&self) -> bool {
        self.state() == "backup"
    }

    /// The master's address, as this node knows it.
    #[must_use]
    pub fn master_address(&self) -> Option<IpAddr> {
        self.0["vrrp_instances"][0]["master_address"]
            .as_str()?
            .parse()
            .ok()
    }

    /// How often the virtual router has changed its state.
    #[must_use]
    pub fn transitions(&self) -> Option<u64> {
        self.0["vrrp_instances"][0]["transitions"].as_u64()
    }

    /// The entry of the real server `server` in the service `protocol` at `service`.
    #[must_use]
    pub fn real_server(&self, protocol: &str, service: SocketAddr, server: IpAddr) -> Option<&Value> {
        let services = self.0["virtual_servers"].as_array()?;
        let service = services.iter().find(|entry| {
            entry["protocol"] == protocol
                && entry["port"] == service.port()
                && entry["address"] == service.ip().to_string()
        })?;
        let servers = service["real_servers"].as_array()?;
        servers
            .iter()
            .find(|entry| entry["address"] == server.to_string())
    }

    /// The state of that real server: `up`, `down`, `drained` or `unresolved`; empty when there is no such server.
    #[must_use]
    pub fn real_server_state(&self, protocol: &str, service: SocketAddr, server: IpAddr) -> &str {
        self.real_server(protocol, service, server)
            .and_then(|entry| entry["state"].as_str())
            .unwrap_or_default()
    }

    /// Whether every real server of every service is up.
    #[must_use]
    pub fn all_up(&self) -> bool {
        let services = self.0["virtual_servers"].as_array();
        services.is_some_and(|services| {
            !services.is_empty()
                && services
                    .iter()
                    .flat_map(|service| service["real_servers"].as_array().into_iter().flatten())
                    .all(|server| server["state"] == "up")
        })
    }
}
