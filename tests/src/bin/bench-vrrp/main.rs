//! What two hundred virtual routers cost a director: `lbd` beside Keepalived, as master and as backup.
//!
//! Each program is measured against the same peer, a Keepalived in the other role, with the same configuration, on the
//! same kernel, one after the other. What the kernel does for a packet that is sent (up to the receiver's socket)
//! counts as the sender's, so the peer must not differ.

mod usage;

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::{Configuration, Director, Keepalived, Lab, Node, Topology, run, wait};

use usage::{Cost, measure};

/// How many virtual routers there are.
const ROUTERS: usize = 200;
/// The intervals between two advertisements of each.
const INTERVALS: [&str; 2] = ["1s", "100ms"];
/// How long each is measured, unless the command line says otherwise.
const SECONDS: u64 = 10;
/// What `lbd` may take of the memory, without the maps that it shares with the program.
const RESIDENT: u64 = 20 << 20;
/// Keepalived's second round of gratuitous ARP comes five seconds after the first: the measurement begins after it.
const SETTLING: Duration = Duration::from_secs(7);
const PATIENCE: Duration = Duration::from_secs(30);

/// The cost of one program in both roles.
struct Costs {
    master: Cost,
    backup: Cost,
}

fn main() -> Result<()> {
    let seconds = match std::env::args().nth(1) {
        Some(argument) => argument.parse().context("say the seconds of each measurement")?,
        None => SECONDS,
    };
    let period = Duration::from_secs(seconds);
    println!("{ROUTERS} virtual routers, VRRP version 3, measured for {seconds} s each\n");
    println!(
        "{:<10} {:<8}  {:>10} {:>10}          {:>10} {:>10}",
        "", "", "CPU ms/s", "", "resident", "MiB"
    );
    println!(
        "{:<10} {:<8}  {:>10} {:>10} {:>8} {:>10} {:>10}",
        "advert_int", "role", "lbd", "keepalived", "ratio", "lbd", "keepalived"
    );
    let mut reached = true;
    for interval in INTERVALS {
        let keepalived = measure_keepalived(interval, period)?;
        let lbd = measure_lbd(interval, period)?;
        for (role, lbd, keepalived) in [
            ("master", &lbd.master, &keepalived.master),
            ("backup", &lbd.backup, &keepalived.backup),
        ] {
            reached &= lbd.cpu <= keepalived.cpu && lbd.resident <= RESIDENT;
            println!(
                "{interval:<10} {role:<8}  {:>10.2} {:>10.2} {:>7.2}x {:>10.1} {:>10.1}",
                lbd.cpu * 1e3,
                keepalived.cpu * 1e3,
                lbd.cpu / keepalived.cpu,
                mebibytes(lbd.resident),
                mebibytes(keepalived.resident),
            );
        }
    }
    println!(
        "\ngoal: lbd takes at most Keepalived's CPU, and {} MiB without mapped maps: {}",
        RESIDENT >> 20,
        if reached { "reached" } else { "MISSED" }
    );
    Ok(())
}

/// Two Keepalived, one in each role.
fn measure_keepalived(interval: &str, period: Duration) -> Result<Costs> {
    let lab = lab("keepalived")?;
    let [first, second] = lab.pair();
    let master = keepalived(&lab, first, interval, 150)?;
    await_addresses(first)?;
    let backup = keepalived(&lab, second, interval, 100)?;
    sleep(SETTLING);
    let costs = measure(&[&master.ids()?, &backup.ids()?], period)?;
    ensure_roles(first, second)?;
    let [master, backup] = <[Cost; 2]>::try_from(costs).expect("one for each");
    Ok(Costs { master, backup })
}

/// An `lbd` in each role, each with a Keepalived in the other.
fn measure_lbd(interval: &str, period: Duration) -> Result<Costs> {
    let master = {
        let lab = lab("master")?;
        let [first, second] = lab.pair();
        let director = Director::start(&lab, first, configuration(interval, 150))?;
        await_addresses(first)?;
        let _backup = keepalived(&lab, second, interval, 100)?;
        settled_cost(&director, period, [first, second])?
    };
    let backup = {
        let lab = lab("backup")?;
        let [first, second] = lab.pair();
        let _master = keepalived(&lab, first, interval, 150)?;
        await_addresses(first)?;
        let director = Director::start(&lab, second, configuration(interval, 100))?;
        settled_cost(&director, period, [first, second])?
    };
    Ok(Costs { master, backup })
}

/// What `director` takes once all is quiet.
fn settled_cost(director: &Director<'_>, period: Duration, [master, backup]: [&Node; 2]) -> Result<Cost> {
    sleep(SETTLING);
    let process = director.process().context("lbd runs")?;
    let cost = measure(&[&[process.id()]], period)?.remove(0);
    ensure_roles(master, backup)?;
    Ok(cost)
}

/// Two directors and nothing else.
fn lab(name: &str) -> Result<Lab> {
    let name = format!("bench-{}-{name}", std::process::id());
    Topology::new().real_servers(0).build_as(&name)
}

/// Keepalived at the real-time priority that `lbd` takes for itself: on a busy machine, one that is late would lose its
/// mastership during the measurement.
fn keepalived<'lab>(
    lab: &'lab Lab,
    node: &'lab Node,
    interval: &str,
    priority: u8,
) -> Result<Keepalived<'lab>> {
    let keepalived = Keepalived::start(lab, node, &configuration(interval, priority))?;
    let ids = wait::until("keepalived has started its child", PATIENCE, || {
        keepalived.ids().ok()
    })?;
    for id in ids {
        run(Command::new("chrt").args(["--rr", "--pid", "1", &id.to_string()]))?;
    }
    Ok(keepalived)
}

/// All virtual routers on one interface, with an address each.
fn configuration(interval: &str, priority: u8) -> Configuration {
    let mut configuration = Configuration(toml::toml! {
        [dataplane]
        interfaces = ["eth0"]
        xdp_mode = "native"
        flow_table_size = 65536
    });
    for number in 1..=ROUTERS {
        let mut instance = toml::toml! {
            interface = "eth0"
            version = 3
        };
        let id = i64::try_from(number).expect("it has eight bits");
        instance.insert("name".to_owned(), format!("VI_{number}").into());
        instance.insert("virtual_router_id".to_owned(), id.into());
        instance.insert("priority".to_owned(), i64::from(priority).into());
        instance.insert("advert_int".to_owned(), interval.into());
        instance.insert(
            "virtual_ipaddress".to_owned(),
            vec![format!("10.1.0.{number}/32")].into(),
        );
        configuration.push("vrrp_instance", instance);
    }
    configuration
}

/// Waits until `node` has all virtual addresses.
fn await_addresses(node: &Node) -> Result<()> {
    wait::until("the master has all virtual addresses", PATIENCE, || {
        addresses(node).is_ok_and(|count| count == ROUTERS).then_some(())
    })
}

/// Refuses what was measured while the roles were others than was thought.
fn ensure_roles(master: &Node, backup: &Node) -> Result<()> {
    let (of_master, of_backup) = (addresses(master)?, addresses(backup)?);
    ensure!(
        (of_master, of_backup) == (ROUTERS, 0),
        "the master, {}, has {of_master} virtual addresses, the backup {of_backup}: the machine is too busy to tell",
        master.name
    );
    Ok(())
}

/// How many virtual addresses `node` has.
fn addresses(node: &Node) -> Result<usize> {
    let mut command = node.namespace.command("ip");
    let list = run(command.args(["-oneline", "-4", "address", "show", "dev", "eth0"]))?;
    Ok(list.lines().filter(|line| line.contains("inet 10.1.0.")).count())
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
