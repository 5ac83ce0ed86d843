//! What the lab writes into `lbd.toml`: the table itself, which a test edits where it differs from the usual.
//!
//! There is no second schema: whatever `lbd` reads, a test can set, and what it must not read as well.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use toml::{Table, Value};

use crate::path::{Step, steps};
use crate::{ECHO, Lab, VIP, VIP6};

/// One director's configuration, but for what belongs to its node alone (see [`Configuration::for_node`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration(pub Table);

impl Configuration {
    /// VRRP version 3 at ten advertisements a second; HTTP with weights 3:2:1:3:2:…, and echo by UDP and TCP, over
    /// the real servers of `lab`.
    #[must_use]
    pub fn new(lab: &Lab, priority: u8) -> Self {
        let service = |port, protocol, weights: [u32; 3]| {
            let addresses = lab.real_servers.iter().map(|server| server.node.address.into());
            virtual_server(
                (VIP, port).into(),
                protocol,
                addresses.zip(weights.into_iter().cycle()),
            )
        };
        let base = toml::toml! {
            [dataplane]
            interfaces = ["eth0"]
            xdp_mode = "native"
            attach = "on_master"
            flow_table_size = 65536

            [[vrrp_instance]]
            name = "VI_1"
            interface = "eth0"
            virtual_router_id = 51
            version = 3
            advert_int = "100ms"
            nopreempt = false
        };
        Self(base)
            .with("vrrp_instance[0].priority", priority)
            .with("vrrp_instance[0].virtual_ipaddress", vec![format!("{VIP}/24")])
            .with(
                "virtual_server",
                vec![
                    service(80, "tcp", [3, 2, 1]),
                    service(ECHO, "tcp", [1, 1, 1]),
                    service(ECHO, "udp", [1, 1, 1]),
                ],
            )
    }

    /// VRRP version 2 with one advertisement a second and a password: what most Keepalived pairs run.
    #[must_use]
    pub fn classic(lab: &Lab, priority: u8) -> Self {
        let authentication = toml::toml! { auth_type = "pass" auth_pass = "secret" };
        Self::new(lab, priority)
            .with("vrrp_instance[0].version", 2)
            .with("vrrp_instance[0].advert_int", "1s")
            .with("vrrp_instance[0].authentication", authentication)
    }

    /// Adds the services of IPv6 on [`VIP6`].
    #[must_use]
    pub fn with_ipv6(mut self, lab: &Lab) -> Self {
        for (port, protocol, weights) in [(80, "tcp", [3, 2, 1]), (ECHO, "udp", [1, 1, 1])] {
            let addresses = lab.real_servers.iter().map(|server| server.node.address6.into());
            let servers = addresses.zip(weights.into_iter().cycle());
            self.push(
                "virtual_server",
                virtual_server((VIP6, port).into(), protocol, servers),
            );
        }
        self
    }

    /// The same with other weights for the HTTP services.
    #[must_use]
    pub fn with_weights(mut self, weights: [u32; 3]) -> Self {
        for service in 0..self.length("virtual_server") {
            let service = format!("virtual_server[{service}]");
            if self.get(&format!("{service}.port")) == Some(&Value::Integer(80)) {
                for (server, weight) in weights.into_iter().enumerate() {
                    self.set(&format!("{service}.real_server[{server}].weight"), weight);
                }
            }
        }
        self
    }

    /// Sets the key at `path`, as in `vrrp_instance[0].priority`. Tables on the way there that are missing come to be,
    /// and so does the element after an array's last.
    ///
    /// # Panics
    /// Something on the way is neither a table nor an array, or an array is too short.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> &mut Self {
        let mut steps = steps(path).into_iter();
        let Some(Step::Key(first)) = steps.next() else {
            unreachable!("a path begins with a key");
        };
        let mut place = self.0.entry(first).or_insert_with(|| Value::Table(Table::new()));
        for step in steps {
            place = inside(place, &step, path);
        }
        *place = value.into();
        self
    }

    /// The same with the key at `path` set: [`Configuration::set`] for a chain.
    ///
    /// # Panics
    /// As [`Configuration::set`].
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        self.set(path, value);
        self
    }

    /// Appends to the array at `path`, which comes to be if it is missing.
    ///
    /// # Panics
    /// It is no array.
    pub fn push(&mut self, path: &str, value: impl Into<Value>) -> &mut Self {
        if self.get(path).is_none() {
            self.set(path, Value::Array(Vec::new()));
        }
        let length = self.length(path);
        self.set(&format!("{path}[{length}]"), value)
    }

    /// Removes the key at `path`, or the element of an array.
    ///
    /// # Panics
    /// There is none: the test has a mistake.
    pub fn remove(&mut self, path: &str) -> &mut Self {
        let mut steps = steps(path);
        let removed = match (steps.pop(), self.place(&steps)) {
            (Some(Step::Key(key)), None) if steps.is_empty() => self.0.remove(&key),
            (Some(Step::Key(key)), Some(Value::Table(table))) => table.remove(&key),
            (Some(Step::Index(index)), Some(Value::Array(array))) if index < array.len() => {
                Some(array.remove(index))
            }
            _ => None,
        };
        assert!(removed.is_some(), "the configuration has no {path}");
        self
    }

    /// The value that `steps` lead to, if there is one.
    fn place(&mut self, steps: &[Step]) -> Option<&mut Value> {
        let (Step::Key(first), rest) = steps.split_first()? else {
            return None;
        };
        let mut place = self.0.get_mut(first)?;
        for step in rest {
            place = match step {
                Step::Key(key) => place.get_mut(key)?,
                Step::Index(index) => place.get_mut(*index)?,
            };
        }
        Some(place)
    }

    /// The same without the key at `path`: [`Configuration::remove`] for a chain.
    ///
    /// # Panics
    /// As [`Configuration::remove`].
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.remove(path);
        self
    }

    /// What the key at `path` says, if it is there.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut steps = steps(path).into_iter();
        let Some(Step::Key(first)) = steps.next() else {
            return None;
        };
        steps.try_fold(self.0.get(&first)?, |place, step| match step {
            Step::Key(key) => place.get(key),
            Step::Index(index) => place.get(index),
        })
    }

    /// How many elements the array at `path` has; none if it isn't there.
    ///
    /// # Panics
    /// It is no array.
    #[must_use]
    pub fn length(&self, path: &str) -> usize {
        self.get(path).map_or(0, |value| {
            let array = value.as_array();
            array
                .unwrap_or_else(|| panic!("{path} is no array: {value}"))
                .len()
        })
    }

    /// The interval between two advertisements of the first virtual router.
    ///
    /// # Panics
    /// The configuration has none: `lbd` has a default, the lab hasn't.
    #[must_use]
    pub fn advert_int(&self) -> Duration {
        let text = self.get("vrrp_instance[0].advert_int").and_then(Value::as_str);
        let text = text.expect("vrrp_instance[0].advert_int is a string");
        humantime::parse_duration(text).expect("vrrp_instance[0].advert_int is a duration")
    }

    /// The priority of the first virtual router.
    ///
    /// # Panics
    /// The configuration has none.
    #[must_use]
    pub fn priority(&self) -> i64 {
        let priority = self.get("vrrp_instance[0].priority").and_then(Value::as_integer);
        priority.expect("vrrp_instance[0].priority is a number")
    }

    /// The same for the director called `router_id`, which keeps its things in `directory`: with the keys of `[node]`
    /// that the test hasn't set itself.
    #[must_use]
    pub fn for_node(&self, router_id: &str, directory: &Path) -> Self {
        let mut configuration = self.clone();
        let place = |name: &str| directory.join(name).display().to_string();
        for (key, value) in [
            ("node.router_id", router_id.to_owned()),
            ("node.control_socket", place("lbd.sock")),
            ("node.pin_dir", place("pins")),
            ("node.state_dir", place("state")),
        ] {
            if configuration.get(key).is_none() {
                configuration.set(key, value);
            }
        }
        configuration
    }

    /// As `lbd.toml`.
    ///
    /// # Panics
    /// Never: every table has a text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.0).expect("every table of TOML has a text")
    }
}

/// A virtual service at `address` over the `servers`, each with its weight and a quick check by TCP: of the service's
/// port, or of the responder's where the service speaks UDP.
#[must_use]
pub fn virtual_server(
    address: SocketAddr,
    protocol: &str,
    servers: impl IntoIterator<Item = (IpAddr, u32)>,
) -> Table {
    let mut tcp_check = toml::toml! { connect_timeout = "300ms" retry = 1 delay_before_retry = "100ms" };
    if protocol == "udp" {
        tcp_check.insert("connect_port".to_owned(), i64::from(ECHO).into());
    }
    let real_servers = servers.into_iter().map(|(address, weight)| {
        Table::from_iter([
            ("address".to_owned(), Value::from(address.to_string())),
            ("weight".to_owned(), weight.into()),
            ("tcp_check".to_owned(), tcp_check.clone().into()),
        ])
    });
    let mut service = toml::toml! { lb_algo = "wrr" lb_kind = "dr" delay_loop = "300ms" };
    service.insert("address".to_owned(), address.ip().to_string().into());
    service.insert("port".to_owned(), i64::from(address.port()).into());
    service.insert("protocol".to_owned(), protocol.into());
    service.insert("real_server".to_owned(), real_servers.collect::<Vec<_>>().into());
    service
}

/// What is one `step` inside `place`, which comes to be if it is missing; `path` is for the message.
fn inside<'value>(place: &'value mut Value, step: &Step, path: &str) -> &'value mut Value {
    match (place, step) {
        (Value::Table(table), Step::Key(key)) => table
            .entry(key.as_str())
            .or_insert_with(|| Value::Table(Table::new())),
        (Value::Array(array), Step::Index(index)) => {
            if *index == array.len() {
                array.push(Value::Table(Table::new()));
            }
            let length = array.len();
            array
                .get_mut(*index)
                .unwrap_or_else(|| panic!("{path}: there are {length} elements"))
        }
        (place, step) => panic!("{path}: {step} is not to be found in {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Configuration;

    fn example() -> Configuration {
        Configuration(toml::toml! {
            [[vrrp_instance]]
            priority = 100
        })
    }

    #[test]
    fn keys_are_set_added_and_removed() {
        let configuration = example()
            .with("vrrp_instance[0].priority", 150)
            .with("vrrp_instance[1].name", "VI_2")
            .with("node.router_id", "lb1");
        assert_eq!(configuration.priority(), 150);
        assert_eq!(configuration.length("vrrp_instance"), 2);
        assert_eq!(
            configuration.to_toml(),
            "[node]\nrouter_id = \"lb1\"\n\n[[vrrp_instance]]\npriority = 150\n\n[[vrrp_instance]]\nname = \"VI_2\"\n"
        );
        let configuration = configuration
            .without("vrrp_instance[1]")
            .without("node.router_id");
        assert_eq!(configuration.length("vrrp_instance"), 1);
        assert_eq!(configuration.get("node.router_id"), None);
    }

    #[test]
    #[should_panic(expected = "the configuration has no vrrp_instance[0].weight")]
    fn what_is_not_there_cannot_be_removed() {
        drop(example().without("vrrp_instance[0].weight"));
    }

    #[test]
    #[should_panic(expected = "vrrp_instance[4].priority: there are 1 elements")]
    fn arrays_grow_by_one() {
        drop(example().with("vrrp_instance[4].priority", 1));
    }
}
