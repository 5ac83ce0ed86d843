//! The network: how a plan comes to be, and the cables of what is there.

use std::fs;
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::client::Client;
use crate::namespace::Namespace;
use crate::node::Node;
use crate::process::{Lifetime, tail};
use crate::real_server::RealServer;
use crate::teardown::{remove_leftovers, teardown};
use crate::topology::{Plan, Topology};
use crate::{VIP, VIP6};

/// The whole network. Dropping it removes it, whatever still runs in it.
#[derive(Debug)]
pub struct Lab {
    /// What the names of its namespaces begin with.
    pub name: String,
    /// Where its files are: configurations, logs, sockets, pins.
    pub directory: PathBuf,
    /// The directors.
    pub directors: Vec<Node>,
    /// The real servers.
    pub real_servers: Vec<RealServer>,
    /// The client.
    pub client: Client,
    /// What else the topology asked for.
    pub hosts: Vec<Node>,
    /// Where the switches are, each a bridge; a port for a node's `eth0` has the node's name.
    pub switch: Namespace,
    /// How long what it starts lives.
    pub lifetime: Lifetime,
    is_test: bool,
}

impl Lab {
    /// Lays out the usual network for one test: two directors, three real servers with nginx and a responder each, a
    /// client, one switch.
    ///
    /// # Errors
    /// The caller isn't root, or a program is missing.
    pub fn new() -> Result<Self> {
        Self::of(Topology::new())
    }

    /// Lays out `topology` for one test.
    pub(crate) fn of(topology: Topology) -> Result<Self> {
        static ONCE: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        ONCE.call_once(remove_leftovers);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lbd-{}-{number}", std::process::id());
        let mut lab = Self::lay_out(&name, topology, Lifetime::Thread)?;
        lab.is_test = true;
        Ok(lab)
    }

    /// Lays out the usual network, whose namespaces begin with `name`.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn named(name: &str, lifetime: Lifetime) -> Result<Self> {
        Self::lay_out(name, Topology::new(), lifetime)
    }

    pub(crate) fn lay_out(name: &str, topology: Topology, lifetime: Lifetime) -> Result<Self> {
        let plan = topology.plan()?;
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Self::build(name, plan, directory, lifetime).inspect_err(|_| teardown(name))
    }

    fn build(name: &str, plan: Plan, directory: PathBuf, lifetime: Lifetime) -> Result<Self> {
        let switch = Namespace::create(&format!("{name}-switch"))?;
        for bridge in &plan.switches {
            switch.ip(&format!(
                "link add {bridge} type bridge mcast_snooping 0\n\
                 link set {bridge} up\n"
            ))?;
        }
        let create = |machine| Node::create(name, machine, &switch);
        let all = |machines: Vec<_>| machines.into_iter().map(create).collect::<Result<Vec<Node>>>();
        let directors = all(plan.directors)?;
        let servers = all(plan.real_servers)?;
        let hosts = all(plan.hosts)?;
        let client = create(plan.client)?;
        for server in &servers {
            take_virtual_addresses(server)?;
        }
        if let Some(first) = directors.first() {
            let by_way_of = first.address6;
            client
                .namespace
                .ip(&format!("route add {VIP6}/128 via {by_way_of} dev eth0\n"))?;
        }
        for node in directors.iter().chain(&servers).chain(&hosts).chain([&client]) {
            node.await_carriers()?;
        }
        let start = |node| RealServer::start(node, &directory, lifetime);
        Ok(Self {
            name: name.to_owned(),
            real_servers: servers.into_iter().map(start).collect::<Result<_>>()?,
            directory,
            directors,
            client: Client::new(client),
            hosts,
            switch,
            lifetime,
            is_test: false,
        })
    }

    /// Makes a director a real server as well: with the virtual addresses on its loopback interface, and the same
    /// servers.
    ///
    /// # Errors
    /// They don't start.
    pub fn serve_on<'lab>(&self, director: &'lab Node) -> Result<RealServer<&'lab Node>> {
        take_virtual_addresses(director)?;
        RealServer::start(director, &self.directory, self.lifetime)
    }

    /// The first two directors.
    ///
    /// # Panics
    /// There are fewer.
    #[must_use]
    pub fn pair(&self) -> [&Node; 2] {
        let [one, two, ..] = self.directors.as_slice() else {
            panic!("the lab has {} directors", self.directors.len());
        };
        [one, two]
    }

    /// The machine called `name`, whatever it is for.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn node(&self, name: &str) -> &Node {
        let servers = self.real_servers.iter().map(|server| &server.node);
        let others = self.hosts.iter().chain([&self.client.node]);
        let mut all = self.directors.iter().chain(servers).chain(others);
        all.find(|node| node.name == name)
            .unwrap_or_else(|| panic!("the lab has no machine {name}"))
    }

    /// Takes the carrier of `node`'s `eth0` away, as when its cable is pulled.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn unplug(&self, node: &Node) -> Result<()> {
        self.unplug_interface(node, "eth0")
    }

    /// Puts the cable of `node`'s `eth0` back.
    ///
    /// # Errors
    /// The carrier doesn't come back.
    pub fn plug_in(&self, node: &Node) -> Result<()> {
        self.plug_interface_in(node, "eth0")
    }

    /// Takes the carrier of `node`'s interface `name` away.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn unplug_interface(&self, node: &Node, name: &str) -> Result<()> {
        let port = &node.interface(name).port;
        self.switch.ip(&format!("link set {port} down\n"))
    }

    /// Puts the cable of `node`'s interface `name` back.
    ///
    /// # Errors
    /// The carrier doesn't come back.
    pub fn plug_interface_in(&self, node: &Node, name: &str) -> Result<()> {
        let port = &node.interface(name).port;
        self.switch.ip(&format!("link set {port} up\n"))?;
        node.await_carrier(name)
    }

    /// Creates `node`'s interface `name` again, as it was laid out, after [`Node::delete`].
    ///
    /// # Errors
    /// It is there, or doesn't come up.
    pub fn create_interface(&self, node: &Node, name: &str) -> Result<()> {
        node.plug(node.interface(name), &self.switch)?;
        node.await_carrier(name)
    }

    /// Leaves everything as it is when the lab goes out of scope; [`teardown`] removes it by name.
    pub fn leave_running(self) {
        std::mem::forget(self);
    }

    /// The last lines of all logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut paths: Vec<PathBuf> = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        paths.sort();
        paths.iter().map(|path| tail(path)).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Test runners show this for tests that fail, be it by a panic or by an error.
        if self.is_test {
            eprintln!("{}", self.logs());
        }
        teardown(&self.name);
    }
}

/// What direct routing asks of a real server: the virtual addresses on the loopback interface, and no word about them
/// on the network.
fn take_virtual_addresses(server: &Node) -> Result<()> {
    server.namespace.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
    server.namespace.sysctl("net.ipv4.conf.all.arp_announce", "2")?;
    server.namespace.ip(&format!(
        "address add {VIP}/32 dev lo\n\
         address add {VIP6}/128 dev lo nodad\n"
    ))
}
