//! Virtual addresses come and go, and the interface's own address is told from them.

use std::net::IpAddr;

use vrrp_daemon::io::netlink::Netlink;
use vrrp_daemon::model::VirtualAddress;

use crate::namespace::{Namespace, pair};

fn virtual_address(address: &str, label: Option<&str>) -> VirtualAddress {
    VirtualAddress {
        address: address.parse().expect("an address"),
        device: None,
        label: label.map(str::to_owned),
    }
}

/// A namespace with an interface, its index, and our netlink socket in it.
async fn director() -> ([Namespace; 2], u32, Netlink) {
    let (here, there) = pair().await;
    let index = here.link("eth0").await.index;
    let netlink = here.run(Netlink::new).expect("a netlink socket");
    ([here, there], index, netlink)
}

#[tokio::test]
async fn an_address_is_added_once_with_its_prefix_and_label() {
    let ([here, _there], eth0, netlink) = director().await;
    let address = virtual_address("10.0.0.3/24", Some("eth0:vip"));
    assert!(netlink.add_address(eth0, &address).await.expect("added"));
    assert!(!netlink.add_address(eth0, &address).await.expect("again"));

    let shown = here.ip("-4 -o address show dev eth0 label eth0:vip");
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(
        shown.contains("inet 10.0.0.3/24 scope global secondary eth0:vip"),
        "{shown}"
    );
}

#[tokio::test]
async fn an_address_is_removed_once() {
    let ([here, _there], eth0, netlink) = director().await;
    for address in ["10.0.0.3/32", "fd00::3/64"] {
        let address = virtual_address(address, None);
        netlink.add_address(eth0, &address).await.expect("added");
        assert!(netlink.remove_address(eth0, &address).await.expect("removed"));
        assert!(!netlink.remove_address(eth0, &address).await.expect("again"));
        assert!(
            !netlink
                .remove_address(4711, &address)
                .await
                .expect("no interface")
        );
    }
    let shown = here.ip("-o address show dev eth0");
    assert!(
        shown.contains("10.0.0.1/24") && shown.contains("fd00::1/64"),
        "{shown}"
    );
    assert!(
        !shown.contains("10.0.0.3/") && !shown.contains("fd00::3/"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_a_crashed_daemon_left_goes_whatever_its_prefix_and_label() {
    let ([here, _there], eth0, netlink) = director().await;
    here.ip("address add 10.0.0.3/32 dev eth0 label eth0:old");
    here.ip("address add 10.0.0.3/24 dev eth0");
    let address = virtual_address("10.0.0.3/28", Some("eth0:new"));
    assert!(netlink.remove_address(eth0, &address).await.expect("removed"));
    let shown = here.ip("-4 -o address show dev eth0");
    assert!(!shown.contains("10.0.0.3"), "{shown}");
    assert!(shown.contains("10.0.0.1/24"), "{shown}");
}

#[tokio::test]
async fn the_addresses_behind_a_primary_virtual_address_stay() {
    let ([here, _there], eth0, netlink) = director().await;
    here.set("ipv4/conf/all/promote_secondaries", "0");
    here.set("ipv4/conf/eth0/promote_secondaries", "0");
    // The administrator gave the interface another address while the virtual one was there.
    here.ip("address flush dev eth0");
    let address = virtual_address("10.0.0.3/24", None);
    netlink.add_address(eth0, &address).await.expect("added");
    here.ip("address add 10.0.0.7/24 dev eth0 label eth0:own");
    here.ip("address add 10.0.0.8/24 dev eth0");

    assert!(netlink.remove_address(eth0, &address).await.expect("removed"));
    let shown = here.ip("-4 -o address show dev eth0");
    assert!(!shown.contains("10.0.0.3"), "{shown}");
    assert!(shown.contains("10.0.0.7/24 scope global eth0:own"), "{shown}");
    assert!(
        shown.contains("10.0.0.8/24 scope global secondary eth0"),
        "{shown}"
    );
    assert_eq!(shown.matches("valid_lft forever").count(), 2, "{shown}");
}

#[tokio::test]
async fn an_ipv6_address_is_usable_at_once() {
    let ([here, _there], eth0, netlink) = director().await;
    here.set("ipv6/conf/all/accept_dad", "1");
    here.set("ipv6/conf/eth0/accept_dad", "1");
    let address = virtual_address("fd00::3/128", None);
    assert!(netlink.add_address(eth0, &address).await.expect("added"));
    let shown = here.ip("-6 -o address show dev eth0 to fd00::3");
    assert!(shown.contains("nodad") && !shown.contains("tentative"), "{shown}");
}

#[tokio::test]
async fn a_refused_address_is_a_sentence() {
    let ([_here, _there], _, netlink) = director().await;
    let error = netlink
        .add_address(4711, &virtual_address("10.0.0.3/32", None))
        .await
        .expect_err("there is no such interface");
    assert_eq!(
        error.to_string(),
        "cannot add the address 10.0.0.3/32: No such device (os error 19)"
    );
}

#[tokio::test]
async fn the_addresses_of_an_interface_are_known_in_their_order() {
    let ([here, _there], eth0, netlink) = director().await;
    // A crashed daemon left the virtual address, and then the interface's own came back as the second of its network.
    here.ip("address flush dev eth0");
    here.ip("address add 10.0.0.3/24 dev eth0");
    here.ip("address add 10.0.0.1/24 dev eth0");
    here.ip("address add fd00::1/64 dev eth0 nodad");
    let known = netlink.addresses().await.expect("asked");
    let of_eth0: Vec<(IpAddr, bool)> = known
        .iter()
        .filter(|known| known.interface == eth0)
        .map(|known| (known.address, known.secondary))
        .collect();
    let address = |text: &str| text.parse().expect("an address");
    assert_eq!(
        of_eth0,
        [
            (address("10.0.0.3"), false),
            (address("10.0.0.1"), true),
            (address("fd00::1"), false)
        ]
    );
}
