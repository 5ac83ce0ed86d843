//! Who may use the services.

use ipnet::IpNet;
use lb_common::{Prefix, access, interface_flags};

use super::*;

fn lists(prefixes: &[&str]) -> BTreeSet<IpNet> {
    let prefixes = prefixes.iter();
    prefixes.map(|prefix| prefix.parse().expect("a prefix")).collect()
}

fn prefix(address: &str, length: u32) -> Prefix {
    Prefix {
        length,
        address: map_address(address.parse().expect("an address")),
    }
}

fn flags(world: &World) -> u16 {
    world.plane.interfaces[&ETH0.index].flags & !interface_flags::KNOWN
}

#[test]
fn without_lists_the_program_looks_nothing_up() {
    let world = three_servers();
    assert!(world.plane.access.is_empty());
    assert_eq!(flags(&world), 0);
}

#[test]
fn those_who_are_blocked_are_no_more_than_that() {
    let mut world = three_servers();
    world.configuration.dataplane.access.block = lists(&["198.51.100.0/24", "2001:db8::/32"]);
    world.settle();
    assert_eq!(flags(&world), interface_flags::BLOCKS);
    let expected = [
        (prefix("::", 0), access::OPEN),
        (prefix("2001:db8::", 32), access::BLOCKED),
        (prefix("0.0.0.0", 96), access::OPEN),
        (prefix("198.51.100.0", 120), access::BLOCKED),
    ];
    assert_eq!(world.plane.access, expected.into());

    world.configuration.dataplane.access.block.clear();
    world.settle();
    assert!(world.plane.access.is_empty());
    assert_eq!(flags(&world), 0);
}

#[test]
fn those_who_are_not_allowed_are_closed_and_what_is_in_both_lists_is_blocked() {
    let mut world = three_servers();
    let access = &mut world.configuration.dataplane.access;
    access.allow = lists(&["10.0.0.0/8", "::/0", "10.6.6.6/32"]);
    access.block = lists(&["10.6.6.6/32"]);
    world.settle();
    assert_eq!(flags(&world), interface_flags::BLOCKS | interface_flags::CLOSES);
    let expected = [
        (prefix("::", 0), access::OPEN),
        // What is allowed in IPv6 is not so in IPv4.
        (prefix("0.0.0.0", 96), access::CLOSED),
        (prefix("10.0.0.0", 104), access::OPEN),
        (prefix("10.6.6.6", 128), access::BLOCKED),
    ];
    assert_eq!(world.plane.access, expected.into());
}

/// Whoever is in the lists before and after is shut out at no moment between.
#[test]
fn nobody_is_shut_out_by_a_change() {
    let mut world = three_servers();
    let steps: [&[&str]; 4] = [
        &["10.0.0.0/8"],
        &["10.1.0.0/16"],
        &["10.1.2.0/24", "10.0.0.0/8"],
        &[],
    ];
    for step in steps {
        world.configuration.dataplane.access.allow = lists(step);
        let mut plane = world.plane.clone();
        for operation in world.settle() {
            plane.apply(&operation);
            let client: IpNet = "10.1.2.3/32".parse().expect("a prefix");
            let of_client = plane.access.iter().rev().find(|(prefix, _)| {
                let address = ip_address(prefix.address);
                let mapped = if address.is_ipv4() { 96 } else { 0 };
                let length = u8::try_from(prefix.length - mapped).expect("a length");
                address.is_ipv6() && length == 0
                    || IpNet::new(address, length).expect("a prefix").contains(&client)
            });
            let access = of_client.map_or(access::OPEN, |(_, access)| *access);
            assert_eq!(access, access::OPEN, "{step:?}: after {operation}");
        }
    }
}
