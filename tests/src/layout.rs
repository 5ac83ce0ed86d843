//! The topology, how it comes to be and how it goes.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::Client;
use crate::namespace::{self, Namespace, run};
use crate::process::{Lifetime, tail};
use crate::real_server::RealServer;
use crate::{VIP, VIP6, port, wait};

/// A machine of the lab: a namespace with one interface, `eth0`, plugged into the switch.
#[derive(Debug)]
pub struct Node {
    /// What it is called: `director1`, `rs2`, `client`.
    pub name: &'static str,
    /// Its IPv4 address, of 10.0.0.0/24.
    pub address: Ipv4Addr,
    /// Its IPv6 address, of fd00:6c62::/64.
    pub address6: Ipv6Addr,
    /// The MAC address of its `eth0`.
    pub mac: [u8; 6],
    /// Where it lives.
    pub namespace: Namespace,
}

impl Node {
    fn create(lab: &str, name: &'static str, host: u8) -> Result<Self> {
        Ok(Self {
            name,
            address: Ipv4Addr::new(10, 0, 0, host),
            address6: Ipv6Addr::new(0xfd00, 0x6c62, 0, 0, 0, 0, 0, u16::from(host)),
            mac: [0x02, 0, 0, 0, 0, host],
            namespace: Namespace::create(&format!("{lab}-{name}"))?,
        })
    }

    /// Its MAC address in the usual notation.
    #[must_use]
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// The whole network. Dropping it removes it, whatever still runs in it.
#[derive(Debug)]
pub struct Lab {
    /// What the names of its namespaces begin with.
    pub name: String,
    /// Where its files are: configurations, logs, sockets, pins.
    pub directory: PathBuf,
    /// The two directors.
    pub directors: [Node; 2],
    /// The three real servers.
    pub real_servers: [RealServer; 3],
    /// The client.
    pub client: Client,
    /// The bridge's namespace; a node's port has the node's name.
    pub switch: Namespace,
    /// How long what it starts lives.
    pub lifetime: Lifetime,
    is_test: bool,
}

impl Lab {
    /// Lays out a network for one test, with nginx and a responder on each real server.
    ///
    /// # Errors
    /// The caller isn't root, or a program is missing.
    pub fn new() -> Result<Self> {
        static ONCE: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        ONCE.call_once(remove_leftovers);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lbd-{}-{number}", std::process::id());
        let mut lab = Self::named(&name, Lifetime::Thread)?;
        lab.is_test = true;
        Ok(lab)
    }

    /// Lays out a network whose namespaces begin with `name`.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn named(name: &str, lifetime: Lifetime) -> Result<Self> {
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Self::build(name, directory, lifetime).inspect_err(|_| teardown(name))
    }

    fn build(name: &str, directory: PathBuf, lifetime: Lifetime) -> Result<Self> {
        let switch = Namespace::create(&format!("{name}-switch"))?;
        switch.ip("link add bridge type bridge mcast_snooping 0\nlink set bridge up\n")?;
        let directors = [
            Node::create(name, "director1", 1)?,
            Node::create(name, "director2", 2)?,
        ];
        let servers = [
            Node::create(name, "rs1", 11)?,
            Node::create(name, "rs2", 12)?,
            Node::create(name, "rs3", 13)?,
        ];
        let client = Node::create(name, "client", 200)?;
        for node in directors.iter().chain(&servers).chain([&client]) {
            plug(node, &switch)?;
        }
        for director in &directors {
            port::face_director(&switch, director.name)?;
        }
        for server in &servers {
            take_virtual_addresses(server)?;
        }
        client.namespace.ip(&format!(
            "route add {VIP6}/128 via {} dev eth0\n",
            directors[0].address6
        ))?;
        for node in directors.iter().chain(&servers).chain([&client]) {
            await_carrier(node)?;
        }
        let [first, second, third] = servers;
        Ok(Self {
            name: name.to_owned(),
            real_servers: [
                RealServer::start(first, &directory, lifetime)?,
                RealServer::start(second, &directory, lifetime)?,
                RealServer::start(third, &directory, lifetime)?,
            ],
            directory,
            directors,
            client: Client::new(client),
            switch,
            lifetime,
            is_test: false,
        })
    }

    /// Takes the carrier of `node` away, as when its cable is pulled.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn unplug(&self, node: &Node) -> Result<()> {
        self.switch.ip(&format!("link set {} down\n", node.name))
    }

    /// Puts the cable of `node` back.
    ///
    /// # Errors
    /// The carrier doesn't come back.
    pub fn plug_in(&self, node: &Node) -> Result<()> {
        self.switch.ip(&format!("link set {} up\n", node.name))?;
        await_carrier(node)
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

/// Gives `node` its `eth0`, and the switch a port of the node's name.
fn plug(node: &Node, switch: &Namespace) -> Result<()> {
    switch.ip(&format!(
        "link add {port} type veth peer name eth0 address {mac} netns {namespace}\n\
         link set {port} master bridge up\n",
        port = node.name,
        mac = node.mac_text(),
        namespace = node.namespace.name(),
    ))?;
    node.namespace.ip(&format!(
        "link set eth0 up\n\
         address add {}/24 dev eth0\n\
         address add {}/64 dev eth0 nodad\n",
        node.address, node.address6
    ))
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

/// Waits until `node` can send and receive: frames sent before that are lost.
fn await_carrier(node: &Node) -> Result<()> {
    let show = || {
        Command::new("ip")
            .args(["-n", node.namespace.name(), "-oneline", "link", "show", "eth0"])
            .output()
    };
    wait::until(
        &format!("eth0 of {} comes up", node.name),
        Duration::from_secs(10),
        || {
            let output = show().ok()?;
            String::from_utf8_lossy(&output.stdout)
                .contains("state UP")
                .then_some(())
        },
    )
}

/// Removes the lab `name`: its processes, its namespaces, its pins, its files. What isn't there is no error.
pub fn teardown(name: &str) {
    let prefix = format!("{name}-");
    for namespace in names_in(Path::new(namespace::DIRECTORY)).filter(|other| other.starts_with(&prefix)) {
        kill_all_in(&namespace);
        drop(run(Command::new("ip").args(["netns", "del", &namespace])));
    }
    let directory = std::env::temp_dir().join(name);
    unmount_below(&directory);
    drop(fs::remove_dir_all(directory));
}

/// Removes the labs of processes that exist no more: an interrupted test had no time to.
fn remove_leftovers() {
    let namespaces = names_in(Path::new(namespace::DIRECTORY));
    let directories = names_in(&std::env::temp_dir());
    for name in namespaces.chain(directories) {
        // lbd-PID-NUMBER, and for a namespace -NODE
        let mut parts = name.split('-');
        let (Some("lbd"), Some(id), Some(number)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let numeric = id.parse::<u32>().is_ok() && number.parse::<u32>().is_ok();
        if numeric && !Path::new("/proc").join(id).exists() {
            teardown(&format!("lbd-{id}-{number}"));
        }
    }
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
}

/// Kills every process in the namespace called `name`, but for this one.
fn kill_all_in(name: &str) {
    let identifiers = run(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    let own = std::process::id().to_string();
    for identifier in identifiers
        .split_whitespace()
        .filter(|identifier| *identifier != own)
    {
        drop(run(Command::new("kill").args(["-KILL", identifier])));
    }
}

/// Unmounts what was mounted in `directory`: a daemon mounts a bpffs where it keeps its pins.
fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for target in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(target).starts_with(directory) {
            drop(run(Command::new("umount").args(["--lazy", target])));
        }
    }
}
