//! Interfaces as hosts have them: names with dots, programs that others take off, several of them, some of which take
//! nothing from XDP.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv6Addr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::{Configuration, Director, Lab, Link, Node, Session, Topology, VIP, VIP6, run, wait};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use toml::Value;

const PATIENCE: Duration = Duration::from_secs(20);

fn is_ready(status: &lab::Status) -> bool {
    status.is_master() && status.all_up()
}

/// The configuration of a director whose one interface is `interface`.
fn on(lab: &Lab, interface: &str) -> Configuration {
    Configuration::new(lab, 150)
        .with("dataplane.interfaces", vec![interface])
        .with("vrrp_instance[0].interface", interface)
}

/// Requests a page six times, and wants it each time.
fn serves(lab: &Lab, address: IpAddr) -> Result<()> {
    let fetched = lab.client.curl((address, 80).into(), 6)?;
    ensure!(
        fetched.failed() == 0,
        "{:?}: {}",
        fetched.answers,
        fetched.complaints
    );
    Ok(())
}

/// The complaints of `director` that contain all of these words.
fn complaints_about(director: &Director<'_>, words: &[&str]) -> Result<Vec<String>> {
    let mut complaints = director.complaints()?;
    complaints.retain(|line| words.iter().all(|word| line.contains(word)));
    Ok(complaints)
}

#[test]
fn an_interface_with_a_dot_in_its_name_forwards_and_its_link_is_taken_over() -> Result<()> {
    let lab = Lab::new()?;
    let node = &lab.directors[0];
    // Renamed live, the interface would keep its alternatives; and it is up when it gets the name.
    node.rename("eth0", "eth0.10")?;
    let mut director = Director::start(&lab, node, on(&lab, "eth0.10"))?;
    director.wait_for("it is master, all servers up", PATIENCE, is_ready)?;
    serves(&lab, VIP.into())?;

    director.kill()?;
    director.restart()?;
    director.wait_for("it is master again", PATIENCE, is_ready)?;
    ensure!(
        director
            .log()?
            .contains("taking over the XDP link of an earlier daemon interface=\"eth0.10\""),
        "{}",
        director.log()?
    );
    serves(&lab, VIP.into())
}

#[test]
fn a_plain_ipv6_address_on_the_director_leaves_its_servers_up() -> Result<()> {
    let lab = Lab::new()?;
    let node = &lab.directors[0];
    // On the servers' network: the kernel likes it better than the director's own address to check them from.
    let address: Ipv6Addr = "fd00:6c62::100".parse()?;
    for server in &lab.real_servers {
        server
            .node
            .namespace
            .ip(&format!("address add {address}/128 dev lo nodad\n"))?;
    }
    node.namespace
        .ip(&format!("address add {address}/128 dev eth0 nodad\n"))?;
    let mut configuration = Configuration::new(&lab, 150).with_ipv6(&lab);
    for service in 0..configuration.length("virtual_server") {
        let key = format!("virtual_server[{service}].address");
        if configuration.get(&key) == Some(&Value::from(VIP6.to_string())) {
            configuration.set(&key, address.to_string());
        }
    }
    let director = Director::start(&lab, node, configuration)?;
    director.wait_for("all servers are up", PATIENCE, lab::Status::all_up)?;
    serves(&lab, address.into())
}

#[test]
fn a_link_that_somebody_detaches_is_attached_again_within_a_second() -> Result<()> {
    let lab = Lab::new()?;
    let director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    director.wait_for("it is master, all servers up", PATIENCE, is_ready)?;
    let pin = director.pinned_link("eth0");
    let identifier = || run(Command::new("bpftool").args(["link", "show", "pinned"]).arg(&pin));
    let before = identifier()?;
    run(Command::new("bpftool")
        .args(["link", "detach", "pinned"])
        .arg(&pin))?;
    let detached = Instant::now();
    wait::until("there is another link", PATIENCE, || {
        identifier()
            .ok()
            .filter(|now| *now != before && !now.contains("ifindex 0"))
    })?;
    ensure!(
        detached.elapsed() < Duration::from_secs(2),
        "{:?}",
        detached.elapsed()
    );
    let told = complaints_about(&director, &["taken the XDP program off", "eth0"])?;
    ensure!(told.len() == 1, "{told:?}");
    serves(&lab, VIP.into())?;

    // A pin that is removed by hand comes back, and the program has not been away.
    let session = Session::start(&lab.client, (VIP, lab::ECHO).into(), Duration::from_millis(10))?;
    std::fs::remove_file(&pin)?;
    wait::until("the pin is there again", PATIENCE, || pin.exists().then_some(()))?;
    session.proceeds(20, PATIENCE)?;
    ensure!(session.finish()?.ended.is_none());
    Ok(())
}

/// Two networks: clients on one, real servers on both and reached by the other, `eth1` of the first director.
fn two_armed() -> Result<Lab> {
    let mut topology = Topology::new()
        .directors(1)
        .switch("back")
        .link("director1", Link::to("back"));
    for server in ["rs1", "rs2", "rs3"] {
        topology = topology.link(server, Link::to("back"));
    }
    topology.build()
}

/// The configuration of [`two_armed`].
fn two_arms(lab: &Lab, mode: &str) -> Configuration {
    let mut configuration = Configuration::new(lab, 150).with("dataplane.xdp_mode", mode);
    for service in 0..configuration.length("virtual_server") {
        for server in 0..3 {
            configuration.set(
                &format!("virtual_server[{service}].real_server[{server}].address"),
                format!("10.0.1.{}", 11 + server),
            );
        }
    }
    configuration
}

/// Takes the program off the switch's side of the director's `eth1`, so that it takes nothing from a native program.
fn without_transmit(lab: &Lab) -> Result<()> {
    let port = &lab.directors[0].interface("eth1").port;
    lab.switch.ip(&format!("link set dev {port} xdp off\n"))
}

/// Moves the address of `node`'s `eth1` to `device`, which is over it, or which it is a port of.
fn move_address(node: &Node, device: &str) -> Result<()> {
    node.namespace.ip(&format!(
        "address flush dev eth1\n\
         link set {device} up\n\
         address add 10.0.1.1/24 dev {device}\n"
    ))
}

#[test]
fn a_native_program_redirects_to_an_interface_that_transmits() -> Result<()> {
    let lab = two_armed()?;
    let director = Director::start(&lab, &lab.directors[0], two_arms(&lab, "native"))?;
    director.wait_for("it is master, all servers up", PATIENCE, is_ready)?;
    serves(&lab, VIP.into())?;
    let told = director.complaints()?;
    ensure!(told.is_empty(), "{told:?}");
    Ok(())
}

/// With `xdp_mode = "auto"` the servers that `device` leads to are served all the same, and the log says how.
fn falls_back(lab: &Lab, device: &str, why: &str) -> Result<()> {
    let director = Director::start(lab, &lab.directors[0], two_arms(lab, "auto"))?;
    director.wait_for("it is master, all servers up", PATIENCE, is_ready)?;
    serves(lab, VIP.into())?;
    let status = director.status()?;
    let interface = &status.0["dataplane"]["interfaces"][0];
    ensure!(interface["mode"] == "generic", "{interface}");
    let told = complaints_about(&director, &["generic mode", device, why])?;
    ensure!(told.len() == 1, "{:?}", director.complaints()?);
    Ok(())
}

/// With `xdp_mode = "native"` the servers that `device` leads to are not said to be up, and the log says why not.
fn is_refused(lab: &Lab, device: &str, why: &str) -> Result<()> {
    let director = Director::start(lab, &lab.directors[0], two_arms(lab, "native"))?;
    director.wait_for("it is master, its servers out of reach", PATIENCE, |status| {
        let servers = status.0["virtual_servers"][0]["real_servers"].as_array();
        let is_unresolved = |server: &serde_json::Value| server["state"] == "unresolved";
        status.is_master() && servers.is_some_and(|servers| servers.iter().all(is_unresolved))
    })?;
    let told = complaints_about(&director, &["no packets", device, why, "xdp_mode"])?;
    ensure!(told.len() == 1, "{:?}", director.complaints()?);
    Ok(())
}

#[test]
fn servers_behind_a_veth_without_a_program_at_its_other_end() -> Result<()> {
    let lab = two_armed()?;
    without_transmit(&lab)?;
    falls_back(&lab, "eth1", "other end has no XDP program")?;
    is_refused(&lab, "eth1", "other end has no XDP program")
}

#[test]
fn servers_behind_a_bridge() -> Result<()> {
    let lab = two_armed()?;
    let node = &lab.directors[0];
    node.namespace
        .ip("link add br0 type bridge mcast_snooping 0\nlink set eth1 master br0\n")?;
    move_address(node, "br0")?;
    falls_back(&lab, "br0", "does not send for native XDP")?;
    is_refused(&lab, "br0", "does not send for native XDP")
}

#[test]
fn servers_behind_a_macvlan() -> Result<()> {
    let lab = two_armed()?;
    let node = &lab.directors[0];
    node.namespace
        .ip("link add link eth1 name macvlan1 type macvlan mode bridge\n")?;
    move_address(node, "macvlan1")?;
    falls_back(&lab, "macvlan1", "does not send for native XDP")?;
    is_refused(&lab, "macvlan1", "does not send for native XDP")
}

/// Takes the carrier of the director's `eth0` away for a moment whenever a program comes to it or goes from it, as many
/// NICs do, until `stop` says so. Returns how often that was.
fn start_anew(lab: &Lab, stop: &AtomicBool) -> Result<u32> {
    let node = &lab.directors[0];
    let program = || -> Result<bool> { Ok(node.link("eth0")?.contains(" xdp")) };
    let mut before = program()?;
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        let now = program()?;
        if now != before {
            before = now;
            times += 1;
            lab.unplug(node)?;
            std::thread::sleep(Duration::from_millis(100));
            lab.plug_in(node)?;
        }
    }
    Ok(times)
}

#[test]
fn a_link_that_falls_when_the_program_comes_or_goes_settles_with_the_program_on() -> Result<()> {
    let lab = Topology::new().directors(1).build()?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let driver = scope.spawn(|| start_anew(&lab, &stop));
        let result = (|| {
            let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
            // Long enough for a program that comes and goes to have done so several times.
            let mut since: Option<(u64, Instant)> = None;
            let mut settled = |status: &lab::Status| {
                let transitions = status.transitions();
                if !is_ready(status) || since.is_none_or(|(before, _)| before != transitions) {
                    since = Some((transitions, Instant::now()));
                }
                since.is_some_and(|(_, at)| at.elapsed() > Duration::from_secs(4))
            };
            wait::until("it stays master", Duration::from_secs(30), || {
                director.status().ok().filter(&mut settled)
            })?;
            serves(&lab, VIP.into())?;
            let told = complaints_about(&director, &["link falls", "eth0", "stays"])?;
            ensure!(told.len() == 1, "{:?}", director.complaints()?);
            director.stop()?;
            ensure!(!director.pinned_link("eth0").exists(), "it goes with the daemon");
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        let times = driver.join().expect("it does not panic")?;
        result?;
        ensure!((1..=6).contains(&times), "the link fell {times} times");
        Ok(())
    })
}

/// The problems in a status.
fn problems(status: &lab::Status) -> &[serde_json::Value] {
    status.0["problems"].as_array().map_or(&[], Vec::as_slice)
}

fn message(problem: &serde_json::Value) -> &str {
    problem["message"].as_str().unwrap_or_default()
}

#[test]
fn packets_that_are_lost_on_their_way_out_are_counted_and_told_with_what_helps() -> Result<()> {
    let lab = two_armed()?;
    let node = &lab.directors[0];
    // The switch's side leaves the segments of an upload merged, which nothing at the director's can undo.
    let merge = |how| {
        run(lab
            .switch
            .command("ethtool")
            .args(["-K", "director1", "tx", how, "tso", how]))
    };
    merge("on")?;
    let director = Director::start(&lab, node, two_arms(&lab, "generic"))?;
    director.wait_for("it is master, all servers up", PATIENCE, is_ready)?;
    serves(&lab, VIP.into())?;
    let status = director.status()?;
    ensure!(status.0["dataplane"]["packets_lost"] == 0, "{:#}", status.0);

    lab.client.node.namespace.run(|| -> Result<()> {
        let mut stream = TcpStream::connect_timeout(&(VIP, lab::ECHO).into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = vec![b'x'; 256 << 10];
        line.push(b'\n');
        stream.write_all(&line)?;
        let is_told = |problem: &&serde_json::Value| {
            problem["code"] == "packets_lost"
                && problem["subject"] == "eth1"
                && message(problem).contains("from eth0")
        };
        let status = director.wait_for("it is a problem", PATIENCE, |status| {
            problems(status).iter().any(|problem| is_told(&problem))
        })?;
        ensure!(
            status.0["dataplane"]["packets_lost"].as_u64() > Some(0),
            "{:#}",
            status.0
        );
        // Whoever does what it says has the upload go on.
        let problem = problems(&status).iter().find(is_told).map_or("", message);
        let command = problem.split('`').nth(1).unwrap_or_default();
        ensure!(command.starts_with("ethtool -K director1 "), "{problem}");
        run(lab.switch.command("sh").args(["-c", command]))?;
        let mut answer = Vec::new();
        BufReader::new(stream).read_until(b'\n', &mut answer)?;
        ensure!(answer.ends_with(&line), "{} bytes came back", answer.len());
        // So do datagrams that are sent as one.
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect((VIP, lab::ECHO))?;
        setsockopt(&socket, UdpGsoSegment, &1000)?;
        socket.send(&[b'x'; 3000])?;
        for _ in 0..3 {
            ensure!(socket.recv(&mut [0; 2000])? > 0);
        }
        Ok(())
    })?;
    let told = complaints_about(&director, &["packets from eth0 are lost", "eth1"])?;
    ensure!(told.len() == 1, "{:?}", director.complaints()?);
    Ok(())
}
