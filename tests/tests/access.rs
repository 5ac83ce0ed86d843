//! Who may use the services: blocked and allowed clients, through reloads.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{Configuration, Director, ECHO, Node, Session, Topology, VIP, wait};

const PERIOD: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

fn http() -> SocketAddr {
    (VIP, 80).into()
}

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

/// Writes the configuration and has it read, and what the files in it say.
fn reload(director: &Director<'_>) -> Result<String> {
    director.write_configuration()?;
    let path = director.configuration_path().to_string_lossy().into_owned();
    let output = director.lbd(&["reload", "-c", &path])?;
    Ok(String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?)
}

/// Whether a client gets an answer to a new connection.
fn is_served(from: &Node) -> bool {
    let connect = || std::net::TcpStream::connect_timeout(&http(), Duration::from_millis(500));
    from.namespace.run(connect).is_ok()
}

/// Waits until a client gets an answer, or none. (The daemon has carried a reload out a moment after it says so.)
fn served(from: &Node, expected: bool) -> Result<()> {
    let what = format!("{} is served: {expected}", from.name);
    wait::until(&what, PATIENCE, || (is_served(from) == expected).then_some(()))
}

fn dropped(director: &Director<'_>, verdict: &str) -> Result<u64> {
    let status = director.status()?;
    // What has not happened yet is not there.
    Ok(status.at("dataplane.verdicts")[verdict]
        .as_u64()
        .unwrap_or_default())
}

#[test]
fn clients_are_blocked_and_allowed_by_a_reload() -> Result<()> {
    let lab = Topology::new().host("other").build()?;
    let other = &lab.hosts[0];
    let client = lab.client.node.address;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    let file = director.configuration_path().with_file_name("block");
    fs::write(&file, "# nobody yet\n")?;
    director
        .configuration
        .set("dataplane.block_file", file.to_string_lossy().as_ref());
    reload(&director)?;

    let session = Session::start(&lab.client, echo(), PERIOD)?;
    let bystander = Session::start(other, echo(), PERIOD)?;
    ensure!(dropped(&director, "drop_blocked")? == 0);

    // Its open connection ends as well; nobody else's does.
    fs::write(&file, format!("{client} # for a reason\n"))?;
    let said = reload(&director)?;
    ensure!(said.contains("[dataplane] changed"), "{said}");
    served(&lab.client.node, false)?;
    let stuck = session.so_far().exchanges;
    served(other, true)?;
    bystander.proceeds(10, PATIENCE)?;
    ensure!(session.so_far().exchanges <= stuck + 1, "{:?}", session.so_far());
    ensure!(dropped(&director, "drop_blocked")? > 0);

    // A file that is wrong changes nothing.
    fs::write(&file, "10.0.0.1/24\n")?;
    let said = reload(&director)?;
    ensure!(
        said.contains("block:1:1") && said.contains("10.0.0.0/24"),
        "{said}"
    );
    served(&lab.client.node, false)?;

    // The kernel on the other side has sent what was lost again and again, and goes on.
    fs::write(&file, "")?;
    reload(&director)?;
    session.proceeds(10, PATIENCE)?;
    served(&lab.client.node, true)?;

    // Only the other one may begin connections; what the client has open goes on.
    director
        .configuration
        .set("dataplane.allow", vec![other.address.to_string()]);
    reload(&director)?;
    served(&lab.client.node, false)?;
    served(other, true)?;
    session.proceeds(10, PATIENCE)?;
    ensure!(dropped(&director, "drop_not_allowed")? > 0);

    director.configuration.remove("dataplane.allow");
    reload(&director)?;
    served(&lab.client.node, true)?;
    bystander.finish()?;
    session.finish()?;
    Ok(())
}
