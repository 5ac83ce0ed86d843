//! What people see.

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
    let address: IpAddr = long.trim_matches(['[', ']']).parse().unwrap();
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
    status.cold = Some(ColdStatus {
        checks: usize::MAX,
        neighbours: usize::MAX,
        links: vec!["fifteen-letters".to_owned(); 10],
        until: Some(status.problems[0].since),
    });
    let server = &mut status.virtual_servers[0];
    (server.address, server.port) = (address, 65_535);
    (server.connections, server.packets, server.bytes) = (u64::MAX, u64::MAX, u64::MAX);
    let real_server = &mut server.real_servers[1];
    (real_server.address, real_server.port) = (address, 65_535);
    real_server.weight = u16::MAX;
    real_server.effective_weight = u16::MAX - 1;
    real_server.scheduled_weight = 55_534.567_8;
    server.weight_error = 0.9;
    real_server.state = RealServerState::Unresolved;
    real_server.active_connections = u64::MAX / 2;
    real_server.bytes = u64::MAX;
    real_server.last_check.as_mut().unwrap().message = format!("{long}:65535 did not answer within 1m 30s");
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
fn a_cold_node_says_what_it_waits_for_and_how_long_at_most() {
    let now = humantime::parse_rfc3339("2026-01-02T03:05:06Z").unwrap();
    let mut status: Status = serde_json::from_str(STATUS).unwrap();
    let mut shown = |cold: ColdStatus| {
        status.cold = Some(cold);
        let shown = human(&status, now, false);
        let line = shown.split("\ncold: ").nth(1).expect("it is said");
        line.split("\n\n").next().unwrap().replace("\n  ", " ")
    };
    let until = Some(Timestamp::from(now + Duration::from_millis(4_200)));
    let waits = ColdStatus {
        checks: 3,
        neighbours: 1,
        until,
        ..ColdStatus::default()
    };
    let begin = "preempts no master until it knows its real servers: waits for ";
    let end = "3 health checks and 1 neighbour, 5s at most";
    assert_eq!(shown(waits), [begin, end].concat());
    let links = ColdStatus {
        links: vec!["eth0".to_owned()],
        ..ColdStatus::default()
    };
    assert_eq!(shown(links), [begin, "the link of eth0"].concat());
    let written = ColdStatus {
        until,
        ..ColdStatus::default()
    };
    assert_eq!(shown(written), [begin, "the maps, 5s at most"].concat());
}

#[test]
fn weights_that_are_rounded_are_told_of_beside_their_service() {
    let now = SystemTime::UNIX_EPOCH;
    let mut status: Status = serde_json::from_str(STATUS).unwrap();
    status.virtual_servers[0].weight_error = 0.012_3;
    status.virtual_servers[0].real_servers[0].scheduled_weight = 2.96;
    let shown = human(&status, now, false);
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains("rounded")).collect();
    assert_eq!(
        lines,
        ["    weights are rounded: shares differ by up to 1.23 % from what they say"]
    );
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| line.contains("10.0.0.11:80"))
        .collect();
    assert!(lines[0].contains(" 2.96/3 "), "{lines:?}");
}

#[test]
fn the_last_slot_of_a_maglev_table_is_not_told_of() {
    let now = SystemTime::UNIX_EPOCH;
    let mut status: Status = serde_json::from_str(STATUS).unwrap();
    status.virtual_servers[0].weight_error = 0.009;
    status.virtual_servers[0].real_servers[0].scheduled_weight = 2.98;
    for (scheduler, is_told) in [("mh", false), ("sh", true)] {
        scheduler.clone_into(&mut status.virtual_servers[0].scheduler);
        let shown = human(&status, now, false);
        let told = ["rounded", " 2.98/3 "].map(|part| shown.contains(part));
        assert_eq!(told, [is_told; 2], "{shown}");
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
