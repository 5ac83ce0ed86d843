//! What `lbd status --json` says, read as its users' scripts read it.
//!
//! A key that is missing, or is of another kind than promised, is a broken promise: reading it panics with its name.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::path::{Step, steps};

/// One answer.
#[derive(Clone, Debug)]
pub struct Status(pub Value);

/// An entry of `problems`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem, e.g. `two_masters`.
    pub code: String,
    /// What has it: the name of an instance, an interface, a service.
    pub subject: String,
    /// The sentence for people.
    pub message: String,
}

impl Status {
    /// What stands at `path`, as in `vrrp_instances[0].state`.
    ///
    /// # Panics
    /// Nothing does.
    #[must_use]
    pub fn at(&self, path: &str) -> &Value {
        let found = steps(path).iter().try_fold(&self.0, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        });
        found.unwrap_or_else(|| panic!("the status has no {path}: {:#}", self.0))
    }

    /// The string at `path`.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        let value = self.at(path);
        let text = value.as_str();
        text.unwrap_or_else(|| panic!("{path} of the status is no string: {value}"))
    }

    /// The natural number at `path`.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn number(&self, path: &str) -> u64 {
        let value = self.at(path);
        let number = value.as_u64();
        number.unwrap_or_else(|| panic!("{path} of the status is no natural number: {value}"))
    }

    /// The elements of the array at `path`.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn list(&self, path: &str) -> &[Value] {
        let value = self.at(path);
        let list = value.as_array();
        list.unwrap_or_else(|| panic!("{path} of the status is no array: {value}"))
    }

    /// The state of the first virtual router: `init`, `backup`, `master` or `fault`.
    #[must_use]
    pub fn state(&self) -> &str {
        self.text("vrrp_instances[0].state")
    }

    /// The state of the virtual router `name`.
    ///
    /// # Panics
    /// There is no such virtual router.
    #[must_use]
    pub fn state_of(&self, name: &str) -> &str {
        let instances = self.list("vrrp_instances");
        let position = instances.iter().position(|instance| instance["name"] == name);
        let position =
            position.unwrap_or_else(|| panic!("the status has no virtual router {name}: {:#}", self.0));
        self.text(&format!("vrrp_instances[{position}].state"))
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

    /// The master's address, as this node knows it, if it does.
    ///
    /// # Panics
    /// What is there is no address.
    #[must_use]
    pub fn master_address(&self) -> Option<IpAddr> {
        let path = "vrrp_instances[0].master_address";
        if self.at(path).is_null() {
            return None;
        }
        let address = self.text(path).parse();
        Some(address.unwrap_or_else(|error| panic!("{path} of the status: {error}")))
    }

    /// How often the first virtual router has changed its state.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.number("vrrp_instances[0].transitions")
    }

    /// The entry of the real server `server` in the service `protocol` at `service`, if there is one.
    #[must_use]
    pub fn real_server(&self, protocol: &str, service: SocketAddr, server: IpAddr) -> Option<&Value> {
        let position = (0..self.list("virtual_servers").len()).find(|index| {
            let of = |key: &str| format!("virtual_servers[{index}].{key}");
            self.text(&of("protocol")) == protocol
                && self.number(&of("port")) == u64::from(service.port())
                && self.text(&of("address")) == service.ip().to_string()
        })?;
        let servers = format!("virtual_servers[{position}].real_servers");
        let position = (0..self.list(&servers).len())
            .find(|index| self.text(&format!("{servers}[{index}].address")) == server.to_string())?;
        self.list(&servers).get(position)
    }

    /// The state of that real server: `up`, `down`, `drained` or `unresolved`.
    ///
    /// # Panics
    /// There is no such server.
    #[must_use]
    pub fn real_server_state(&self, protocol: &str, service: SocketAddr, server: IpAddr) -> &str {
        let entry = self.real_server(protocol, service, server);
        let state = entry.and_then(|entry| entry["state"].as_str());
        state.unwrap_or_else(|| {
            panic!(
                "the status has no state of {server} in {protocol} {service}: {:#}",
                self.0
            )
        })
    }

    /// Whether there are services, and every real server of every one is up.
    #[must_use]
    pub fn all_up(&self) -> bool {
        let services = self.list("virtual_servers").len();
        let is_up = |service| {
            let servers = format!("virtual_servers[{service}].real_servers");
            (0..self.list(&servers).len())
                .all(|server| self.text(&format!("{servers}[{server}].state")) == "up")
        };
        services > 0 && (0..services).all(is_up)
    }

    /// What is wrong, as the node sees it.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let problem = |index| {
            let of = |key: &str| self.text(&format!("problems[{index}].{key}")).to_owned();
            Problem {
                code: of("code"),
                subject: of("subject"),
                message: of("message"),
            }
        };
        (0..self.list("problems").len()).map(problem).collect()
    }

    /// Whether a problem of this kind stands.
    #[must_use]
    pub fn has_problem(&self, code: &str) -> bool {
        self.problems().iter().any(|problem| problem.code == code)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Status;

    fn example() -> Status {
        Status(json!({
            "vrrp_instances": [{ "name": "VI_1", "state": "master", "master_address": null }],
            "virtual_servers": [{
                "protocol": "tcp", "address": "10.0.0.100", "port": 80,
                "real_servers": [{ "address": "10.0.0.11", "state": "up" }],
            }],
        }))
    }

    #[test]
    fn what_is_there_is_read() {
        let status = example();
        let server = "10.0.0.11".parse().unwrap();
        assert!(status.is_master() && status.all_up());
        assert_eq!(status.state_of("VI_1"), "master");
        assert_eq!(status.master_address(), None);
        assert_eq!(
            status.real_server_state("tcp", ([10, 0, 0, 100], 80).into(), server),
            "up"
        );
        assert!(
            status
                .real_server("udp", ([10, 0, 0, 100], 80).into(), server)
                .is_none()
        );
    }

    #[test]
    #[should_panic(expected = "the status has no vrrp_instances[0].transitions")]
    fn what_is_missing_is_named() {
        let _transitions = example().transitions();
    }

    #[test]
    #[should_panic(expected = "the status has no problems")]
    fn an_array_that_is_missing_is_not_an_empty_one() {
        let _none = example().has_problem("two_masters");
    }

    #[test]
    #[should_panic(expected = "no state of 10.0.0.12 in tcp 10.0.0.100:80")]
    fn a_server_that_is_missing_is_named() {
        let server = "10.0.0.12".parse().unwrap();
        let _state = example().real_server_state("tcp", ([10, 0, 0, 100], 80).into(), server);
    }
}
