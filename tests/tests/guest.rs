//! What needs another kernel than the one that most tests run on: VLAN devices, drivers with native XDP and offloads.
//!
//! `cargo xtask test guest` runs these in a virtual machine with Linux 6.1, two virtio-net NICs that are the ends of
//! one cable, and two e1000e NICs that are the ends of another. They are ignored everywhere else.

#[path = "guest/tunnels.rs"]
mod tunnels;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{Configuration, Director, Lab, Node, Status, Topology, Wire, run, wait};

/// Software emulation takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The networks that VLANs 10, 20 and 30 carry (the last one inside of 4), and the untagged one.
const NETWORKS: [&str; 4] = ["10.10.0", "10.20.0", "10.30.0", "10.0.0"];
const TEN: &str = NETWORKS[0];
const TWENTY: &str = NETWORKS[1];
const DOUBLE: &str = NETWORKS[2];
const UNTAGGED: &str = NETWORKS[3];

/// One director, one real server and a client, each with the VLAN devices `eth0.10`, `eth0.20` and `eth0.4.30`, and
/// with a virtual address on each network.
fn vlans() -> Result<Lab> {
    let lab = Topology::new().directors(1).real_servers(1).build()?;
    for (node, host) in [
        (&lab.client.node, 200),
        (&lab.real_servers[0].node, 11),
        (&lab.directors[0], 1),
    ] {
        add_vlans(node, host)?;
    }
    for network in NETWORKS {
        let server = &lab.real_servers[0].node.namespace;
        server.ip(&format!("address replace {network}.100/32 dev lo\n"))?;
    }
    Ok(lab)
}

fn add_vlans(node: &Node, host: u8) -> Result<()> {
    let address = |network: &str| format!("{network}.{host}/24");
    node.add_vlan("eth0", "802.1Q", 10, &[&address(TEN)])?;
    node.add_vlan("eth0", "802.1Q", 20, &[&address(TWENTY)])?;
    node.add_vlan("eth0", "802.1ad", 4, &[])?;
    node.add_vlan("eth0.4", "802.1Q", 30, &[&address(DOUBLE)])?;
    Ok(())
}

/// The NICs of `driver` in this network namespace.
fn nics(driver: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir("/sys/class/net")? {
        let path = entry?.path();
        if std::fs::read_link(path.join("device/driver")).is_ok_and(|link| link.ends_with(driver)) {
            let name = path.file_name().context("it has a name")?;
            names.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Puts the two NICs of `driver` in the place of the veth pair between the director and the switch.
fn replug(lab: &Lab, driver: &str) -> Result<()> {
    let director = &lab.directors[0];
    director.delete("eth0")?;
    // Those of an earlier test come back when its namespaces are gone.
    let both = wait::until(&format!("there are two NICs of {driver}"), PATIENCE, || {
        nics(driver).ok().filter(|names| names.len() == 2)
    })?;
    let [near, far] = both.as_slice() else {
        unreachable!("they were counted");
    };
    run(Command::new("ip").args([
        "link",
        "set",
        near,
        "netns",
        director.namespace.name(),
        "name",
        "eth0",
    ]))?;
    run(Command::new("ip").args([
        "link",
        "set",
        far,
        "netns",
        lab.switch.name(),
        "name",
        "director1",
    ]))?;
    lab.switch
        // Not the director's own, which it may have had in an earlier test.
        .ip("link set director1 address 02:6c:62:00:00:01\nlink set director1 master bridge\nlink set director1 up\n")?;
    director.namespace.ip(&format!(
        "link set eth0 address {}\n\
         link set eth0 up\n\
         address add {}/24 dev eth0\n",
        director.mac_text(),
        director.address
    ))?;
    director.await_carrier("eth0")?;
    add_vlans(director, 1)
}

/// What a director is configured with.
struct Case<'a> {
    /// Where the program is to be.
    interfaces: Vec<&'a str>,
    mode: &'a str,
    /// The network of the virtual address.
    clients: &'a str,
    /// The network of the real server.
    servers: &'a str,
}

fn device(network: &str) -> &'static str {
    match network {
        TEN => "eth0.10",
        TWENTY => "eth0.20",
        DOUBLE => "eth0.4.30",
        _ => "eth0",
    }
}

impl Case<'_> {
    /// A director like this. The virtual router is where its address is.
    fn start<'lab>(&self, lab: &'lab Lab) -> Result<Director<'lab>> {
        let Self {
            ref interfaces,
            mode,
            clients,
            servers,
        } = *self;
        println!(
            "{interfaces:?} {mode}: clients on {}, servers on {}",
            device(clients),
            device(servers)
        );
        let mut configuration = Configuration::new(lab, 150)
            .without("virtual_server[2]")
            .with("dataplane.interfaces", interfaces.clone())
            .with("dataplane.xdp_mode", mode)
            .with("dataplane.flow_table_size", 1024)
            .with("vrrp_instance[0].interface", device(clients))
            .with("vrrp_instance[0].advert_int", "500ms")
            .with(
                "vrrp_instance[0].virtual_ipaddress",
                vec![format!("{clients}.100/24")],
            );
        for service in ["virtual_server[0]", "virtual_server[1]"] {
            let server = format!("{service}.real_server[0]");
            configuration
                .set(&format!("{service}.address"), format!("{clients}.100"))
                .set(&format!("{server}.address"), format!("{servers}.11"))
                .set(&format!("{server}.tcp_check.connect_timeout"), "3s");
        }
        Director::start(lab, &lab.directors[0], configuration)
    }

    /// It works: requests are answered.
    fn works(&self, lab: &Lab) -> Result<Status> {
        let began = Instant::now();
        let director = self.start(lab)?;
        let status = director.wait_for("it is master, its server up", PATIENCE, |status| {
            status.is_master() && status.all_up()
        })?;
        let address: IpAddr = format!("{}.100", self.clients).parse()?;
        let fetched = lab.client.curl((address, 80).into(), 5)?;
        ensure!(
            fetched.failed() == 0,
            "{:?}: {}\n{}",
            fetched.answers,
            fetched.complaints,
            director.log()?
        );
        println!("  works, {:.1} s", began.elapsed().as_secs_f64());
        Ok(status)
    }

    /// It is refused: nothing is said to be up that does not work, and the log names what to change.
    fn is_refused(&self, lab: &Lab, words: &[&str]) -> Result<()> {
        let began = Instant::now();
        let director = self.start(lab)?;
        director.wait_for("nothing is said to work", PATIENCE, |status| {
            let is_explained = director.complaints().is_ok_and(|lines| {
                lines
                    .iter()
                    .any(|line| words.iter().all(|word| line.contains(word)))
            });
            let server = &status.0["virtual_servers"][0]["real_servers"][0];
            is_explained && (!status.is_master() || server["state"] == "unresolved")
        })?;
        println!("  refused, {:.1} s", began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Whether a feature of the director's `eth0` is on.
fn feature(lab: &Lab, name: &str) -> Result<bool> {
    let shown = run(lab.directors[0].namespace.command("ethtool").args(["-k", "eth0"]))?;
    let line = shown.lines().find(|line| line.starts_with(&format!("{name}:")));
    Ok(line.context("ethtool does not know it")?.contains(": on"))
}

#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn the_program_loads_and_forwards_on_an_older_kernel_and_a_veth_trunk_is_refused_by_name() -> Result<()> {
    let lab = vlans()?;
    let case = |interfaces: &[&'static str], mode, network| Case {
        interfaces: interfaces.to_vec(),
        mode,
        clients: network,
        servers: network,
    };
    let change = ["eth0", "interfaces = [\\\"eth0.10\\\"]"];
    case(&["eth0"], "native", TEN).is_refused(&lab, &change)?;
    case(&["eth0"], "generic", TEN).is_refused(&lab, &change)?;
    // The one above serves; the one below could not tell whose packets it has.
    case(&["eth0", "eth0.10"], "auto", TEN).works(&lab)?;
    // A tag that is beside the packet, and one that is in it.
    for offload in ["on", "off"] {
        run(lab
            .switch
            .command("ethtool")
            .args(["-K", "director1", "txvlan", offload]))?;
        case(&["eth0.10"], "auto", TEN).works(&lab)?;
    }
    case(&["eth0.4.30"], "auto", DOUBLE).works(&lab)?;
    let untagged = Case {
        interfaces: vec!["eth0"],
        mode: "native",
        clients: UNTAGGED,
        servers: UNTAGGED,
    };
    let status = untagged.works(&lab)?;
    ensure!(status.0["dataplane"]["interfaces"][0]["mode"] == "native");
    Ok(())
}

#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn vlans_on_a_driver_that_leaves_tags_in_the_packets() -> Result<()> {
    let lab = vlans()?;
    replug(&lab, "virtio_net")?;
    let case = |interfaces: &[&'static str], mode, network| Case {
        interfaces: interfaces.to_vec(),
        mode,
        clients: network,
        servers: network,
    };
    case(&["eth0.10"], "auto", TEN).works(&lab)?;
    case(&["eth0"], "generic", TEN).works(&lab)?;
    case(&["eth0", "eth0.10"], "auto", TEN).works(&lab)?;
    for network in [TEN, DOUBLE] {
        let status = case(&["eth0"], "native", network).works(&lab)?;
        ensure!(status.0["dataplane"]["interfaces"][0]["mode"] == "native");
    }
    Ok(())
}

/// Sends `length` bytes to the echo service at `address` and has it repeat them.
fn uploads(lab: &Lab, address: IpAddr, length: usize) -> Result<()> {
    lab.client.node.namespace.run(|| {
        let mut stream = TcpStream::connect_timeout(&(address, lab::ECHO).into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = vec![b'x'; length];
        line.push(b'\n');
        stream.write_all(&line).context("the upload stalls")?;
        let mut answer = Vec::new();
        BufReader::new(stream)
            .read_until(b'\n', &mut answer)
            .context("the server has not got all of it")?;
        ensure!(answer.ends_with(&line), "{} bytes came back", answer.len());
        Ok(())
    })
}

#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn from_one_vlan_to_another() -> Result<()> {
    let lab = vlans()?;
    replug(&lab, "virtio_net")?;
    let case = |interfaces: &[&'static str]| Case {
        interfaces: interfaces.to_vec(),
        mode: "auto",
        clients: TEN,
        servers: TWENTY,
    };
    case(&["eth0"]).is_refused(&lab, &["several VLANs", "eth0.10", "eth0.20", "interfaces ="])?;

    // What the driver merges is longer than what the other VLAN device takes. A daemon that is killed cannot put that
    // back; the next one does.
    ensure!(feature(&lab, "generic-receive-offload")?);
    case(&["eth0.10"]).works(&lab)?;
    let mut director = case(&["eth0.10"]).start(&lab)?;
    director.wait_for("it is master, its server up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    ensure!(!feature(&lab, "generic-receive-offload")?, "it is off meanwhile");
    uploads(&lab, "10.10.0.100".parse()?, 1 << 20)?;
    director.stop()?;
    ensure!(feature(&lab, "generic-receive-offload")?, "it is put back");
    Ok(())
}

#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn vlans_on_a_driver_that_puts_tags_beside_the_packets() -> Result<()> {
    let lab = vlans()?;
    replug(&lab, "e1000e")?;
    let case = |interfaces: &[&'static str]| Case {
        interfaces: interfaces.to_vec(),
        mode: "auto",
        clients: TEN,
        servers: TEN,
    };
    ensure!(feature(&lab, "rx-vlan-offload")?, "the driver does it by itself");
    case(&["eth0.10"]).works(&lab)?;
    ensure!(feature(&lab, "rx-vlan-offload")?, "it does no harm there");
    let mut director = case(&["eth0"]).start(&lab)?;
    director.wait_for("it is master, its server up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    ensure!(!feature(&lab, "rx-vlan-offload")?);
    director.stop()?;
    ensure!(feature(&lab, "rx-vlan-offload")?, "it is put back");
    case(&["eth0"]).works(&lab).map(drop)
}

#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn advertisements_are_on_time_while_the_kernel_is_busy_with_another_interface() -> Result<()> {
    let lab = Topology::new().directors(1).real_servers(1).build()?;
    let configuration = Configuration::new(&lab, 150)
        .with("dataplane.flow_table_size", 1024)
        .with("vrrp_instance[0].advert_int", "1s");
    let director = Director::start(&lab, &lab.directors[0], configuration)?;
    director.wait_for("it is master", PATIENCE, Status::is_master)?;
    let wire = Wire::open(&lab.client.node, "eth0", libc::ETH_P_IP)?;
    let advertisement = |frame: &[u8]| (frame.get(23) == Some(&112)).then_some(());
    wire.find("an advertisement", PATIENCE, advertisement)?;

    // Holds the lock of the interfaces for four seconds, most of them asleep (e1000e, ethtool.c, e1000_diag_test).
    let nic = wait::until("there is a NIC of e1000e", PATIENCE, || {
        nics("e1000e").ok()?.pop()
    })?;
    let began = Instant::now();
    let test = Command::new("ethtool")
        .args(["-t", &nic, "online"])
        .stdout(Stdio::null())
        .spawn()?;
    let mut test = Reaped(test);
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    while test.0.try_wait()?.is_none() {
        wire.find("the next advertisement", PATIENCE, advertisement)?;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    println!("held for {:?}, longest gap {longest:?}", began.elapsed());
    ensure!(began.elapsed() > Duration::from_secs(4), "the lock was held");
    // Three intervals and a skew make a successor.
    ensure!(
        longest < Duration::from_secs(2),
        "{longest:?}: {}",
        director.log()?
    );
    Ok(())
}

/// A process that is waited for, whatever happens.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        self.0.wait().ok();
    }
}
