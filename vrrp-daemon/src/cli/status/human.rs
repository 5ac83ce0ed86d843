//! The status for people: eighty columns hold it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::api::{
    AttachedMode, ColdStatus, DataplaneStatus, InstanceState, InstanceStatus, LastCheck, Problem,
    RealServerState, RealServerStatus, Status, Timestamp, VirtualServerState, VirtualServerStatus,
};
use crate::cli::table::{Align, Cell, Table, Tone, wrap};
use crate::model::Ports;
use crate::model::shares::Percent;

/// How many problems are shown; JSON has all of them.
const PROBLEMS: usize = 20;

/// Names up to this length are in the line of what they name.
const NAME: usize = 20;

/// The status, at the time `now`.
pub(super) fn human(status: &Status, now: SystemTime, colour: bool) -> String {
    let uptime = Duration::try_from_secs_f64(status.uptime_seconds).unwrap_or_default();
    let mut about_node = format!("{}: lbd {}, up {}\n", status.node, status.version, about(uptime));
    if let Some(configuration) = &status.configuration {
        let line = format!(
            "{}, read {} ago",
            configuration.path,
            elapsed(configuration.loaded_at, now)
        );
        about_node += &wrap(&line, "", "  ");
    }
    if let Some(awaited) = &status.cold {
        about_node += &wrap(&cold(awaited, now), "", "  ");
    }
    let mut parts = vec![about_node];
    if !status.problems.is_empty() {
        parts.push(problems(&status.problems, now, colour));
    }
    if !status.vrrp_instances.is_empty() {
        parts.push(instances(&status.vrrp_instances, now).render(colour));
    }
    parts.push(dataplane(&status.dataplane, colour));
    if !status.virtual_servers.is_empty() {
        parts.push(servers(&status.virtual_servers, now).render(colour));
    }
    parts.join("\n")
}

/// What keeps a node from preempting a master, and for how long.
fn cold(cold: &ColdStatus, now: SystemTime) -> String {
    let mut awaited: Vec<String> = cold
        .links
        .iter()
        .map(|link| format!("the link of {link}"))
        .collect();
    awaited.extend(count(cold.checks, "health check"));
    awaited.extend(count(cold.neighbours, "neighbour"));
    if awaited.is_empty() {
        awaited.push("the maps".to_owned());
    }
    let until = cold.until.map(|until| {
        let left = SystemTime::from(until).duration_since(now).unwrap_or_default();
        // A part of a second is one that is waited for.
        format!(", {} at most", about(left + Duration::from_millis(999)))
    });
    format!(
        "cold: preempts no master until it knows its real servers: waits for {}{}",
        awaited.join(" and "),
        until.unwrap_or_default()
    )
}

/// So many of a thing, if there are any.
fn count(number: usize, thing: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {thing}")),
        _ => Some(format!("{number} {thing}s")),
    }
}

fn problems(problems: &[Problem], now: SystemTime, colour: bool) -> String {
    let mut text = Cell::toned("PROBLEMS".to_owned(), Tone::Bad).render(colour) + "\n";
    for problem in problems.iter().take(PROBLEMS) {
        let Problem {
            code,
            subject,
            message,
            since,
        } = problem;
        let since = elapsed(*since, now);
        text += &wrap(
            &format!("{}: {subject}: {message} ({since})", code.name()),
            "",
            "  ",
        );
    }
    if problems.len() > PROBLEMS {
        text += &format!(
            "and {} more: `lbd status --json` has all of them\n",
            problems.len() - PROBLEMS
        );
    }
    text
}

fn instances(instances: &[InstanceStatus], now: SystemTime) -> Table<6> {
    let mut table = Table::new(
        [
            ("VRRP INSTANCE", Align::Left),
            ("INTERFACE", Align::Left),
            ("VRID", Align::Right),
            ("STATE", Align::Left),
            ("PRIORITY", Align::Right),
            ("FOR", Align::Left),
        ],
        NAME,
    );
    for instance in instances {
        let (state, tone) = match instance.state {
            InstanceState::Init => ("init", Tone::Waiting),
            InstanceState::Backup => ("backup", Tone::Plain),
            InstanceState::Master => ("master", Tone::Good),
            InstanceState::Fault => ("fault", Tone::Bad),
        };
        table.row([
            Cell::from(&instance.name),
            Cell::from(&instance.interface),
            Cell::from(instance.virtual_router_id),
            Cell::toned(state.to_owned(), tone),
            Cell::from(of(instance.effective_priority, instance.priority)),
            Cell::from(instance.last_transition.map_or_else(none, |at| elapsed(at, now))),
        ]);
        let addresses: Vec<String> = instance
            .virtual_addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        table.detail(addresses.join(" "), Tone::Plain);
        let counts = instance.advertisements;
        let counts = format!(
            "advertisements: {} sent, {} received, {} refused",
            counts.sent, counts.received, counts.refused
        );
        table.detail(
            match instance.master_address {
                Some(master) => format!("master {master}; {counts}"),
                None => counts,
            },
            Tone::Plain,
        );
        if let Some(reason) = &instance.reason {
            table.detail(format!("out of the election: {reason}"), tone);
        }
    }
    table
}

fn dataplane(dataplane: &DataplaneStatus, colour: bool) -> String {
    let mut table = Table::new(
        [
            ("INTERFACE", Align::Left),
            ("XDP PROGRAM", Align::Left),
            ("MODE", Align::Left),
            ("ID", Align::Right),
        ],
        NAME,
    );
    for interface in &dataplane.interfaces {
        let attached = if interface.attached {
            Cell::toned("attached".to_owned(), Tone::Good)
        } else {
            Cell::from("not attached")
        };
        let mode = match interface.mode {
            Some(AttachedMode::Native) => Cell::from("native"),
            Some(AttachedMode::Generic) => Cell::toned("generic".to_owned(), Tone::Waiting),
            None => Cell::from(none()),
        };
        let id = interface.program_id.map_or_else(none, |id| id.to_string());
        table.row([Cell::from(&interface.name), attached, mode, Cell::from(id)]);
    }
    let mut text = if dataplane.interfaces.is_empty() {
        String::new()
    } else {
        table.render(colour)
    };
    text += &format!(
        "{} known connections; the flow table has room for {}\n",
        dataplane.flows, dataplane.flow_table_size
    );
    let verdicts = dataplane.verdicts.iter();
    let verdicts: Vec<String> = verdicts
        .map(|(verdict, count)| format!("{verdict}\u{a0}{}", short(*count)))
        .collect();
    if !verdicts.is_empty() {
        // A name and its number stay together.
        text += &wrap(&format!("packets: {}", verdicts.join(", ")), "", "  ").replace('\u{a0}', " ");
    }
    text
}

fn servers(servers: &[VirtualServerStatus], now: SystemTime) -> Table<7> {
    let mut table = Table::new(
        [
            ("VIRTUAL SERVER", Align::Left),
            ("STATE", Align::Left),
            ("WEIGHT", Align::Right),
            ("ACTIVE", Align::Right),
            ("CONNS", Align::Right),
            ("PACKETS", Align::Right),
            ("BYTES", Align::Right),
        ],
        NAME,
    );
    for server in servers {
        let (state, tone) = match server.state {
            VirtualServerState::Up => ("up", Tone::Good),
            VirtualServerState::Down => ("down", Tone::Bad),
        };
        let ops = if server.ops { " ops" } else { "" };
        let active = server
            .real_servers
            .iter()
            .map(|real_server| real_server.active_connections)
            .sum();
        table.row([
            Cell::from(format!(
                "{}/{} {}{ops}",
                endpoint(server),
                server.protocol,
                server.scheduler
            )),
            Cell::toned(state.to_owned(), tone),
            Cell::from(""),
            Cell::from(short(active)),
            Cell::from(short(server.connections)),
            Cell::from(short(server.packets)),
            Cell::from(short(server.bytes)),
        ]);
        if let Some(group) = &server.group {
            let further = match server.further_addresses.as_slice() {
                [] => String::new(),
                [one] => format!(", with {one}"),
                [first, .., last] => {
                    format!(
                        ", with {} more: {first} to {last}",
                        server.further_addresses.len()
                    )
                }
            };
            table.detail(
                format!("the lowest address of the group {group}{further}"),
                Tone::Plain,
            );
        }
        if is_rounded(server) {
            let percent = Percent(server.weight_error);
            table.detail(
                format!("weights are rounded: shares differ by {percent} from what they say"),
                Tone::Plain,
            );
        }
        for real_server in &server.real_servers {
            row(&mut table, server, real_server, now);
        }
    }
    table
}

/// Address and ports of a service.
fn endpoint(server: &VirtualServerStatus) -> String {
    let ports = Ports::range(server.port, server.last_port.unwrap_or(server.port));
    let ports = ports.unwrap_or(Ports::one(server.port));
    match server.address {
        IpAddr::V4(ip) => format!("{ip}:{ports}"),
        IpAddr::V6(ip) => format!("[{ip}]:{ports}"),
    }
}

fn row(table: &mut Table<7>, server: &VirtualServerStatus, real_server: &RealServerStatus, now: SystemTime) {
    let (state, tone) = match real_server.state {
        RealServerState::Up => ("up", Tone::Good),
        RealServerState::Down => ("down", Tone::Bad),
        RealServerState::Drained => ("drained", Tone::Waiting),
        RealServerState::Unresolved => ("unresolved", Tone::Bad),
    };
    table.row([
        Cell::from(format!(
            "  {}",
            SocketAddr::new(real_server.address, real_server.port)
        )),
        Cell::toned(state.to_owned(), tone),
        Cell::from(weight(server, real_server)),
        Cell::from(short(real_server.active_connections)),
        Cell::from(short(real_server.connections)),
        Cell::from(short(real_server.packets)),
        Cell::from(short(real_server.bytes)),
    ]);
    if let Some(LastCheck {
        ok: false,
        message,
        at,
    }) = &real_server.last_check
    {
        table.detail(format!("{message} ({} ago)", elapsed(*at, now)), Tone::Bad);
    }
}

/// Whether shares differ from what the weights say by more than they always do: a Maglev table has a slot more or less.
fn is_rounded(server: &VirtualServerStatus) -> bool {
    let tolerance = if server.scheduler == "mh" { 0.01 } else { 0.0 };
    server.weight_error > tolerance
}

/// The weight, and before it what becomes of it: because it is rounded, or the real server does not serve.
fn weight(server: &VirtualServerStatus, real_server: &RealServerStatus) -> String {
    let effective = real_server.effective_weight.to_string();
    let configured = real_server.weight.to_string();
    if !is_rounded(server) {
        return of(effective, configured);
    }
    let scheduled = format!("{:.2}", real_server.scheduled_weight);
    of(
        scheduled.trim_end_matches('0').trim_end_matches('.').to_owned(),
        configured,
    )
}

/// A number, and what it would be if nothing were special.
fn of<T: PartialEq + ToString>(effective: T, configured: T) -> String {
    if effective == configured {
        configured.to_string()
    } else {
        format!("{}/{}", effective.to_string(), configured.to_string())
    }
}

/// A count in at most five characters: three digits and a unit where it is long.
fn short(count: u64) -> String {
    if count < 100_000 {
        return count.to_string();
    }
    let mut value = count as f64;
    let mut units = ["K", "M", "G", "T", "P", "E"].iter();
    let mut unit = "";
    while value >= 999.5 {
        value /= 1_000.0;
        unit = units.next().unwrap_or(&"E");
    }
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}{unit}")
}

/// What is not known or not there.
fn none() -> String {
    "-".to_owned()
}

/// How long before `now` it was.
fn elapsed(at: Timestamp, now: SystemTime) -> String {
    // The clocks of daemon and command are one; a step between the two calls is no reason to fail.
    about(now.duration_since(at.into()).unwrap_or_default())
}

/// A duration to the second, in its two largest units.
fn about(duration: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
