//! `lbd status`.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::table::{Align, Cell, Table, Tone};
use super::{Daemon, client};
use crate::api::{
    AttachedMode, DataplaneStatus, InstanceState, InstanceStatus, LastCheck, RealServerState, Request,
    Response, Status, Timestamp, VirtualServerState, VirtualServerStatus,
};

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    daemon: Daemon,
    /// Print JSON, for programs
    #[arg(short, long)]
    json: bool,
}

/// Asks the daemon for its status and prints it.
pub(super) fn run(arguments: &StatusArguments) -> anyhow::Result<()> {
    let status = match client::call(&arguments.daemon.socket()?, Request::Status)? {
        Response::Status(status) => status,
        Response::Refused { message } | Response::Done { message } => anyhow::bail!(message),
    };
    let mut text = if arguments.json {
        serde_json::to_string(&status)?
    } else {
        human(&status, SystemTime::now(), io::stdout().is_terminal())
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The status for people, at the time `now`.
fn human(status: &Status, now: SystemTime, colour: bool) -> String {
    let uptime = Duration::try_from_secs_f64(status.uptime_seconds).unwrap_or_default();
    let mut parts = vec![format!(
        "{}: lbd {}, up {}\n",
        status.node,
        status.version,
        about(uptime)
    )];
    if !status.vrrp_instances.is_empty() {
        parts.push(instances(&status.vrrp_instances, now).render(colour));
    }
    parts.push(dataplane(&status.dataplane, colour));
    if !status.virtual_servers.is_empty() {
        parts.push(servers(&status.virtual_servers, now).render(colour));
    }
    parts.join("\n")
}

fn instances(instances: &[InstanceStatus], now: SystemTime) -> Table<8> {
    let mut table = Table::new([
        ("VRRP INSTANCE", Align::Left),
        ("INTERFACE", Align::Left),
        ("VRID", Align::Right),
        ("STATE", Align::Left),
        ("PRIORITY", Align::Right),
        ("MASTER", Align::Left),
        ("SINCE", Align::Left),
        ("VIRTUAL ADDRESSES", Align::Left),
    ]);
    for instance in instances {
        let (state, tone) = match instance.state {
            InstanceState::Init => ("init", Tone::Waiting),
            InstanceState::Backup => ("backup", Tone::Plain),
            InstanceState::Master => ("master", Tone::Good),
            InstanceState::Fault => ("fault", Tone::Bad),
        };
        let addresses: Vec<String> = instance
            .virtual_addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        table.row([
            Cell::from(&instance.name),
            Cell::from(&instance.interface),
            Cell::from(instance.virtual_router_id),
            Cell::toned(state.to_owned(), tone),
            Cell::from(of(instance.effective_priority, instance.priority)),
            Cell::from(
                instance
                    .master_address
                    .map_or_else(none, |address| address.to_string()),
            ),
            Cell::from(instance.last_transition.map_or_else(none, |at| ago(at, now))),
            Cell::from(addresses.join(" ")),
        ]);
    }
    table
}

fn dataplane(dataplane: &DataplaneStatus, colour: bool) -> String {
    let mut table = Table::new([
        ("INTERFACE", Align::Left),
        ("XDP PROGRAM", Align::Left),
        ("MODE", Align::Left),
        ("ID", Align::Right),
    ]);
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
    let flows = format!(
        "{} known connections; each flow table has room for {}\n",
        dataplane.flows, dataplane.flow_table_size
    );
    if dataplane.interfaces.is_empty() {
        flows
    } else {
        table.render(colour) + &flows
    }
}

fn servers(servers: &[VirtualServerStatus], now: SystemTime) -> Table<10> {
    let mut table = Table::new([
        ("VIRTUAL SERVER", Align::Left),
        ("SCHEDULER", Align::Left),
        ("STATE", Align::Left),
        ("WEIGHT", Align::Right),
        ("ACTIVE", Align::Right),
        ("CONNECTIONS", Align::Right),
        ("PACKETS", Align::Right),
        ("BYTES", Align::Right),
        ("MAC", Align::Left),
        ("LAST CHECK", Align::Left),
    ]);
    for server in servers {
        let (state, tone) = match server.state {
            VirtualServerState::Up => ("up", Tone::Good),
            VirtualServerState::Down => ("down", Tone::Bad),
        };
        let address = SocketAddr::new(server.address, server.port);
        let active: u64 = server
            .real_servers
            .iter()
            .map(|real_server| real_server.active_connections)
            .sum();
        table.row([
            Cell::from(format!("{address}/{}", server.protocol)),
            Cell::from(format!("{} {}", server.scheduler, server.forward)),
            Cell::toned(state.to_owned(), tone),
            Cell::from(""),
            Cell::from(active),
            Cell::from(server.connections),
            Cell::from(server.packets),
            Cell::from(server.bytes),
            Cell::from(""),
            Cell::from(""),
        ]);
        for real_server in &server.real_servers {
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
                Cell::from(""),
                Cell::toned(state.to_owned(), tone),
                Cell::from(of(real_server.effective_weight, real_server.weight)),
                Cell::from(real_server.active_connections),
                Cell::from(real_server.connections),
                Cell::from(real_server.packets),
                Cell::from(real_server.bytes),
                Cell::from(real_server.mac.clone().unwrap_or_else(none)),
                check(real_server.last_check.as_ref(), now),
            ]);
        }
    }
    table
}

/// The last health check.
fn check(check: Option<&LastCheck>, now: SystemTime) -> Cell {
    match check {
        None => Cell::from(none()),
        Some(LastCheck { ok, message, at }) => Cell::toned(
            format!("{message} ({})", ago(*at, now)),
            if *ok { Tone::Plain } else { Tone::Bad },
        ),
    }
}

/// A number, and what it would be if nothing were special.
fn of<T: PartialEq + ToString>(effective: T, configured: T) -> String {
    if effective == configured {
        configured.to_string()
    } else {
        format!("{} of {}", effective.to_string(), configured.to_string())
    }
}

/// What is not known or not there.
fn none() -> String {
    "-".to_owned()
}

/// How long before `now` it was.
fn ago(at: Timestamp, now: SystemTime) -> String {
    // The clocks of daemon and command are one; a step between the two calls is no reason to fail.
    let elapsed = now.duration_since(at.into()).unwrap_or_default();
    format!("{} ago", about(elapsed))
}

/// A duration to the second, in its two largest units.
fn about(duration: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"node":"lb1","version":"0.1.0","uptime_seconds":93784.6,
        "vrrp_instances":[
            {"name":"VI_1","interface":"eth0","virtual_router_id":51,"version":2,"state":"master","priority":150,
             "effective_priority":150,"master_address":"10.0.0.1","virtual_addresses":["10.0.0.3","10.0.0.4"],
             "transitions":1,"last_transition":"2026-01-02T03:04:05Z"},
            {"name":"inside","interface":"enp5s0","virtual_router_id":7,"version":3,"state":"init","priority":100,
             "effective_priority":80,"master_address":null,"virtual_addresses":["192.0.2.1"],
             "transitions":0,"last_transition":null}],
        "dataplane":{"interfaces":[
            {"name":"enp5s0","attached":false,"mode":null,"program_id":null},
            {"name":"eth0","attached":true,"mode":"generic","program_id":7}],
            "flows":123,"flow_table_size":1048576},
        "virtual_servers":[
            {"address":"10.0.0.3","port":80,"protocol":"tcp","scheduler":"wrr","forward":"dr","state":"up",
             "connections":10,"packets":100,"bytes":6400,"real_servers":[
                {"address":"10.0.0.11","port":80,"weight":3,"effective_weight":3,"state":"up",
                 "mac":"02:00:00:00:00:0b","active_connections":2,"connections":7,"packets":70,"bytes":4480,
                 "last_check":{"ok":true,"message":"connected","at":"2026-01-02T03:04:05Z"}},
                {"address":"10.0.0.12","port":80,"weight":2,"effective_weight":0,"state":"down",
                 "mac":"02:00:00:00:00:0c","active_connections":1,"connections":3,"packets":30,"bytes":1920,
                 "last_check":{"ok":false,"message":"connection refused","at":"2026-01-02T03:05:00Z"}}]},
            {"address":"2001:db8::3","port":53,"protocol":"udp","scheduler":"rr","forward":"dr","state":"down",
             "connections":0,"packets":0,"bytes":0,"real_servers":[
                {"address":"2001:db8::11","port":53,"weight":1,"effective_weight":0,"state":"unresolved",
                 "mac":null,"active_connections":0,"connections":0,"packets":0,"bytes":0,"last_check":null}]}]}"#;

    fn shown(colour: bool) -> String {
        let status: Status = serde_json::from_str(STATUS).unwrap();
        let now = humantime::parse_rfc3339("2026-01-02T03:05:06Z").unwrap();
        human(&status, now, colour)
    }

    #[test]
    fn people_see_aligned_columns() {
        insta::assert_snapshot!("status", shown(false));
    }

    #[test]
    fn colour_adds_escapes_and_nothing_else() {
        let coloured = shown(true);
        assert!(coloured.contains("\x1b[32mmaster\x1b[0m"));
        assert!(coloured.contains("\x1b[31mdown\x1b[0m"));
        let mut bare = coloured;
        for escape in ["\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
            bare = bare.replace(escape, "");
        }
        assert_eq!(bare, shown(false));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_matter() {
        let at = Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(ago(at, SystemTime::UNIX_EPOCH), "0s ago");
    }
}
