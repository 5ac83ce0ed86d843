//! Many checks, one agenda.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::config;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn origin() -> Instant {
    Instant::now()
}

/// `count` real servers, each with a check every ten seconds.
fn configuration(count: u8) -> Configuration {
    let mut text = "[dataplane]\ninterfaces = [\"eth0\"]\n[[virtual_server]]\naddress = \"192.0.2.1\"\nport = 80\ndelay_loop = \"10s\"\n".to_owned();
    for host in 1..=count {
        text += &format!(
            "[[virtual_server.real_server]]\naddress = \"192.0.2.{}\"\ntcp_check = {{ retry = 0 }}\n",
            host + 1
        );
    }
    config::parse(&text)
        .expect("the configuration is valid")
        .configuration
}

/// The first real server of `configuration`.
fn first(configuration: &Configuration) -> RealServerId {
    let service = &configuration.virtual_services[0];
    RealServerId {
        service: service.address,
        address: service.real_servers[0].address,
    }
}

/// A second check of the first real server, on another port.
fn with_second_check(mut configuration: Configuration) -> Configuration {
    let checks = &mut configuration.virtual_services[0].real_servers[0].checks;
    let mut second = checks[0].clone();
    second.kind = CheckKind::Tcp {
        target: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 8080),
        connect_timeout: SECOND,
    };
    checks.push(second);
    configuration
}

fn watching(configuration: &Configuration, now: Instant) -> Monitors {
    let mut monitors = Monitors::new();
    monitors.watch(configuration, |_| None, now);
    monitors
}

/// Everything wanted now.
fn effects(monitors: &mut Monitors) -> Vec<Effect> {
    std::iter::from_fn(|| monitors.next_effect()).collect()
}

/// The probes among what is wanted now, by the port that they try.
fn probes(monitors: &mut Monitors) -> Vec<(CheckHandle, u16)> {
    let wanted = effects(monitors).into_iter();
    let probes = wanted.filter_map(|effect| match effect {
        Effect::Probe {
            check,
            kind: CheckKind::Tcp { target, .. },
        } => Some((check, target.port())),
        Effect::Changed { .. } => None,
    });
    probes.collect()
}

#[test]
fn every_check_is_due_when_it_says() {
    let start = origin();
    let mut monitors = watching(&configuration(20), start);
    let first = monitors.deadline().expect("there are checks to make");
    monitors.timeout(first);
    assert_eq!(probes(&mut monitors).len(), 1);
    assert!(monitors.deadline() > Some(first), "the first one is probing");
    monitors.timeout(start + SECOND);
    assert_eq!(probes(&mut monitors).len(), 19);
    assert_eq!(monitors.deadline(), None, "all are probing");
}

#[test]
fn a_real_server_is_up_while_all_its_checks_pass() {
    let start = origin();
    let configuration = with_second_check(configuration(1));
    let id = first(&configuration);
    let mut monitors = watching(&configuration, start);
    let mut now = start + SECOND;
    let mut round = |outcomes: [Result<(), &str>; 2], monitors: &mut Monitors| {
        monitors.timeout(now);
        let mut begun = probes(monitors);
        begun.sort_by_key(|(_, port)| *port);
        assert_eq!(
            begun.iter().map(|(_, port)| *port).collect::<Vec<_>>(),
            [80, 8080]
        );
        for ((check, _), outcome) in begun.into_iter().zip(outcomes) {
            monitors.probed(check, outcome.map_err(str::to_owned), now);
        }
        now += 20 * SECOND;
        effects(monitors)
            .into_iter()
            .map(|effect| match effect {
                Effect::Changed { from, to, reason, .. } => format!("{from} -> {to}: {reason}"),
                Effect::Probe { .. } => "probe".to_owned(),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        round([Ok(()), Ok(())], &mut monitors),
        ["unknown -> up: check passed"]
    );
    assert_eq!(
        round([Ok(()), Err("503")], &mut monitors),
        ["up -> down: check failed: 503"]
    );
    assert_eq!(monitors.health()[&id], Health::Down);
    assert_eq!(
        monitors.last_check(&id).expect("some").outcome,
        Err("503".to_owned()),
        "the one that speaks against it"
    );
    assert_eq!(
        round([Err("refused"), Err("503")], &mut monitors),
        [""; 0],
        "down already"
    );
    assert_eq!(round([Ok(()), Err("503")], &mut monitors), [""; 0]);
    assert_eq!(
        round([Ok(()), Ok(())], &mut monitors),
        ["down -> up: check passed"]
    );
}

#[test]
fn a_real_server_with_one_outcome_of_two_is_not_known_yet() {
    let start = origin();
    let configuration = with_second_check(configuration(1));
    let id = first(&configuration);
    let mut monitors = watching(&configuration, start);
    monitors.timeout(start + SECOND);
    let begun = probes(&mut monitors);
    monitors.probed(begun[0].0, Ok(()), start + SECOND);
    assert_eq!(effects(&mut monitors), []);
    assert_eq!(monitors.health()[&id], Health::Unknown);
}

#[test]
fn a_probe_of_a_removed_real_server_says_nothing() {
    let start = origin();
    let mut monitors = watching(&configuration(2), start);
    monitors.timeout(start + SECOND);
    let (last, _) = *probes(&mut monitors).last().expect("two are probing");
    monitors.watch(&configuration(1), |_| None, start);
    monitors.probed(last, Ok(()), start + SECOND);
    assert_eq!(effects(&mut monitors), []);
    assert_eq!(monitors.health().len(), 1);
    // Nor does it say anything of a check that comes in its place.
    monitors.watch(&configuration(2), |_| None, start);
    monitors.timeout(start + SECOND);
    monitors.probed(last, Ok(()), start + SECOND);
    assert!(
        monitors
            .health()
            .values()
            .all(|health| *health == Health::Unknown)
    );
}

#[test]
fn what_was_known_before_is_believed_until_a_check_says_otherwise() {
    let start = origin();
    let configuration = configuration(1);
    let id = first(&configuration);
    let mut monitors = Monitors::new();
    monitors.watch(&configuration, |_| Some(Health::Up), start);
    assert_eq!(monitors.health()[&id], Health::Up);
    monitors.timeout(start + SECOND);
    let (check, _) = probes(&mut monitors)[0];
    monitors.probed(check, Err("refused".to_owned()), start + SECOND);
    assert_eq!(effects(&mut monitors).len(), 1);
    assert_eq!(monitors.health()[&id], Health::Down);
}

#[test]
fn a_check_that_tries_something_else_is_made_at_once_and_the_old_outcome_says_nothing() {
    let start = origin();
    let before = configuration(1);
    let mut monitors = watching(&before, start);
    monitors.timeout(start + SECOND);
    let (check, _) = probes(&mut monitors)[0];
    let mut moved = before;
    moved.virtual_services[0].real_servers[0].checks[0].kind = CheckKind::Tcp {
        target: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 81),
        connect_timeout: SECOND,
    };
    monitors.watch(&moved, |_| None, start + SECOND);
    monitors.probed(check, Ok(()), start + SECOND);
    assert_eq!(effects(&mut monitors), []);
    monitors.timeout(start + SECOND);
    assert_eq!(probes(&mut monitors), [(check, 81)]);
}
