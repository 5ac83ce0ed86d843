//! Interfaces as hosts have them: names with dots, programs that others take off, several of them.

use std::time::Duration;

use anyhow::Result;
use lab::{Configuration, Director, Lab, Node, VIP};

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
