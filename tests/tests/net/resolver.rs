//! How real servers are reached, as the kernel finds out and goes on finding out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vrrp_daemon::io::netlink::{Event, Events, Netlink, Observed, Resolution, Resolver, Topic, Unreachable};

use crate::namespace::{Namespace, pair, soon};

const TOPICS: [Topic; 3] = [Topic::Links, Topic::Addresses, Topic::Neighbours];

/// A resolver in its namespace, fed as the daemon feeds it.
struct Director {
    events: Events,
    resolver: Resolver,
    addresses: BTreeSet<IpAddr>,
}

impl Director {
    async fn new(namespace: &Namespace, addresses: &[&str]) -> Self {
        let (events, netlink) = namespace.run(|| (Events::subscribe(&TOPICS), Netlink::new()));
        let mut director = Self {
            events: events.expect("a netlink socket"),
            resolver: Resolver::new(netlink.expect("a netlink socket")),
            addresses: BTreeSet::new(),
        };
        director.resolve(addresses).await;
        director
    }

    async fn resolve(&mut self, addresses: &[&str]) {
        self.addresses = addresses.iter().map(|address| ip(address)).collect();
        self.resolver.resolve(&self.addresses).await.expect("resolved");
    }

    fn resolution(&self, address: &str) -> Result<Resolution, Unreachable> {
        self.resolver.resolutions()[&ip(address)].clone()
    }

    fn mac(&self, address: &str) -> Option<[u8; 6]> {
        self.resolution(address)
            .ok()
            .and_then(|found| found.destination_mac)
    }

    /// Takes events in until `address` has the link-layer address `mac`; resolves again only when told to.
    async fn wait_for(&mut self, address: &str, mac: Option<[u8; 6]>) {
        while self.mac(address) != mac {
            let event = soon(self.events.next()).await.expect("an event");
            if self.resolver.observe(&event) == Observed::Stale {
                self.resolver.resolve(&self.addresses).await.expect("resolved");
            }
        }
    }
}

fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// Lets the kernel age what it knows about neighbours in milliseconds instead of half minutes.
fn age_quickly(namespace: &Namespace) {
    for family in ["ipv4", "ipv6"] {
        for (name, value) in [
            ("base_reachable_time_ms", "100"),
            ("delay_first_probe_time", "0"),
            ("retrans_time_ms", "20"),
            ("interval_probe_time_ms", "50"),
        ] {
            namespace.set(&format!("{family}/neigh/eth0/{name}"), value);
        }
    }
}

#[tokio::test]
async fn real_servers_on_a_network_of_the_director_are_resolved() {
    let (here, there) = pair().await;
    let link = here.link("eth0").await;
    let peer = there.link("eth0").await.mac;
    let mut director = Director::new(&here, &["10.0.0.2", "fd00::2"]).await;
    for address in ["10.0.0.2", "fd00::2"] {
        director.wait_for(address, peer).await;
        let found = director.resolution(address).expect("reachable");
        assert_eq!(found.interface, link.index);
        assert_eq!(Some(found.source_mac), link.mac);
        let shown = here.ip(&format!("neighbour show to {address}"));
        assert!(
            shown.contains("managed") && shown.contains("proto 112"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_real_server_with_another_mac_is_found_again_without_any_traffic() {
    let (here, there) = pair().await;
    age_quickly(&here);
    let addresses = ["10.0.0.2", "fd00::2"];
    let mut director = Director::new(&here, &addresses).await;
    let before = there.link("eth0").await.mac;
    for address in addresses {
        director.wait_for(address, before).await;
    }
    // Without a word: a new machine takes the place of the old one.
    there.set("ipv4/conf/eth0/arp_notify", "0");
    there.ip("link set eth0 address 02:00:00:00:00:77");
    for address in addresses {
        director.wait_for(address, Some([2, 0, 0, 0, 0, 0x77])).await;
    }
}

#[tokio::test]
async fn a_real_server_that_falls_silent_is_unresolved_until_it_is_back() {
    let (here, there) = pair().await;
    age_quickly(&here);
    let peer = there.link("eth0").await.mac;
    let mut director = Director::new(&here, &["10.0.0.2"]).await;
    director.wait_for("10.0.0.2", peer).await;
    there.ip("address delete 10.0.0.2/24 dev eth0");
    director.wait_for("10.0.0.2", None).await;
    there.ip("address add 10.0.0.2/24 dev eth0");
    director.wait_for("10.0.0.2", peer).await;
}

/// Asks until `address` has the link-layer address `mac`, as the director does on every event.
async fn asked_until(director: &mut Director, address: &str, mac: Option<[u8; 6]>) {
    while director.mac(address) != mac {
        director
            .resolver
            .confirm(&BTreeSet::from([ip(address)]))
            .await
            .expect("asked");
        let event = soon(director.events.next()).await.expect("an event");
        director.resolver.observe(&event);
    }
}

#[tokio::test]
async fn who_is_asked_is_missed_or_found_elsewhere_and_stays_kept() {
    let (here, there) = pair().await;
    // As every host has it, but for the time between two tries: the kernel alone would take half a minute.
    for family in ["ipv4", "ipv6"] {
        here.set(&format!("{family}/neigh/eth0/retrans_time_ms"), "20");
    }
    let peer = there.link("eth0").await.mac;
    let addresses = ["10.0.0.2", "fd00::2"];
    let mut director = Director::new(&here, &addresses).await;
    for address in addresses {
        director.wait_for(address, peer).await;
    }
    there.set("ipv4/conf/eth0/arp_notify", "0");
    there.ip("link set eth0 address 02:00:00:00:00:77");
    for address in addresses {
        asked_until(&mut director, address, Some([2, 0, 0, 0, 0, 0x77])).await;
    }
    there.ip("address delete 10.0.0.2/24 dev eth0");
    asked_until(&mut director, "10.0.0.2", None).await;
    for address in addresses {
        let shown = here.ip(&format!("neighbour show to {address}"));
        assert!(
            shown.contains("managed") && shown.contains("extern_learn") && shown.contains("proto 112"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn an_interface_that_was_down_resolves_again() {
    let (here, there) = pair().await;
    let peer = there.link("eth0").await.mac;
    let mut director = Director::new(&here, &["10.0.0.2"]).await;
    director.wait_for("10.0.0.2", peer).await;
    here.ip("link set eth0 down");
    director.wait_for("10.0.0.2", None).await;
    here.ip("link set eth0 up");
    director.wait_for("10.0.0.2", peer).await;
}

#[tokio::test]
async fn an_interface_with_another_mac_changes_the_source() {
    let (here, there) = pair().await;
    let peer = there.link("eth0").await.mac;
    let mut director = Director::new(&here, &["10.0.0.2"]).await;
    director.wait_for("10.0.0.2", peer).await;
    here.ip("link set eth0 address 02:00:00:00:00:66");
    while director.resolution("10.0.0.2").map(|found| found.source_mac) != Ok([2, 0, 0, 0, 0, 0x66]) {
        let event = soon(director.events.next()).await.expect("an event");
        if director.resolver.observe(&event) == Observed::Stale {
            director.resolve(&["10.0.0.2"]).await;
        }
    }
}

#[tokio::test]
async fn a_new_network_makes_a_real_server_reachable() {
    let (here, there) = pair().await;
    let peer = there.link("eth0").await.mac;
    there.ip("address add 10.1.0.5/24 dev eth0");
    let mut director = Director::new(&here, &["10.1.0.5"]).await;
    assert!(director.resolution("10.1.0.5").is_err());
    here.ip("address add 10.1.0.1/24 dev eth0");
    director.wait_for("10.1.0.5", peer).await;
}

#[tokio::test]
async fn a_virtual_address_on_a_network_that_is_reached_already_changes_nothing() {
    let (here, there) = pair().await;
    let peer = there.link("eth0").await.mac;
    let mut director = Director::new(&here, &["10.0.0.2"]).await;
    director.wait_for("10.0.0.2", peer).await;
    here.ip("address add 10.0.0.3/24 dev eth0");
    loop {
        let event = soon(director.events.next()).await.expect("an event");
        let observed = director.resolver.observe(&event);
        if let Event::Address { .. } = event {
            assert_eq!(observed, Observed::Unchanged);
            break;
        }
    }
}

#[tokio::test]
async fn what_is_behind_a_gateway_is_reached_by_it() {
    let (here, there) = pair().await;
    here.ip("route add 10.1.0.0/24 via 10.0.0.2");
    here.ip("route add fd01::/64 via fd00::2");
    let peer = there.link("eth0").await.mac;
    let mut director = Director::new(&here, &["10.1.0.5", "fd01::5"]).await;
    for (address, gateway) in [("10.1.0.5", "10.0.0.2"), ("fd01::5", "fd00::2")] {
        director.wait_for(address, peer).await;
        let resolution = director.resolution(address).expect(address);
        assert_eq!(resolution.gateway, Some(gateway.parse().unwrap()));
    }
}

#[tokio::test]
async fn what_is_this_machines_own_is_not_reached_by_anything() {
    let (here, _there) = pair().await;
    let director = Director::new(&here, &["10.0.0.1", "fd00::1", "10.0.0.2"]).await;
    let own = ["10.0.0.1", "fd00::1"].map(ip);
    assert!(director.resolver.own().iter().eq(&own));
    assert_eq!(director.resolver.resolutions().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_reached_is_a_sentence() {
    let (here, _there) = pair().await;
    here.ip("route add 10.2.0.0/24 dev lo");
    here.ip("route add unreachable 10.3.0.0/24");
    let cases = [
        (
            "10.2.0.5",
            "10.2.0.5 is reached through lo, which is not an Ethernet interface",
        ),
        ("10.3.0.5", "there is no route to 10.3.0.5"),
        ("192.0.2.1", "there is no route to 192.0.2.1"),
        ("2001:db8::1", "there is no route to 2001:db8::1"),
        ("10.0.0.255", "10.0.0.255 is not the address of a machine"),
    ];
    let addresses = cases.map(|(address, _)| address);
    let director = Director::new(&here, &addresses).await;
    for (address, sentence) in cases {
        let error = director.resolution(address).expect_err(address);
        assert_eq!(error.to_string(), sentence);
    }
}

#[tokio::test]
async fn a_real_server_that_is_no_longer_configured_is_released() {
    let (here, there) = pair().await;
    let peer = there.link("eth0").await.mac;
    let mut director = Director::new(&here, &["10.0.0.2", "fd00::2"]).await;
    director.wait_for("10.0.0.2", peer).await;
    director.wait_for("fd00::2", peer).await;
    director.resolve(&["fd00::2"]).await;
    assert_eq!(director.resolver.resolutions().len(), 1);
    let shown = here.ip("neighbour show");
    let managed: Vec<&str> = shown.lines().filter(|line| line.contains("managed")).collect();
    assert!(
        managed.len() == 1 && managed[0].starts_with("fd00::2 "),
        "{shown}"
    );
}

#[tokio::test]
async fn a_restarted_daemon_releases_what_its_predecessor_kept_and_nothing_else() {
    let (here, _there) = pair().await;
    here.ip("neighbour add 10.0.0.7 dev eth0 managed");
    drop(Director::new(&here, &["10.0.0.2", "10.0.0.4"]).await);
    Director::new(&here, &["10.0.0.4"]).await;
    let shown = here.ip("neighbour show");
    let managed = |address: &str| {
        let entry = shown
            .lines()
            .find(|line| line.starts_with(&format!("{address} ")));
        entry.is_some_and(|line| line.contains("managed"))
    };
    assert!(!managed("10.0.0.2"), "{shown}");
    assert!(managed("10.0.0.4"), "{shown}");
    assert!(managed("10.0.0.7"), "{shown}");
}

#[tokio::test]
async fn more_real_servers_than_the_neighbour_table_allows_are_kept() {
    let (here, there) = pair().await;
    // The limit of 1024 is of all namespaces together, and of entries that are garbage when unused.
    here.ip("address add 10.8.0.1/20 dev eth0");
    there.ip("address add 10.8.15.254/20 dev eth0");
    let addresses: Vec<String> = (0..2_000)
        .map(|number: u32| format!("10.8.{}.{}", 1 + number / 250, 1 + number % 250))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let director = Director::new(&here, &addresses).await;
    for address in addresses {
        director.resolution(address).expect("reachable");
    }
}
