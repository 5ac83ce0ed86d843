//! The status for people: eighty columns hold it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::api::{
    AttachedMode, DataplaneStatus, InstanceState, InstanceStatus, LastCheck, Problem, RealServerState,
    RealServerStatus, Status, Timestamp, VirtualServerState, VirtualServerStatus,
};
use crate::cli::table::{Align, Cell, Table, Tone, wrap};

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
        "{} known connections; each flow table has room for {}\n",
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
        let address = SocketAddr::new(server.address, server.port);
        let active = server
            .real_servers
            .iter()
            .map(|real_server| real_server.active_connections)
            .sum();
        table.row([
            Cell::from(format!("{address}/{} {}", server.protocol, server.scheduler)),
            Cell::toned(state.to_owned(), tone),
            Cell::from(""),
            Cell::from(short(active)),
            Cell::from(short(server.connections)),
            Cell::from(short(server.packets)),
            Cell::from(short(server.bytes)),
        ]);
        for real_server in &server.real_servers {
            row(&mut table, real_server, now);
        }
    }
    table
}

fn row(table: &mut Table<7>, real_server: &RealServerStatus, now: SystemTime) {
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
        Cell::from(of(real_server.effective_weight, real_server.weight)),
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
mod tests {
    use super::*;

    const STATUS: &str = r#"{"node":"lb1","version":"0.1.0","uptime_seconds":93784.6,
        "vrrp_instances":[
            {"name":"VI_1","interface":"eth0","virtual_router_id":51,"version":2,"state":"master","priority":150,
             "effective_priority":150,"master_address":"10.0.0.1","virtual_addresses":["10.0.0.3","10.0.0.4"],
             "transitions":1,"last_transition":"2026-01-02T03:04:05Z",
             "advertisements":{"sent":61,"received":2,"refused":1}},
            {"name":"inside","interface":"enp5s0","virtual_router_id":7,"version":3,"state":"init","priority":100,
             "effective_priority":80,"master_address":null,"virtual_addresses":["192.0.2.1"],
             "transitions":0,"last_transition":null,
             "reason":"there is no such interface"}],
        "dataplane":{"interfaces":[
            {"name":"enp5s0","attached":false,"mode":null,"program_id":null},
            {"name":"eth0","attached":true,"mode":"generic","program_id":7}],
            "flows":123,"flow_table_size":1048576,
            "verdicts":{"drop_malformed":3,"forward_flow":12345678,"forward_new":4321,"pass_not_master":7}},
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
                 "mac":null,"active_connections":0,"connections":0,"packets":0,"bytes":0,"last_check":null}]}],
        "configuration":{"path":"/etc/lbd/lbd.toml","loaded_at":"2026-01-02T03:00:00Z","refused_reload":null},
        "problems":[
            {"code":"two_masters","subject":"VI_1","message":"10.0.0.2 of the lower priority 100 is master as well: does it hear our advertisements?","since":"2026-01-02T03:05:00Z"},
            {"code":"unresolved","subject":"2001:db8::11","message":"nobody answers for its link-layer address","since":"2026-01-02T03:05:00Z"}]}"#;

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
        assert_eq!(elapsed(at, SystemTime::UNIX_EPOCH), "0s");
    }

    /// The longest of everything.
    fn largest() -> Status {
        let mut status: Status = serde_json::from_str(STATUS).unwrap();
        let long = "[2001:db8:1111:2222:3333:4444:5555:6666]";
        let address: std::net::IpAddr = long.trim_matches(['[', ']']).parse().unwrap();
        let instance = &mut status.vrrp_instances[0];
        instance.name = "a name that is much longer than anybody needs".to_owned();
        instance.interface = "fifteen-letters".to_owned();
        instance.virtual_router_id = 255;
        instance.priority = 254;
        instance.effective_priority = 100;
        instance.virtual_addresses = vec![address; 20];
        instance.master_address = Some(address);
        instance.advertisements.received = u64::MAX;
        instance.last_transition = Some(SystemTime::UNIX_EPOCH.into());
        status.problems[0].message = "words and ".repeat(40);
        let interface = &mut status.dataplane.interfaces[1];
        interface.name = "fifteen-letters".to_owned();
        interface.program_id = Some(u32::MAX);
        for verdict in lb_common::Verdict::ALL {
            status
                .dataplane
                .verdicts
                .insert(verdict.name().to_owned(), u64::MAX);
        }
        let server = &mut status.virtual_servers[0];
        (server.address, server.port) = (address, 65_535);
        (server.connections, server.packets, server.bytes) = (u64::MAX, u64::MAX, u64::MAX);
        let real_server = &mut server.real_servers[1];
        (real_server.address, real_server.port) = (address, 65_535);
        real_server.weight = u16::MAX;
        real_server.state = RealServerState::Unresolved;
        real_server.active_connections = u64::MAX / 2;
        real_server.bytes = u64::MAX;
        real_server.last_check.as_mut().unwrap().message =
            format!("{long}:65535 did not answer within 1m 30s");
        status
    }

    #[test]
    fn eighty_columns_hold_whatever_there_is() {
        let now = humantime::parse_rfc3339("2026-01-02T03:05:06Z").unwrap();
        let status: Status = serde_json::from_str(STATUS).unwrap();
        for status in [status, largest()] {
            let shown = human(&status, now, false);
            for line in shown.lines() {
                assert!(
                    line.chars().count() <= 80,
                    "{} columns:\n{line}\n\n{shown}",
                    line.chars().count()
                );
            }
        }
    }

    #[test]
    fn long_numbers_are_short() {
        let cases = [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100K"),
            (999_499, "999K"),
            (999_500, "1.00M"),
            (1_234_567, "1.23M"),
            (12_345_678, "12.3M"),
            (u64::MAX, "18.4E"),
        ];
        for (count, text) in cases {
            assert_eq!(short(count), text);
        }
    }

    #[test]
    fn ten_thousand_problems_are_not_shown_one_by_one() {
        let mut status: Status = serde_json::from_str(STATUS).unwrap();
        status.problems = vec![status.problems[1].clone(); 10_000];
        let shown = human(&status, SystemTime::now(), false);
        assert!(shown.contains("and 9980 more"), "{shown}");
        assert!(shown.lines().count() < 100);
    }
}
