//! What a new configuration changes, in words.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Configuration, RealServer, RealServerId, VirtualService};

/// What one kind of thing in the configuration comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

/// What a new configuration changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    instances: Kind,
    services: Kind,
    real_servers: Kind,
    settings: Vec<&'static str>,
}

/// How many are named of those that something happened to alike.
const NAMED: usize = 3;

impl Kind {
    fn between<'a, K: Ord + Clone + 'a, V: PartialEq + 'a>(
        before: impl IntoIterator<Item = (K, V)>,
        after: impl IntoIterator<Item = (K, V)>,
        name: impl Fn(&K) -> String,
    ) -> Self {
        let mut before: BTreeMap<K, V> = before.into_iter().collect();
        let mut kind = Self::default();
        for (key, value) in after {
            match before.remove(&key) {
                None => kind.added.push(name(&key)),
                Some(former) if former != value => kind.changed.push(name(&key)),
                Some(_) => {}
            }
        }
        kind.removed = before.keys().map(name).collect();
        kind
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// `2 real servers added (a, b), 1 removed (c)`.
    fn describe(&self, one: &str, many: &str) -> String {
        let mut noun = true;
        let parts = [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(verb, names)| {
                let count = names.len();
                let what = match (std::mem::take(&mut noun), count) {
                    (false, _) => String::new(),
                    (true, 1) => format!(" {one}"),
                    (true, _) => format!(" {many}"),
                };
                let shown = names[..count.min(NAMED)].join(", ");
                let more = if count > NAMED { ", …" } else { "" };
                format!("{count}{what} {verb} ({shown}{more})")
            })
            .collect();
        parts.join(", ")
    }
}

impl Changes {
    /// What `after` changes in `before`.
    #[must_use]
    pub fn between(before: &Configuration, after: &Configuration) -> Self {
        let instances = |configuration: &Configuration| {
            let instances = configuration.vrrp_instances.iter();
            instances
                .map(|instance| (instance.name.clone(), instance.clone()))
                .collect::<Vec<_>>()
        };
        let mut settings = Vec::new();
        if before.node != after.node {
            settings.push("[node]");
        }
        if before.dataplane != after.dataplane {
            settings.push("[dataplane]");
        }
        Self {
            instances: Kind::between(instances(before), instances(after), Clone::clone),
            services: Kind::between(services(before), services(after), ToString::to_string),
            real_servers: Kind::between(real_servers(before), real_servers(after), |id: &RealServerId| {
                format!("{} of {}", id.address, id.service)
            }),
            settings,
        }
    }

    /// Nothing is another.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
            && self.services.is_empty()
            && self.real_servers.is_empty()
            && self.settings.is_empty()
    }
}

/// The services, without their real servers.
fn services(
    configuration: &Configuration,
) -> impl Iterator<Item = (crate::model::ServiceAddress, VirtualService)> {
    configuration.virtual_services.iter().map(|service| {
        let alone = VirtualService {
            real_servers: Vec::new(),
            ..service.clone()
        };
        (service.address, alone)
    })
}

/// The real servers of all services.
fn real_servers(configuration: &Configuration) -> impl Iterator<Item = (RealServerId, RealServer)> {
    configuration.virtual_services.iter().flat_map(|service| {
        service.real_servers.iter().map(|real_server| {
            let id = RealServerId {
                service: service.address,
                address: real_server.address,
            };
            (id, real_server.clone())
        })
    })
}

impl fmt::Display for Changes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("nothing has changed");
        }
        let kinds = [
            (&self.instances, "VRRP instance", "VRRP instances"),
            (&self.services, "virtual server", "virtual servers"),
            (&self.real_servers, "real server", "real servers"),
        ];
        let mut parts: Vec<String> = kinds
            .iter()
            .filter(|(kind, ..)| !kind.is_empty())
            .map(|(kind, one, many)| kind.describe(one, many))
            .collect();
        if !self.settings.is_empty() {
            parts.push(format!("{} changed", self.settings.join(" and ")));
        }
        formatter.write_str(&parts.join("; "))
    }
}
