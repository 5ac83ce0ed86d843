//! Interfaces as hosts have them: names with dots, programs that others take off, several of them.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::Result;
use lab::{Configuration, Director, Lab, Node, VIP, VIP6};

const PATIENCE: Duration = Duration::from_secs(20);

/// Gives the interface of `node` another name. A change of the name needs it down, which takes its IPv6 addresses.
fn rename(node: &Node, to: &str) -> Result<()> {
    node.namespace.ip(&format!(
        "link set eth0 down\n\
         link set eth0 name {to}\n\
         link set {to} up\n\
         address add {}/64 dev {to} nodad\n",
        node.address6
    ))
}

/// Starts `director` again with a configuration that calls its interface `interface`.
fn restart_on(director: &mut Director<'_>, interface: &str) -> Result<()> {
    let text = std::fs::read_to_string(director.configuration_path())?;
    director.write_configuration_text(&text.replace("\"eth0\"", &format!("\"{interface}\"")))?;
    director.restart()
}

#[test]
fn an_interface_with_a_dot_in_its_name_forwards_and_its_link_is_taken_over() -> Result<()> {
    let lab = Lab::new()?;
    let node = &lab.directors[0];
    let mut director = Director::start(&lab, node, Configuration::new(&lab, 150))?;
    director.stop()?;
    rename(node, "eth0.10")?;
    restart_on(&mut director, "eth0.10")?;
    let is_ready = |status: &lab::Status| status.is_master() && status.all_up();
    director.wait_for("it is master, all servers up", PATIENCE, is_ready)?;
    let fetched = lab.client.curl((VIP, 80).into(), 6)?;
    assert_eq!(fetched.failed(), 0, "{}", fetched.complaints);

    director.kill()?;
    director.restart()?;
    director.wait_for("it is master again", PATIENCE, is_ready)?;
    assert!(
        director
            .log()?
            .contains("taking over the XDP link of an earlier daemon interface=\"eth0.10\""),
        "{}",
        director.log()?
    );
    let fetched = lab.client.curl((VIP, 80).into(), 6)?;
    assert_eq!(fetched.failed(), 0, "{}", fetched.complaints);
    Ok(())
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
    let mut director = Director::start(&lab, node, Configuration::new(&lab, 150).with_ipv6(&lab))?;
    director.stop()?;
    let text = std::fs::read_to_string(director.configuration_path())?;
    director.write_configuration_text(&text.replace(&VIP6.to_string(), &address.to_string()))?;
    director.restart()?;
    director.wait_for("all servers are up", PATIENCE, lab::Status::all_up)?;
    let fetched = lab.client.curl((address, 80).into(), 6)?;
    assert_eq!(fetched.failed(), 0, "{}", fetched.complaints);
    Ok(())
}
