//! What whole configurations mean, and what must hold for any text.

mod diagnostics;
mod lists;

use std::time::Duration;

use proptest::prelude::*;

use super::table::Table;
use super::*;
use crate::model::{
    AccessLists, Attach, Check, CheckKind, CheckTiming, FlowTimeouts, Forwarding, HashOptions, Protocol,
    Scheduler, Version, XdpMode,
};

/// The example of the design, and of the README.
const EXAMPLE: &str = r#"
[node]
router_id = "lb1"

[dataplane]
interfaces = ["eth0"]        # where packets for the VIPs arrive; default: the interfaces of the vrrp_instances
xdp_mode = "auto"            # auto (native, falling back to generic with a warning) | native | generic
attach = "on_master"         # on_master | always (pre-attached and idle on backups: for NICs whose link flaps on attach)
flow_table_size = 1048576

[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 51
version = 2                  # 2 | 3
state = "backup"             # initial state only, as in Keepalived
priority = 150
advert_int = "1s"            # v3: down to 10ms
nopreempt = false
authentication = { auth_type = "pass", auth_pass = "1111" }     # v2 only
virtual_ipaddress = ["10.0.0.3/24", { address = "10.0.0.4/32", dev = "eth0", label = "eth0:1" }]

[[virtual_server]]
address = "10.0.0.3"
port = 80
protocol = "tcp"
lb_algo = "wrr"
lb_kind = "dr"
delay_loop = "6s"            # interval between health checks

[[virtual_server.real_server]]
address = "10.0.0.11"
weight = 3
tcp_check = { connect_timeout = "3s", retry = 3, delay_before_retry = "3s" }
"#;

/// The example after each `(from, to)` has been replaced once.
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(EXAMPLE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the example has no `{from}`");
        text.replacen(from, to, 1)
    })
}

/// The example with `more` at its end.
fn extended(more: &str) -> String {
    format!("{EXAMPLE}{more}")
}

#[test]
fn a_timeout_that_is_not_configured_is_ipvss() {
    let text = edited(&[(
        "flow_table_size = 1048576",
        "flow_names = false\nlvs_timeouts = { tcp = \"31d\", udp = \"1s\" }",
    )]);
    let dataplane = parse(&text).expect("it is right").configuration.dataplane;
    assert!(!dataplane.flow_names);
    let expected = FlowTimeouts {
        tcp: Duration::from_hours(31 * 24),
        udp: Duration::from_secs(1),
        ..FlowTimeouts::IPVS
    };
    assert_eq!(dataplane.flow_timeouts, expected);
}

#[test]
fn the_example_means_what_it_says() {
    let loaded = parse(EXAMPLE).expect("the example is right");
    assert_eq!(loaded.warnings, []);
    let configuration = loaded.configuration;
    assert_eq!(configuration.node.router_id.as_deref(), Some("lb1"));
    assert_eq!(configuration.interfaces(), ["eth0"]);
    assert_eq!(configuration.dataplane.xdp_mode, XdpMode::Auto);
    assert_eq!(configuration.dataplane.attach, Attach::OnMaster);
    assert_eq!(configuration.dataplane.flow_table_size, 1_048_576);
    assert!(configuration.dataplane.flow_names);
    assert_eq!(configuration.dataplane.flow_timeouts, FlowTimeouts::IPVS);

    let [instance] = &configuration.vrrp_instances[..] else {
        panic!("one instance");
    };
    assert_eq!(instance.name, "VI_1");
    assert_eq!(instance.virtual_router_id.get(), 51);
    assert_eq!(instance.version, Version::V2);
    assert_eq!(instance.priority.get(), 150);
    assert_eq!(instance.advert_int.seconds(), Some(1));
    assert!(instance.preempt);
    assert!(instance.lease);
    assert_eq!(instance.password.expect("it has one").bytes(), b"1111\0\0\0\0");
    let [first, second] = &instance.virtual_addresses[..] else {
        panic!("two addresses");
    };
    assert_eq!(first.address.to_string(), "10.0.0.3/24");
    assert_eq!((&first.device, &first.label), (&None, &None));
    assert_eq!(second.address.to_string(), "10.0.0.4/32");
    assert_eq!(second.device.as_deref(), Some("eth0"));
    assert_eq!(second.label.as_deref(), Some("eth0:1"));

    let [service] = &configuration.virtual_services[..] else {
        panic!("one service");
    };
    assert_eq!(service.address.to_string(), "10.0.0.3:80/tcp");
    assert_eq!(service.scheduler, Scheduler::WeightedRoundRobin);
    let [real_server] = &service.real_servers[..] else {
        panic!("one real server");
    };
    assert_eq!(real_server.address.to_string(), "10.0.0.11:80");
    assert_eq!(real_server.weight.get(), 3);
    assert_eq!(
        real_server.checks,
        [Check {
            timing: CheckTiming {
                delay_loop: Duration::from_secs(6),
                retry: 3,
                delay_before_retry: Duration::from_secs(3),
                rise: 1,
            },
            kind: CheckKind::Tcp {
                target: real_server.address,
                connect_timeout: Duration::from_secs(3),
            },
        }]
    );
}

/// The sample configuration, as it is installed.
const SAMPLE: &str = include_str!("../../../packaging/lbd.toml");

#[test]
fn the_sample_is_what_the_tables_of_keys_yield() {
    assert!(
        sample() == SAMPLE,
        "packaging/lbd.toml is not what the tables of keys yield. To bring it up to date:\n\
         cargo run -p vrrp-daemon -- sample-config > lbd.toml.new && mv lbd.toml.new packaging/lbd.toml\n\
         What they yield:\n{}",
        sample()
    );
}

/// `keys` and all below them.
fn all_keys(keys: Vec<key::Key>) -> Vec<key::Key> {
    let below = |key: key::Key| [all_keys(key.keys.clone()), vec![key]].concat();
    keys.into_iter().flat_map(below).collect()
}

#[test]
fn every_key_says_what_it_is_for() {
    let keys = all_keys(RawFile::list_keys());
    assert!(keys.iter().any(|key| key.name == "delay_before_retry"));
    for key in keys {
        assert!(
            !key.documentation.is_empty(),
            "`{}` needs a doc comment",
            key.name
        );
    }
}

/// What an inline table does not say has the value that its documentation tells.
#[test]
fn the_keys_of_inline_tables_have_the_defaults_that_they_tell() {
    let keys = all_keys(RawFile::list_keys());
    let tcp_check = keys
        .iter()
        .find(|key| key.name == "tcp_check")
        .expect("there is one");
    let told: Vec<String> = tcp_check
        .keys
        .iter()
        .filter_map(|key| match &key.presence {
            key::Presence::Default { default, .. } => Some(format!("{} = {default}", key.name)),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 4);
    let with = |check: &str| {
        let written = "{ connect_timeout = \"3s\", retry = 3, delay_before_retry = \"3s\" }";
        parse(&edited(&[(written, check)]))
            .expect("no errors")
            .configuration
    };
    assert_eq!(with(&format!("{{ {} }}", told.join(", "))), with("{}"));
}

#[test]
fn the_sample_parses() {
    let loaded = parse(SAMPLE).map_err(|problems| render(&problems, "packaging/lbd.toml", SAMPLE, false));
    assert_eq!(loaded.expect("no errors").warnings, []);
}

/// What the sample shows as defaults can be uncommented, and changes nothing.
#[test]
fn the_sample_tells_the_defaults() {
    let uncommented: String = SAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(pair)
                if pair
                    .split_once(" = ")
                    // A group is there instead of an address.
                    .is_some_and(|(key, _)| !key.contains([' ', '"']) && key != "group") =>
            {
                pair
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(uncommented.lines().count() == SAMPLE.lines().count() && uncommented.contains("\nlb_kind = "));
    let mut configuration = parse(&uncommented)
        .map_err(|problems| render(&problems, "packaging/lbd.toml", &uncommented, false))
        .expect("no errors")
        .configuration;
    // These show what may be there, not the default.
    configuration.dataplane.interfaces.clear();
    configuration.dataplane.access = AccessLists::default();
    configuration.vrrp_instances[0].password = None;
    configuration.virtual_services[0].real_servers[0].forwarding = Forwarding::DirectRouting;
    assert_eq!(configuration, parse(SAMPLE).expect("no errors").configuration);
}

#[test]
fn what_is_not_written_has_a_default() {
    let text = r#"
        vrrp_instance = [
            { name = "a", interface = "eth1", virtual_router_id = 1, virtual_ipaddress = ["10.0.0.3"] },
        ]
        [[virtual_server]]
        address = "10.0.0.3"
        port = 53
        [[virtual_server.real_server]]
        address = "10.0.0.11"
        [[virtual_server.real_server]]
        address = "10.0.0.12"
        tcp_check = {}
    "#;
    let configuration = parse(text).expect("nothing is wrong with it").configuration;
    assert_eq!(configuration.node.router_id, None);
    assert_eq!(configuration.node.control_socket, default_control_socket());
    assert_eq!(configuration.interfaces(), ["eth1"]);
    let instance = &configuration.vrrp_instances[0];
    assert_eq!(instance.version, Version::V2);
    assert_eq!(instance.priority.get(), 100);
    assert_eq!(instance.advert_int.seconds(), Some(1));
    assert_eq!(instance.password, None);
    assert!(instance.preempt && instance.lease);
    assert_eq!(instance.virtual_addresses[0].address.to_string(), "10.0.0.3/32");
    let service = &configuration.virtual_services[0];
    assert_eq!(service.address.protocol, Protocol::Tcp);
    assert_eq!(service.scheduler, Scheduler::WeightedRoundRobin);
    assert_eq!(service.real_servers[0].weight.get(), 1);
    assert_eq!(service.real_servers[0].checks, []);
    assert_eq!(
        service.real_servers[1].checks,
        [Check {
            timing: CheckTiming {
                delay_loop: Duration::from_secs(6),
                retry: 1,
                delay_before_retry: Duration::from_secs(1),
                rise: 1,
            },
            kind: CheckKind::Tcp {
                target: service.real_servers[1].address,
                connect_timeout: Duration::from_secs(5),
            },
        }]
    );
}

#[test]
fn schedulers_that_count_have_ipvss_names() {
    for (word, expected) in [
        ("lc", Scheduler::LeastConnection),
        ("wlc", Scheduler::WeightedLeastConnection),
        ("sed", Scheduler::ShortestExpectedDelay),
        ("nq", Scheduler::NeverQueue),
        ("fo", Scheduler::WeightedFailover),
        ("ovf", Scheduler::WeightedOverflow),
        ("twos", Scheduler::TwoChoices),
    ] {
        let loaded = parse(&edited(&[("\"wrr\"", &format!("\"{word}\""))])).expect("it is valid");
        assert_eq!(loaded.warnings, []);
        let scheduler = loaded.configuration.virtual_services[0].scheduler;
        assert_eq!(scheduler, expected);
        assert_eq!(scheduler.name(), word);
    }
}

#[test]
fn thresholds_are_limits_only_where_they_are_written() {
    let thresholds = |lines: &str| {
        let loaded = parse(&edited(&[("weight = 3", lines)])).expect("it is valid");
        assert_eq!(loaded.warnings, []);
        let real_server = &loaded.configuration.virtual_services[0].real_servers[0];
        (real_server.upper_threshold, real_server.lower_threshold)
    };
    assert_eq!(thresholds("weight = 3"), (0, 0));
    assert_eq!(thresholds("uthreshold = 5"), (5, 0));
    assert_eq!(thresholds("uthreshold = 5\nlthreshold = 5"), (5, 5));
}

/// As in Keepalived.
#[test]
fn hash_schedulers_have_ipvss_options_and_maglev_other_defaults() {
    let scheduler = |lines: &str| {
        let loaded = parse(&edited(&[("lb_algo = \"wrr\"", lines)])).expect("it is valid");
        assert_eq!(loaded.warnings, []);
        loaded.configuration.virtual_services[0].scheduler
    };
    let options = |port, fallback| HashOptions { port, fallback };
    for (lines, expected) in [
        ("lb_algo = \"dh\"", Scheduler::DestinationHash),
        ("lb_algo = \"sh\"", Scheduler::SourceHash(options(false, false))),
        (
            "lb_algo = \"sh\"\nsh_port = true",
            Scheduler::SourceHash(options(true, false)),
        ),
        (
            "lb_algo = \"sh\"\nsh_fallback = true",
            Scheduler::SourceHash(options(false, true)),
        ),
        ("lb_algo = \"mh\"", Scheduler::Maglev(options(true, true))),
        (
            "lb_algo = \"mh\"\nmh_port = false",
            Scheduler::Maglev(options(false, true)),
        ),
        (
            "lb_algo = \"mh\"\nmh_fallback = false",
            Scheduler::Maglev(options(true, false)),
        ),
    ] {
        assert_eq!(scheduler(lines), expected, "{lines}");
        assert!(lines.contains(expected.name()), "{lines}");
    }
}

#[test]
fn a_master_by_state_preempts() {
    for (state, nopreempt, preempt) in [
        ("backup", false, true),
        ("backup", true, false),
        ("master", false, true),
        ("master", true, true),
    ] {
        let text = edited(&[
            ("\"backup\"", &format!("\"{state}\"")),
            ("nopreempt = false", &format!("nopreempt = {nopreempt}")),
        ]);
        let loaded = parse(&text).expect("no errors");
        assert_eq!(loaded.configuration.vrrp_instances[0].preempt, preempt, "{text}");
    }
}

/// With one bit or none for the host, each address is a host's.
#[test]
fn an_address_in_a_network_of_two_is_a_hosts() {
    for address in [
        "10.0.0.0/31",
        "10.0.0.1/31",
        "10.0.0.0/32",
        "10.0.0.255/32",
        "10.0.0.255/23",
    ] {
        let text = edited(&[("10.0.0.4/32", address)]);
        assert!(parse(&text).is_ok(), "{address}");
    }
}

#[test]
fn intervals_of_version_3_go_down_to_ten_milliseconds() {
    for (written, centiseconds) in [("10ms", 1), ("40.95s", 4_095), ("1s 500ms", 150)] {
        let text = edited(&[
            ("version = 2 ", "version = 3 "),
            ("\"1s\"", &format!("\"{written}\"")),
            ("authentication", "#"),
        ]);
        let configuration = parse(&text).expect(written).configuration;
        assert_eq!(
            configuration.vrrp_instances[0].advert_int.centiseconds(),
            centiseconds
        );
    }
}

#[test]
fn missing_interfaces_are_reported_once_each() {
    let text = edited(&[("dev = \"eth0\", label = \"eth0:1\"", "dev = \"eth1\"")]);
    assert_eq!(missing_interfaces(&text, |_| true), []);
    let missing = missing_interfaces(&text, |name| name == "lo");
    insta::assert_snapshot!("missing_interfaces", render(&missing, "lbd.toml", &text, false));
}

#[test]
fn a_missing_interface_is_reported_of_a_file_with_other_errors_too() {
    let text = edited(&[("virtual_router_id = 51", "virtual_router_id = 300")]);
    assert!(parse(&text).is_err());
    let missing = missing_interfaces(&text, |_| false);
    assert_eq!(
        missing.iter().map(Diagnostic::message).collect::<Vec<_>>(),
        ["there is no interface `eth0` on this host"]
    );
}

#[test]
fn the_control_socket_is_found_in_a_file_with_errors() {
    let text = "[node]\nrouter_id = \ncontrol_socket = \"/tmp/a.sock\"\n[oops\n";
    assert_eq!(control_socket(text), PathBuf::from("/tmp/a.sock"));
    assert_eq!(control_socket("[dataplane]\n"), default_control_socket());
    assert_eq!(control_socket(""), default_control_socket());
}

#[test]
fn more_services_than_the_tables_hold_are_refused() {
    let count = lb_common::maps::SERVICES.capacity + 1;
    let services: String = (1..=count)
        .map(|port| format!("[[virtual_server]]\naddress = \"10.0.0.4\"\nport = {port}\n"))
        .collect();
    let diagnostics = parse(&extended(&services)).expect_err("one too many, beside that of the example");
    let errors: Vec<&str> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity() == Severity::Error)
        .map(Diagnostic::message)
        .collect();
    assert_eq!(errors, ["there is room for 10240 virtual servers"]);
}

#[test]
fn colour_is_only_there_on_request() {
    let text = edited(&[("priority = 150", "priority = 0")]);
    let diagnostics = parse(&text).expect_err("0 is no priority");
    assert!(render(&diagnostics, "lbd.toml", &text, true).contains('\x1b'));
    assert!(!render(&diagnostics, "lbd.toml", &text, false).contains('\x1b'));
}

/// Parses and renders, and asks of the outcome only what must hold for any text.
fn survives(text: &str) -> Result<(), TestCaseError> {
    drop(control_socket(text));
    drop(render(
        &missing_interfaces(text, |_| false),
        "lbd.toml",
        text,
        false,
    ));
    match parse(text) {
        Ok(loaded) => {
            prop_assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|warning| warning.severity() == Severity::Warning)
            );
            prop_assert!(!loaded.configuration.interfaces().is_empty());
        }
        Err(diagnostics) => {
            prop_assert!(
                diagnostics
                    .iter()
                    .any(|diagnostic| diagnostic.severity() == Severity::Error)
            );
            prop_assert!(render(&diagnostics, "lbd.toml", text, true).contains("lbd.toml"));
            // Of a file that was edited in between, too.
            drop(render(&diagnostics, "lbd.toml", "é", false));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        survives(&text)?;
    }

    /// Texts that get further than arbitrary ones do: the example with a few places overwritten.
    #[test]
    fn no_damage_makes_it_panic(
        damages in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..30, r#"[\[\]{}="',.\n0-9a-z#é-]{0,6}"#), 1..5,
        ),
    ) {
        let mut text = EXAMPLE.to_owned();
        for (index, length, replacement) in damages {
            let start = text.floor_char_boundary(index.index(text.len() + 1));
            let end = text.floor_char_boundary((start + length).min(text.len())).max(start);
            text.replace_range(start..end, &replacement);
        }
        survives(&text)?;
    }
}
