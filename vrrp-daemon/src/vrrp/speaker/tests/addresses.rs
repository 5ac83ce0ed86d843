//! Addresses on interfaces: which are virtual, where they belong, and what becomes of those that stay or are taken.

use super::*;

#[test]
fn a_lease_is_not_vacated_while_its_address_stays() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    let down = Port {
        up: false,
        ..port(ETH0, "eth0", "10.0.0.1")
    };
    let failing = |bench: &mut Bench| {
        let mut commands = Vec::new();
        while let Some(command) = bench.speaker.next_effect() {
            if let Command::RemoveAddress {
                router,
                interface,
                address,
            } = &command
            {
                bench.speaker.address_stays(*router, *interface, address);
            }
            commands.push(command);
        }
        commands
    };
    let vacate = Command::VacateLease { slot: slot(1) };
    bench.speaker.replace_ports(vec![down.clone()], bench.now);
    let commands = failing(&mut bench);
    assert_eq!(bench.state(&configured), Some(State::Fault));
    // The local stack would reset the clients' connections; so nobody is answered, and the program stays.
    assert!(!commands.contains(&vacate), "{commands:#?}");
    assert!(commands.contains(&Command::HandOverLease { slot: slot(1) }));
    assert!(!commands.contains(&Command::RunProgram { wanted: false }));

    // Each look at the interfaces is another attempt.
    bench.speaker.replace_ports(vec![down.clone()], bench.now);
    let commands = failing(&mut bench);
    assert_eq!(moves(&commands), [('-', ETH0, "10.0.0.3".to_owned())]);
    assert!(!commands.contains(&vacate), "{commands:#?}");
    let commands = bench.ports([down.clone()]);
    assert_eq!(moves(&commands), [('-', ETH0, "10.0.0.3".to_owned())]);
    assert!(commands.contains(&vacate), "{commands:#?}");
    assert!(commands.contains(&Command::RunProgram { wanted: false }));
    assert_eq!(moves(&bench.ports([down])), []);
}

#[test]
fn an_address_that_stays_is_the_next_masterships() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    bench.speaker.replace_ports(
        vec![Port {
            up: false,
            ..port(ETH0, "eth0", "10.0.0.1")
        }],
        bench.now,
    );
    while let Some(command) = bench.speaker.next_effect() {
        if let Command::RemoveAddress {
            router,
            interface,
            address,
        } = &command
        {
            bench.speaker.address_stays(*router, *interface, address);
        }
    }
    bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
    let commands = bench.after(4 * SECOND);
    assert_eq!(bench.state(&configured), Some(State::Master));
    assert!(!commands.contains(&Command::VacateLease { slot: slot(1) }));
    let commands = bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
    assert!(!moves(&commands).iter().any(|(change, ..)| *change == '-'));
}

#[test]
fn a_master_takes_back_an_address_that_something_else_removed() {
    let configured = router(1, 3);
    let again = Command::AddAddress {
        interface: ETH0,
        address: virtual_address("10.0.0.3/24"),
        again: true,
    };
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    bench.speaker.address_removed(ETH0, ip("10.0.0.3"));
    assert_eq!(bench.commands(), std::slice::from_ref(&again));
    // Nobody told of it: seen by looking.
    let commands = bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
    assert!(commands.contains(&again), "{commands:#?}");
    let mut present = port(ETH0, "eth0", "10.0.0.1");
    present.addresses.push(PortAddress {
        address: ip("10.0.0.3"),
        secondary: true,
    });
    assert_eq!(moves(&bench.ports([present])), []);

    let mut bench = Bench::backup(std::slice::from_ref(&configured));
    bench.speaker.address_removed(ETH0, ip("10.0.0.3"));
    assert_eq!(bench.commands(), []);
}

#[test]
fn an_address_is_on_the_interface_that_it_names() {
    let elsewhere = VirtualAddress {
        device: Some("eth1".to_owned()),
        ..virtual_address("10.1.0.3/24")
    };
    let configured = VrrpInstance {
        virtual_addresses: vec![virtual_address("10.0.0.3/24"), elsewhere.clone()],
        ..router(1, 3)
    };
    let mut bench = Bench::new(std::slice::from_ref(&configured));
    let eth0 = port(ETH0, "eth0", "10.0.0.1");
    bench.ports([eth0.clone(), port(3, "eth1", "10.1.0.1")]);
    let commands = bench.after(4 * SECOND);
    assert_eq!(
        moves(&commands),
        [
            ('+', ETH0, "10.0.0.3".to_owned()),
            ('+', 3, "10.1.0.3".to_owned())
        ]
    );
    let announced = Command::Announce {
        interface: 3,
        mac: [2, 0, 0, 0, 0, 1],
        address: ip("10.1.0.3"),
    };
    assert!(commands.contains(&announced));

    let mut bench = Bench::new(std::slice::from_ref(&configured));
    bench.ports([eth0]);
    assert_eq!(moves(&bench.after(4 * SECOND)), []);
    assert_eq!(bench.obstacles(&configured), [Obstacle::NoDevice]);
}

#[test]
fn advertisements_come_from_no_virtual_address() {
    let of = |addresses: &[(&str, bool)], family| {
        let known = Port {
            addresses: addresses
                .iter()
                .map(|(address, secondary)| PortAddress {
                    address: ip(address),
                    secondary: *secondary,
                })
                .collect(),
            ..port(ETH0, "eth0", "10.0.0.1")
        };
        let virtual_addresses = HashMap::from([(ip("10.0.0.3"), ()), (ip("fe80::3"), ())]);
        known.primary_address(family, &virtual_addresses)
    };
    let v4 = AddressFamily::Ipv4;
    assert_eq!(of(&[], v4), None);
    assert_eq!(of(&[("10.0.0.3", false), ("fe80::1", false)], v4), None);
    // A crashed daemon left the virtual address, and then the interface's own came back as the second of its network.
    assert_eq!(
        of(&[("10.0.0.3", false), ("10.0.0.1", true)], v4),
        Some(ip("10.0.0.1"))
    );
    assert_eq!(
        of(&[("10.0.0.2", true), ("10.0.0.1", false)], v4),
        Some(ip("10.0.0.1"))
    );
    let v6 = AddressFamily::Ipv6;
    let addresses = [("fd00::1", false), ("fe80::3", false), ("fe80::1", false)];
    assert_eq!(of(&addresses, v6), Some(ip("fe80::1")));
}

#[test]
fn another_virtual_routers_address_is_nobodys_source() {
    let mut bench = Bench::new(&[router(1, 3), router(2, 4)]);
    let mut shared = port(ETH0, "eth0", "10.0.0.4");
    shared.addresses.push(PortAddress {
        address: ip("10.0.0.1"),
        secondary: true,
    });
    bench.ports([shared]);
    let commands = bench.after(4 * SECOND);
    let sources = commands.iter().filter_map(|command| match command {
        Command::Send { source, .. } => Some(*source),
        _ => None,
    });
    assert!(sources.into_iter().all(|source| source == ip("10.0.0.1")));
}
