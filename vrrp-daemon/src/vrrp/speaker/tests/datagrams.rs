//! What comes in, whose it is, and that it costs nobody else anything.

use super::*;
use crate::vrrp::concern::Concern;
use crate::vrrp::wire;

fn counted(bench: &Bench, instance: &VrrpInstance) -> (u64, u64) {
    let counters = bench.known(instance).unwrap().counters;
    (counters.received(), counters.refused())
}

#[test]
fn an_advertisement_is_its_virtual_routers_and_touches_no_other() {
    let routers: Vec<VrrpInstance> = (1..=200).map(|id| router(id, id)).collect();
    let mut bench = Bench::new(&routers);
    bench.ports([port(ETH0, "eth0", "10.0.0.250")]);
    assert_eq!(
        bench.speaker.take_changes().map(|changes| changes.len()),
        Some(200)
    );

    assert_eq!(bench.hear(&routers[4], 150), []);
    assert_eq!(
        bench.speaker.take_changes(),
        Some(vec![routers[4].router_name()]),
        "it knows a master now"
    );
    assert_eq!(
        bench.known(&routers[4]).unwrap().master_address,
        Some(ip("10.0.0.9"))
    );
    bench.after(SECOND);
    assert_eq!(bench.hear(&routers[4], 150), []);
    assert_eq!(bench.speaker.take_changes(), None, "nothing new");
    assert_eq!(counted(&bench, &routers[4]), (2, 0));
    assert_eq!(counted(&bench, &routers[5]), (0, 0));
    // Who heard of its master waits a second longer than those that did not.
    bench.after(3 * SECOND);
    assert_eq!(bench.state(&routers[4]), Some(State::Backup));
    assert_eq!(bench.state(&routers[5]), Some(State::Master));
}

#[test]
fn who_lets_go_is_heard_once_more_and_renews_nothing_by_that() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    let commands = bench.hear(&configured, 200);
    let said = |command: &Command| matches!(command, Command::Send { message, .. } if message[2] == 100);
    let gone = |command: &Command| *command == Command::HandOverLease { slot: slot(1) };
    assert!(position(&commands, said) < position(&commands, gone));
    assert!(!commands.contains(&Command::RenewLease { slot: slot(1) }));
    assert_eq!(bench.state(&configured), Some(State::Backup));
}

#[test]
fn whether_the_last_one_leaves_changes_nothing() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    let peer = VrrpInstance {
        priority: crate::model::Priority::new(200),
        ..configured.clone()
    };
    let source = ip("10.0.0.9");
    let message = VirtualRouter::new(peer).own_advertisement().emit(source);
    let datagram = Datagram {
        source,
        destination: multicast_group(AddressFamily::Ipv4),
        hop_limit: 255,
        payload: &message,
    };
    bench.speaker.received(ETH0, &datagram, bench.now);
    let mut told = 0;
    while let Some(command) = bench.speaker.next_effect() {
        match command {
            Command::Send { router, .. } => {
                bench
                    .speaker
                    .send_failed(router, "Operation not permitted", bench.now)
            }
            Command::Tell {
                news: News::NotSent { .. },
                ..
            } => told += 1,
            _ => {}
        }
    }
    assert_eq!(told, 1);
    assert_eq!(bench.state(&configured), Some(State::Backup));
    let known = bench.known(&configured).unwrap();
    assert_eq!(
        known.cannot_send, None,
        "a backup would never find out that it is over"
    );
}

#[test]
fn an_unknown_virtual_router_and_a_probe_are_nobodys() {
    let configured = router(1, 3);
    let mut bench = Bench::backup(std::slice::from_ref(&configured));
    assert_eq!(bench.hear(&router(2, 4), 150), []);
    let source = ip("10.0.0.9");
    let probe = wire::probe(
        &VirtualRouter::new(configured.clone()).own_advertisement(),
        source,
    );
    assert_eq!(bench.hear_this(source, &probe), []);
    assert_eq!(counted(&bench, &configured), (0, 0));
}

#[test]
fn what_is_malformed_is_counted_and_told_when_it_changes() {
    let configured = router(1, 3);
    let mut bench = Bench::backup(std::slice::from_ref(&configured));
    let source = ip("10.0.0.9");
    let mut payload = VirtualRouter::new(configured.clone())
        .own_advertisement()
        .emit(source);
    payload[6] ^= 1;
    let malformed = |error| Command::Malformed {
        interface: "eth0".to_owned(),
        error,
    };
    assert_eq!(bench.hear_this(source, &payload), [malformed(Error::Checksum)]);
    assert_eq!(bench.hear_this(source, &payload), []);
    assert_eq!(counted(&bench, &configured), (0, 2));
    let datagram = Datagram {
        source,
        destination: source,
        hop_limit: 255,
        payload: &payload,
    };
    bench.speaker.received(ETH0, &datagram, bench.now);
    assert_eq!(bench.commands(), [malformed(Error::Destination(source))]);
}

#[test]
fn what_is_configured_otherwise_is_counted_as_refused() {
    let configured = router(1, 3);
    let mut bench = Bench::backup(std::slice::from_ref(&configured));
    let other = VrrpInstance {
        password: Some(crate::model::Password::new("secret")),
        ..configured.clone()
    };
    let commands = bench.hear(&other, 150);
    position(&commands, |command| {
        matches!(
            command,
            Command::Tell {
                news: News::Worry(Concern::Mismatch(_)),
                ..
            }
        )
    });
    assert_eq!(counted(&bench, &configured), (1, 1));
}

#[test]
fn two_virtual_routers_of_one_identifier_are_told_apart_by_their_family() {
    let of_ipv4 = VrrpInstance {
        version: crate::model::Version::V3,
        ..router(1, 3)
    };
    let of_ipv6 = VrrpInstance {
        name: "VI_6".to_owned(),
        virtual_addresses: vec![virtual_address("fd00::3/64")],
        ..of_ipv4.clone()
    };
    let mut bench = Bench::new(&[of_ipv4.clone(), of_ipv6.clone()]);
    let mut both = port(ETH0, "eth0", "10.0.0.1");
    both.addresses.push(PortAddress {
        address: ip("fe80::1"),
        secondary: false,
    });
    let commands = bench.ports([both]);
    let listens = commands
        .iter()
        .filter(|command| matches!(command, Command::Listen { .. }));
    assert_eq!(listens.count(), 2);

    let peer = VirtualRouter::new(of_ipv6.clone()).own_advertisement();
    let source = ip("fe80::9");
    bench.hear_this(source, &peer.emit(source));
    assert_eq!(bench.known(&of_ipv6).unwrap().master_address, Some(source));
    assert_eq!(bench.known(&of_ipv4).unwrap().master_address, None);
    let commands = bench.after(4 * SECOND);
    let sources: BTreeSet<IpAddr> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Send { source, .. } => Some(*source),
            _ => None,
        })
        .collect();
    assert_eq!(sources, BTreeSet::from([ip("10.0.0.1"), ip("fe80::1")]));
}

#[test]
fn a_claim_is_heard_where_the_address_is_and_not_from_ourselves() {
    let (one, two) = (router(1, 3), router(2, 4));
    let mut bench = Bench::master(&[one.clone(), two.clone()]);
    bench.after(2 * SECOND);
    let stranger = [2, 0, 0, 0, 0, 9];
    let conflicts = |bench: &Bench, instance| bench.known(instance).unwrap().concerns.len();
    let claims = [
        (ETH0 + 1, "10.0.0.3", stranger),
        (ETH0, "10.0.0.3", [2, 0, 0, 0, 0, 1]),
        (ETH0, "10.0.0.5", stranger),
    ];
    for (interface, address, mac) in claims {
        bench.speaker.claimed(interface, ip(address), mac, bench.now);
        assert_eq!(bench.commands(), []);
    }
    bench.speaker.claimed(ETH0, ip("10.0.0.3"), stranger, bench.now);
    let commands = bench.commands();
    position(
        &commands,
        |command| matches!(command, Command::Announce { address, .. } if *address == ip("10.0.0.3")),
    );
    assert_eq!((conflicts(&bench, &one), conflicts(&bench, &two)), (1, 0));
    assert_eq!(
        bench
            .speaker
            .take_changes()
            .map(|changes| changes.contains(&one.router_name())),
        Some(true)
    );
}
