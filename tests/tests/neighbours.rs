//! Real servers that are replaced or cut off: what only their link-layer addresses tell.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::{Configuration, Director, ECHO, Lab, Node, Probe, Status, VIP, Wire, virtual_server, wait};

const PATIENCE: Duration = Duration::from_secs(60);

/// A datagram each millisecond shows every loss.
const PERIOD: Duration = Duration::from_millis(1);

/// The link-layer address of the machine that takes a real server's place.
const REPLACEMENT: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

/// One service, of the echo by UDP, whose real servers nobody checks.
fn unchecked(lab: &Lab) -> Configuration {
    let servers = lab.real_servers.iter();
    let servers = servers.map(|server| (IpAddr::from(server.node.address), 1));
    let service = virtual_server((VIP, ECHO).into(), "udp", servers);
    let mut configuration = Configuration::new(lab, 150).with("virtual_server", vec![service]);
    for server in 0..lab.real_servers.len() {
        configuration.remove(&format!("virtual_server[0].real_server[{server}].tcp_check"));
    }
    configuration
}

fn state_of<'status>(status: &'status Status, server: &Node) -> &'status str {
    status.real_server_state("udp", (VIP, ECHO).into(), server.address.into())
}

/// Another machine takes the place of `server`, without a word.
fn replace(server: &Node) -> Result<()> {
    server.namespace.sysctl("net.ipv4.conf.eth0.arp_notify", "0")?;
    server.namespace.ip("link set eth0 address 02:00:00:00:00:77\n")
}

/// It announces itself, as hosts do.
fn announce(server: &Node) -> Result<()> {
    let address = server.address.octets();
    let frame = [
        [0xff; 6].as_slice(),
        &REPLACEMENT,
        &[0x08, 0x06],
        // Ethernet, IPv4, 6 and 4 bytes long, request
        &[0, 1, 0x08, 0, 6, 4, 0, 1],
        &REPLACEMENT,
        &address,
        &[0; 6],
        &address,
    ];
    Ok(Wire::open(server, "eth0", libc::ETH_P_ARP)?.send(&frame.concat())?)
}

/// The real server that answers a client's datagrams.
fn answering<'lab>(lab: &'lab Lab, probe: &Probe) -> Result<&'lab Node> {
    wait::until("a real server answers", PATIENCE, || {
        let name = probe.so_far().answered_by.keys().next()?.clone();
        Some(lab.node(&name))
    })
}

/// Replaces the machine that serves a client, and returns how long that is without an answer.
fn gap_after_replacement(tell: impl Fn(&Node) -> Result<()>) -> Result<Duration> {
    let lab = Lab::new()?;
    let director = Director::start(&lab, &lab.directors[0], unchecked(&lab))?;
    director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    let probe = Probe::start(&lab.client, (VIP, ECHO).into(), PERIOD)?;
    let server = answering(&lab, &probe)?;
    let replaced = Instant::now();
    replace(server)?;
    tell(server)?;
    wait::until("it is answered again", PATIENCE, || {
        let now = Instant::now();
        let seen = probe.between(replaced + PERIOD, now);
        seen.answered_by.contains_key(&server.name).then_some(())
    })?;
    let gap = replaced.elapsed();
    eprintln!("served again after {gap:?}");
    Ok(gap)
}

#[test]
fn a_replaced_real_server_that_announces_itself_is_served_at_once() -> Result<()> {
    let gap = gap_after_replacement(announce)?;
    ensure!(gap < Duration::from_secs(2), "{gap:?}");
    Ok(())
}

#[test]
fn a_replaced_real_server_that_says_nothing_is_found_within_seconds() -> Result<()> {
    let gap = gap_after_replacement(|_| Ok(()))?;
    // A round of three seconds, three tries of a second, and a busy machine. The kernel alone: 26 to 45 s.
    ensure!(gap < Duration::from_secs(12), "{gap:?}");
    Ok(())
}

#[test]
fn a_dead_link_is_noticed_within_seconds_even_without_a_check() -> Result<()> {
    let lab = Lab::new()?;
    let director = Director::start(&lab, &lab.directors[0], unchecked(&lab))?;
    director.wait_for("all servers are up", PATIENCE, Status::all_up)?;
    let dead = &lab.real_servers[1].node;
    lab.unplug(dead)?;
    let unplugged = Instant::now();
    director.wait_for("the dead one is unresolved", PATIENCE, |status| {
        state_of(status, dead) == "unresolved"
    })?;
    let noticed = unplugged.elapsed();
    lab.plug_in(dead)?;
    let plugged = Instant::now();
    director.wait_for("it is up again", PATIENCE, Status::all_up)?;
    let returned = plugged.elapsed();
    // The kernel alone: 43 s until it is missed.
    ensure!(noticed < Duration::from_secs(12), "{noticed:?}");
    ensure!(returned < Duration::from_secs(12), "{returned:?}");
    eprintln!("missed after {noticed:?}, back after {returned:?}");
    Ok(())
}
