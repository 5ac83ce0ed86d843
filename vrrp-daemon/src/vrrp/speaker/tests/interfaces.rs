//! Interfaces that come, change, go, and come again under another index.

use super::*;

#[test]
fn an_interface_that_is_not_there_yet_is_waited_for() {
    let configured = router(1, 3);
    let mut bench = Bench::new(std::slice::from_ref(&configured));
    assert_eq!(bench.commands(), []);
    let commands = bench.ports([port(1, "lo", "127.0.0.1")]);
    let obstructed = |command: &Command| {
        matches!(
            command,
            Command::Tell {
                news: News::Obstructed(Obstacle::NoInterface),
                ..
            }
        )
    };
    position(&commands, obstructed);
    assert_eq!(bench.state(&configured), Some(State::Init));
    assert_eq!(bench.obstacles(&configured), [Obstacle::NoInterface]);
    assert!(!bench.ports([port(1, "lo", "127.0.0.1")]).iter().any(obstructed));

    let commands = bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
    let listen = Command::Listen {
        interface: ETH0,
        name: "eth0".to_owned(),
        family: AddressFamily::Ipv4,
    };
    assert!(commands.contains(&listen));
    assert_eq!(bench.state(&configured), Some(State::Backup));
    assert_eq!(bench.obstacles(&configured), []);
}

#[test]
fn each_state_of_an_interface_is_an_obstacle_of_its_own() {
    let configured = router(1, 3);
    let good = port(ETH0, "eth0", "10.0.0.1");
    let cases = [
        (
            vec![Obstacle::NoLink],
            Port {
                up: false,
                ..good.clone()
            },
        ),
        (
            vec![Obstacle::NotEthernet],
            Port {
                mac: None,
                ..good.clone()
            },
        ),
        (
            vec![Obstacle::NoAddress],
            Port {
                addresses: Vec::new(),
                ..good.clone()
            },
        ),
        (
            vec![Obstacle::ProgramRefused],
            Port {
                refuses_program: true,
                ..good.clone()
            },
        ),
        (
            vec![Obstacle::NoLink, Obstacle::ProgramRefused],
            Port {
                up: false,
                refuses_program: true,
                ..good.clone()
            },
        ),
    ];
    for (expected, bad) in cases {
        let mut bench = Bench::master(std::slice::from_ref(&configured));
        bench.ports([bad]);
        assert_eq!(bench.obstacles(&configured), expected);
        assert_eq!(bench.state(&configured), Some(State::Fault));
        bench.ports([good.clone()]);
        assert_eq!(bench.obstacles(&configured), []);
        assert_eq!(bench.state(&configured), Some(State::Backup));
    }
}

#[test]
fn another_interface_of_the_same_name_is_another_one() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    let commands = bench.ports([port(7, "eth0", "10.0.0.1")]);
    assert_eq!(moves(&commands), [('-', ETH0, "10.0.0.3".to_owned())]);
    let stop = Command::StopListening {
        interface: ETH0,
        family: AddressFamily::Ipv4,
    };
    assert!(commands.contains(&stop));
    assert_eq!(bench.state(&configured), Some(State::Backup));
    let commands = bench.after(4 * SECOND);
    assert_eq!(moves(&commands), [('+', 7, "10.0.0.3".to_owned())]);
}

#[test]
fn a_renamed_interface_loses_the_addresses_before_the_program() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    bench
        .speaker
        .retain_ports(&HashMap::from([(ETH0, "lan0")]), bench.now);
    let commands = bench.commands();
    assert_eq!(moves(&commands), [('-', ETH0, "10.0.0.3".to_owned())]);
    // The others need not wait until they miss an advertisement.
    assert_eq!(resignations(&commands), [ETH0]);
    assert_eq!(
        transitions(&commands),
        [(
            State::Master,
            State::Fault,
            Reason::Obstructed(Obstacle::NoInterface)
        )]
    );
    let commands = bench.ports([port(ETH0, "lan0", "10.0.0.1")]);
    let stop = Command::StopListening {
        interface: ETH0,
        family: AddressFamily::Ipv4,
    };
    assert!(commands.contains(&stop));
    assert_eq!(bench.state(&configured), Some(State::Fault));
    bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
    assert_eq!(bench.state(&configured), Some(State::Backup));
}

#[test]
fn nobody_resigns_by_an_interface_that_is_gone() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    bench.speaker.retain_ports(&HashMap::new(), bench.now);
    let commands = bench.commands();
    assert_eq!(moves(&commands), [('-', ETH0, "10.0.0.3".to_owned())]);
    assert!(resignations(&commands).is_empty());
}

/// A virtual router on `eth0` with its one address on `eth1`, and that interface.
fn advertised_elsewhere() -> (VrrpInstance, Port) {
    let elsewhere = VirtualAddress {
        device: Some("eth1".to_owned()),
        ..virtual_address("10.1.0.3/24")
    };
    let configured = VrrpInstance {
        virtual_addresses: vec![elsewhere],
        ..router(1, 3)
    };
    (configured, port(3, "eth1", "10.1.0.1"))
}

#[test]
fn who_loses_the_interface_of_an_address_resigns() {
    let (configured, eth1) = advertised_elsewhere();
    let eth0 = port(ETH0, "eth0", "10.0.0.1");
    for names in [
        HashMap::from([(ETH0, "eth0"), (3, "lan1")]),
        HashMap::from([(ETH0, "eth0")]),
    ] {
        let mut bench = Bench::new(std::slice::from_ref(&configured));
        bench.ports([eth0.clone(), eth1.clone()]);
        bench.after(4 * SECOND);
        assert_eq!(bench.state(&configured), Some(State::Master));
        bench.speaker.retain_ports(&names, bench.now);
        let commands = bench.commands();
        assert_eq!(moves(&commands), [('-', 3, "10.1.0.3".to_owned())]);
        assert_eq!(resignations(&commands), [ETH0]);
        let missing = |command: &Command| {
            matches!(
                command,
                Command::Tell {
                    news: News::NoDevice { .. },
                    ..
                }
            )
        };
        position(&commands, missing);
        let commands = bench.ports([eth0.clone()]);
        assert!(!commands.iter().any(missing), "{commands:#?}");
        assert_eq!(bench.obstacles(&configured), [Obstacle::NoDevice]);
        bench.ports([eth0.clone(), eth1.clone()]);
        assert_eq!(bench.state(&configured), Some(State::Backup));
    }
}

#[test]
fn the_interface_of_an_address_takes_the_program_or_nobody_is_master() {
    let (configured, eth1) = advertised_elsewhere();
    let mut bench = Bench::new(std::slice::from_ref(&configured));
    bench.ports([port(ETH0, "eth0", "10.0.0.1"), eth1]);
    bench.speaker.program_refused("eth1", bench.now);
    bench.commands();
    assert_eq!(bench.obstacles(&configured), [Obstacle::ProgramRefused]);
}

#[test]
fn a_socket_that_cannot_be_opened_is_tried_again_with_the_next_look() {
    let configured = router(1, 3);
    let mut bench = Bench::new(std::slice::from_ref(&configured));
    let ports = vec![port(ETH0, "eth0", "10.0.0.1")];
    bench.speaker.replace_ports(ports.clone(), bench.now);
    while let Some(command) = bench.speaker.next_effect() {
        if let Command::Listen {
            interface, family, ..
        } = command
        {
            bench.speaker.cannot_listen(interface, family, bench.now);
        }
    }
    assert_eq!(bench.obstacles(&configured), [Obstacle::NoSocket]);
    let commands = bench.ports(ports);
    position(&commands, |command| matches!(command, Command::Listen { .. }));
    assert_eq!(bench.state(&configured), Some(State::Backup));
}
