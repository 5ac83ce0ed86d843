//! What a service is: a range of ports, every port, several addresses; and datagrams that are connections of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::{
    Configuration, Connections, Director, ECHO, Exchanged, FURTHER_PORTS, Lab, Process, VIP, run,
    virtual_server, wait,
};
use toml::{Table, Value};

const PATIENCE: Duration = Duration::from_secs(20);
/// Virtual addresses beside the lab's, one below it and one above.
const LOWER_VIP: Ipv4Addr = Ipv4Addr::from_bits(VIP.to_bits() - 1);
const HIGHER_VIP: Ipv4Addr = Ipv4Addr::from_bits(VIP.to_bits() + 1);

fn serving<'lab>(lab: &'lab Lab, configuration: Configuration) -> Result<Director<'lab>> {
    let director = Director::start(lab, &lab.directors[0], configuration)?;
    director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    Ok(director)
}

/// The lab's configuration with HTTP on these ports. (Which port is checked follows from nothing then.)
fn http_on(lab: &Lab, ports: impl Into<Value>) -> Configuration {
    let mut configuration = Configuration::new(lab, 150).with("virtual_server[0].port", ports);
    for server in 0..lab.real_servers.len() {
        configuration.set(
            &format!("virtual_server[0].real_server[{server}].tcp_check.connect_port"),
            80,
        );
    }
    configuration
}

#[test]
fn nginx_on_several_ports_is_one_service() -> Result<()> {
    let lab = Lab::new()?;
    let ports = format!("{}-{}", FURTHER_PORTS.start(), FURTHER_PORTS.end());
    let director = serving(&lab, http_on(&lab, ports))?;
    let mut answers = Vec::new();
    // One turn after the other, whichever port it is.
    for port in FURTHER_PORTS {
        let fetched = lab.client.curl((VIP, port).into(), 4)?;
        ensure!(fetched.failed() == 0, "{port}: {}", fetched.complaints);
        answers.extend(fetched.answers.into_iter().flatten());
    }
    let of = |name: &str| answers.iter().filter(|answer| *answer == name).count();
    assert_eq!(["rs1", "rs2", "rs3"].map(of), [12, 8, 4], "{answers:?}");
    let outside = lab.client.curl((VIP, 80).into(), 1)?;
    assert_eq!(outside.failed(), 1, "nobody serves port 80");
    let status = director.status()?;
    assert_eq!(status.number("virtual_servers[0].connections"), 24);
    assert_eq!(
        status.number("virtual_servers[0].port"),
        u64::from(*FURTHER_PORTS.start())
    );
    assert_eq!(
        status.number("virtual_servers[0].last_port"),
        u64::from(*FURTHER_PORTS.end())
    );
    Ok(())
}

#[test]
fn every_port_is_one_service_but_those_that_are_services_themselves() -> Result<()> {
    let lab = Lab::new()?;
    let director = serving(&lab, http_on(&lab, 0))?;
    for port in FURTHER_PORTS.chain([80]) {
        let fetched = lab.client.curl((VIP, port).into(), 6)?;
        let counts = [("rs1", 3), ("rs2", 2), ("rs3", 1)].into();
        assert_eq!(fetched.counts(), counts, "{port}: {}", fetched.complaints);
    }
    // What nobody listens on, the real server refuses, and not the director's kernel.
    assert_eq!(lab.client.curl((VIP, 81).into(), 1)?.failed(), 1);
    let open = Connections::open(&lab.client, (VIP, ECHO).into(), 6)?;
    let status = director.status()?;
    assert_eq!(status.number("virtual_servers[0].connections"), 6 * 7 + 1);
    assert_eq!(status.number("virtual_servers[1].connections"), 6);
    drop(open);
    Ok(())
}

/// The lab's configuration with a group: HTTP and TCP echo on these addresses.
fn group_of(lab: &Lab, addresses: &[Ipv4Addr]) -> Configuration {
    let members = addresses.iter().flat_map(|address| {
        [80, ECHO].map(|port| {
            Table::from_iter([
                ("address".to_owned(), Value::from(address.to_string())),
                ("port".to_owned(), i64::from(port).into()),
            ])
        })
    });
    let mut group = Table::new();
    group.insert("name".to_owned(), "web".into());
    group.insert("member".to_owned(), members.collect::<Vec<_>>().into());
    let virtual_addresses = [LOWER_VIP, VIP, HIGHER_VIP].map(|address| format!("{address}/24"));
    http_on(lab, 80)
        .with("vrrp_instance[0].virtual_ipaddress", virtual_addresses.to_vec())
        .without("virtual_server[1]")
        .without("virtual_server[0].address")
        .without("virtual_server[0].port")
        .with("virtual_server[0].group", "web")
        .with("virtual_server_group", vec![group])
}

fn reload(director: &mut Director<'_>, configuration: Configuration) -> Result<()> {
    director.configuration = configuration;
    director.write_configuration()?;
    let path = director.configuration_path().to_string_lossy().into_owned();
    let output = director.lbd(&["reload", "-c", &path])?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

fn all_answered(connections: &Connections, count: usize) -> Result<()> {
    let answered = Exchanged {
        answered: count,
        ..Exchanged::default()
    };
    let seen = connections.exchange();
    ensure!(seen == answered, "{seen:?}");
    Ok(())
}

#[test]
fn connections_of_a_group_outlive_members_that_come_and_go() -> Result<()> {
    let lab = Lab::new()?;
    for server in &lab.real_servers {
        for address in [LOWER_VIP, HIGHER_VIP] {
            let namespace = &server.node.namespace;
            namespace.ip(&format!("address add {address}/32 dev lo"))?;
        }
    }
    let mut director = serving(&lab, group_of(&lab, &[VIP, HIGHER_VIP]))?;
    let open = Connections::open(&lab.client, (VIP, ECHO).into(), 6)?;
    let mut connections = 6;
    // The lowest address names the service: it changes with each reload, and the service stays the same.
    for addresses in [
        [LOWER_VIP, VIP, HIGHER_VIP].as_slice(),
        &[VIP, HIGHER_VIP],
        &[HIGHER_VIP, VIP, LOWER_VIP],
    ] {
        reload(&mut director, group_of(&lab, addresses))?;
        all_answered(&open, 6)?;
        let lowest = addresses.iter().min().copied().unwrap_or(VIP);
        director.wait_for("the group is another", PATIENCE, |status| {
            status.text("virtual_servers[0].address") == lowest.to_string()
        })?;
        all_answered(&open, 6)?;
        // The turns go on through all addresses.
        for address in [VIP, HIGHER_VIP] {
            let fetched = lab.client.curl(SocketAddr::from((address, 80)), 6)?;
            let counts = [("rs1", 3), ("rs2", 2), ("rs3", 1)].into();
            assert_eq!(fetched.counts(), counts, "{address}: {}", fetched.complaints);
            connections += 6;
        }
        let status = director.status()?;
        assert_eq!(status.text("virtual_servers[0].group"), "web");
        assert_eq!(status.text("virtual_servers[0].state"), "up");
        assert_eq!(status.number("virtual_servers[0].connections"), connections);
    }
    let shown = run(Command::new("bpftool")
        .args(["--json", "map", "dump", "pinned"])
        .arg(director.pinned_map("SERVICE_PORTS")))?;
    let entries: serde_json::Value = serde_json::from_str(&shown)?;
    assert_eq!(entries.as_array().map(Vec::len), Some(5), "{shown}");
    Ok(())
}

/// A resolver on each real server, which tells the server's own address.
fn resolvers(lab: &Lab) -> Result<Vec<Process>> {
    let servers = lab.real_servers.iter();
    let start = servers.map(|server| {
        let node = &server.node;
        let mut command = node.namespace.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
        ]);
        command.args(["--no-resolv", "--no-hosts", "--log-facility=-"]);
        command.arg(format!("--address=/lbd.test/{}", node.address));
        let log = lab.directory.join(format!("{}.dnsmasq.log", node.name));
        Process::start(command, &log, lab.lifetime)
    });
    start.collect()
}

/// Asks for the address of `lbd.test` (RFC 1035, section 4), and returns it.
fn resolve(socket: &UdpSocket, identifier: u16) -> Result<Ipv4Addr> {
    const QUESTION: &[u8] = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03lbd\x04test\x00\x00\x01\x00\x01";
    let identifier = identifier.to_be_bytes();
    socket.send(&[&identifier, QUESTION].concat())?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let answer = &answer[..length];
    ensure!(answer.starts_with(&identifier), "the answer to another question");
    let address: &[u8; 4] = answer.last_chunk().context("an answer ends in an address")?;
    Ok(Ipv4Addr::from(*address))
}

/// Queries from one port of one client go to all real servers; under the same weights as connections.
#[test]
fn each_query_goes_to_the_next_resolver_where_a_datagram_is_all() -> Result<()> {
    let lab = Lab::new()?;
    let _resolvers = resolvers(&lab)?;
    let weights = [3, 2, 1];
    let servers = lab.real_servers.iter().map(|server| server.node.address.into());
    let mut dns = virtual_server((VIP, 53).into(), "udp", servers.zip(weights));
    dns.insert("ops".to_owned(), true.into());
    let mut configuration = Configuration::new(&lab, 150);
    configuration.push("virtual_server", dns);
    let director = serving(&lab, configuration)?;
    let socket = lab.client.node.namespace.run(|| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((VIP, 53))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(socket)
    })?;
    wait::until("the resolvers listen", PATIENCE, || {
        (0..6).all(|query| resolve(&socket, query).is_ok()).then_some(())
    })?;
    let before = director.status()?.number("virtual_servers[3].connections");
    let mut answers = BTreeMap::new();
    for query in 0..60 {
        *answers.entry(resolve(&socket, 1_000 + query)?).or_insert(0) += 1;
    }
    let servers = lab.real_servers.iter().map(|server| server.node.address);
    let expected: BTreeMap<Ipv4Addr, i32> = servers.zip([30, 20, 10]).collect();
    assert_eq!(answers, expected);
    let status = director.status()?;
    assert_eq!(status.number("virtual_servers[3].connections"), before + 60);
    assert_eq!(status.number("dataplane.flows"), 0);
    Ok(())
}
