//! Real servers behind a router, with the kernel's own devices at the end of the tunnels.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::{Configuration, Director, ECHO, Lab, Link, Topology, VIP, VIP6, run};

use crate::{PATIENCE, uploads};

/// The port of GUE at the real server.
const GUE: u16 = 6080;

/// A director and a client at one switch, a real server at another one, and a router between the two.
fn routed() -> Result<Lab> {
    let lab = Topology::new()
        .directors(1)
        .real_servers(1)
        .switch("back")
        .host("router")
        .link("router", Link::to("back"))
        .first_link("rs1", Link::to("back"))
        .build()?;
    let router = &lab.node("router").namespace;
    router.sysctl("net.ipv4.ip_forward", "1")?;
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    for node in [&lab.directors[0], &lab.client.node] {
        node.namespace.ip("route add 10.0.1.0/24 via 10.0.0.61\n\
             route add fd00:6c62:0:101::/64 via fd00:6c62::3d\n")?;
    }
    let server = &lab.real_servers[0].node;
    // The devices that are there by themselves take IPv4 in IPv4, IPv6 in IPv4, and IPv6 in IPv6.
    server.namespace.ip(&format!(
        "route add default via 10.0.1.61\n\
         route add default via fd00:6c62:0:101::3d\n\
         link set tunl0 up\n\
         link set sit0 up\n\
         link add tunnel6 type ip6tnl mode any local {} remote any\n\
         link set tunnel6 up\n",
        server.address6
    ))?;
    let server = &server.namespace;
    for family in ["-4", "-6"] {
        let port = GUE.to_string();
        run(server
            .command("ip")
            .args([family, "fou", "add", "port", &port, "gue"]))?;
    }
    Ok(lab)
}

/// HTTP and echo over IPv4, and HTTP over IPv6, by a tunnel to `server`.
fn configuration(lab: &Lab, server: IpAddr, is_gue: bool) -> Configuration {
    let mut configuration = Configuration::new(lab, 150)
        .with_ipv6(lab)
        .without("virtual_server[4]")
        .without("virtual_server[2]")
        .with("dataplane.flow_table_size", 1024)
        .with("vrrp_instance[0].advert_int", "500ms");
    for number in 0..configuration.length("virtual_server") {
        let service = format!("virtual_server[{number}]");
        configuration
            .set(&format!("{service}.lb_kind"), "tun")
            .set(&format!("{service}.real_server[0].address"), server.to_string())
            .set(
                &format!("{service}.real_server[0].tcp_check.connect_timeout"),
                "3s",
            )
            .set(&format!("{service}.real_server[0].tcp_check.connect_port"), 80);
        if is_gue {
            configuration
                .set(&format!("{service}.tun_type"), "gue")
                .set(&format!("{service}.tun_port"), i64::from(GUE));
        }
    }
    configuration
}

/// Forgets what the client has learnt of the path.
fn forget_path(lab: &Lab) -> Result<()> {
    let client = lab.client.node.namespace.name();
    for family in ["-4", "-6"] {
        run(Command::new("ip").args([family, "-n", client, "route", "flush", "cache"]))?;
    }
    Ok(())
}

/// How many packets have been answered with how long they may be.
fn answered(director: &Director<'_>) -> Result<u64> {
    let status = director.status()?;
    let verdicts = status.at("dataplane.verdicts");
    Ok(verdicts["answer_too_big"].as_u64().unwrap_or_default())
}

#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn servers_behind_a_router_are_reached_through_tunnels() -> Result<()> {
    let lab = routed()?;
    let node = &lab.real_servers[0].node;
    let servers: [IpAddr; 2] = [node.address.into(), node.address6.into()];
    for server in servers {
        for is_gue in [false, true] {
            println!("{server}, {}", if is_gue { "GUE" } else { "IP in IP" });
            let mut director = Director::start(&lab, &lab.directors[0], configuration(&lab, server, is_gue))?;
            let status = director.wait_for("it is master, its server up", PATIENCE, |status| {
                status.is_master() && status.all_up()
            })?;
            ensure!(status.text("virtual_servers[0].real_servers[0].forward") == "tun");
            for address in [SocketAddr::from((VIP, 80)), (VIP6, 80).into()] {
                let fetched = lab.client.curl(address, 3)?;
                ensure!(fetched.failed() == 0, "{address}: {}", fetched.complaints);
            }
            // Full segments do not fit into the tunnel.
            forget_path(&lab)?;
            let before = answered(&director)?;
            uploads(&lab, VIP.into(), 1 << 18).with_context(|| director.log().unwrap_or_default())?;
            ensure!(answered(&director)? > before, "the client was told");
            director.stop()?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn a_router_on_the_way_may_take_less() -> Result<()> {
    let lab = routed()?;
    // In this direction only: what the server answers passes.
    lab.node("router")
        .namespace
        .ip("route replace 10.0.1.0/24 dev eth1 mtu lock 1400\n")?;
    let server = lab.real_servers[0].node.address.into();
    let director = Director::start(&lab, &lab.directors[0], configuration(&lab, server, false))?;
    director.wait_for("it is master, its server up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    uploads(&lab, VIP.into(), 1 << 18).with_context(|| director.log().unwrap_or_default())?;
    let shown = run(Command::new("ip").args([
        "-n",
        lab.client.node.namespace.name(),
        "route",
        "get",
        &VIP.to_string(),
    ]))?;
    ensure!(shown.contains("mtu 1380"), "{shown}");
    Ok(())
}

/// Direct routing cannot lead there, and says why.
#[test]
#[ignore = "needs the guest's kernel: cargo xtask test guest"]
fn without_a_tunnel_a_server_behind_a_router_is_unreachable_by_name() -> Result<()> {
    let lab = routed()?;
    let server = lab.real_servers[0].node.address.into();
    let mut configuration = configuration(&lab, server, false);
    for number in 0..configuration.length("virtual_server") {
        configuration.set(&format!("virtual_server[{number}].lb_kind"), "dr");
    }
    configuration.remove("virtual_server[2]");
    let director = Director::start(&lab, &lab.directors[0], configuration)?;
    director.wait_for("its server is unresolved", PATIENCE, |status| {
        let problems = status.problems();
        let is_named = problems.iter().any(|problem| {
            let words = ["10.0.0.61", "lb_kind = \"tun\""];
            problem.code == "unresolved" && words.iter().all(|word| problem.message.contains(word))
        });
        is_named && status.real_server_state("tcp", (VIP, ECHO).into(), server) == "unresolved"
    })?;
    Ok(())
}
