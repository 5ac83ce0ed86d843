//! VRRP packets between two machines.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use vrrp_daemon::io::batch::Batch;
use vrrp_daemon::io::vrrp_socket::VrrpSocket;
use vrrp_daemon::model::AddressFamily;
use vrrp_daemon::vrrp::{Datagram, multicast_group};

use crate::namespace::{Namespace, cable, pair, soon};

/// A VRRP message that tells itself from others by its `priority`.
fn message(priority: u8) -> Vec<u8> {
    vec![
        0x21, 51, priority, 1, 0, 1, 0, 0, 10, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0,
    ]
}

/// A router: its socket, and what came in together and was not looked at yet.
struct Router {
    socket: VrrpSocket,
    waiting: Vec<(IpAddr, u8)>,
}

impl Router {
    async fn open(namespace: &Namespace, interface: &str) -> Self {
        let index = namespace.link(interface).await.index;
        let socket = namespace
            .run(|| VrrpSocket::open(interface, index))
            .expect("a raw socket");
        Self {
            socket,
            waiting: Vec::new(),
        }
    }

    fn send(&self, source: IpAddr, priority: u8) -> io::Result<()> {
        self.socket.send(source, &message(priority))
    }

    /// The source and the priority of the next message, which is otherwise as it was sent.
    async fn receive(&mut self) -> (IpAddr, u8) {
        if self.waiting.is_empty() {
            let mut batch = Batch::default();
            soon(self.socket.receive(&mut batch)).await.expect("received");
            let packets = batch.packets().map(|packet| {
                let datagram = Datagram::of_ipv4(packet).expect("a whole packet");
                assert_eq!(datagram.destination, multicast_group(AddressFamily::Ipv4));
                assert_eq!(datagram.hop_limit, 255);
                assert_eq!(packet[1], 0xc0, "internetwork control");
                let priority = datagram.payload[2];
                assert_eq!(datagram.payload, message(priority));
                (datagram.source, priority)
            });
            self.waiting = packets.collect();
        }
        self.waiting.remove(0)
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

#[tokio::test]
async fn a_packet_arrives_whole_and_its_sender_does_not_hear_it() {
    let (here, there) = pair().await;
    let (mut ours, mut theirs) = (
        Router::open(&here, "eth0").await,
        Router::open(&there, "eth0").await,
    );
    ours.send(HERE, 100).expect("sent");
    assert_eq!(theirs.receive().await, (HERE, 100));
    theirs.send(THERE, 150).expect("sent");
    assert_eq!(ours.receive().await, (THERE, 150), "not our own of 100");
}

#[tokio::test]
async fn an_interface_without_routes_or_addresses_will_do() {
    let (here, there) = pair().await;
    for namespace in [&here, &there] {
        namespace.ip("address flush dev eth0");
    }
    let (ours, mut theirs) = (
        Router::open(&here, "eth0").await,
        Router::open(&there, "eth0").await,
    );
    ours.send(HERE, 100).expect("sent");
    assert_eq!(theirs.receive().await, (HERE, 100));
}

#[tokio::test]
async fn each_interface_has_its_own_packets() {
    let (here, there) = pair().await;
    cable(&here, "eth1", &there, "eth1").await;
    let (ours0, ours1) = (
        Router::open(&here, "eth0").await,
        Router::open(&here, "eth1").await,
    );
    let (mut theirs0, mut theirs1) = (
        Router::open(&there, "eth0").await,
        Router::open(&there, "eth1").await,
    );
    ours1.send(HERE, 1).expect("sent");
    assert_eq!(theirs1.receive().await, (HERE, 1));
    ours0.send(HERE, 2).expect("sent");
    assert_eq!(theirs0.receive().await, (HERE, 2), "not the one of eth1");
}

#[tokio::test]
async fn the_socket_survives_an_interface_that_goes_down_and_up() {
    let (here, there) = pair().await;
    let (ours, mut theirs) = (
        Router::open(&here, "eth0").await,
        Router::open(&there, "eth0").await,
    );
    here.ip("link set eth0 down");
    ours.send(HERE, 100).expect_err("nothing can be sent");
    there.ip("link set eth0 down");
    here.ip("link set eth0 up");
    there.ip("link set eth0 up");
    here.up("eth0").await;
    there.up("eth0").await;
    ours.send(HERE, 101).expect("sent");
    assert_eq!(theirs.receive().await, (HERE, 101));
}

#[tokio::test]
async fn a_packet_that_the_queue_drops_is_told() {
    let (here, _there) = pair().await;
    let ours = Router::open(&here, "eth0").await;
    let queue = |arguments: &[&str]| {
        let status = here.run(|| {
            Command::new("tc")
                .args(["qdisc", "replace", "dev", "eth0", "root"])
                .args(arguments)
                .status()
        });
        assert!(status.expect("tc runs").success());
    };
    queue(&["pfifo", "limit", "0"]);
    let dropped = ours.send(HERE, 100).expect_err("the queue has no room");
    assert_eq!(dropped.raw_os_error(), Some(libc::ENOBUFS));
    queue(&["pfifo", "limit", "10"]);
    ours.send(HERE, 100).expect("sent");
}

#[tokio::test]
async fn a_packet_that_a_filter_drops_is_told() {
    let (here, there) = pair().await;
    let (ours, mut theirs) = (
        Router::open(&here, "eth0").await,
        Router::open(&there, "eth0").await,
    );
    let filter = |rules: &[&str]| {
        let status = here.run(|| Command::new("nft").arg(rules.join("; ")).status());
        assert!(status.expect("nft runs").success());
    };
    filter(&[
        "add table ip filter",
        "add chain ip filter output { type filter hook output priority 0; }",
        "add rule ip filter output ip protocol 112 drop",
    ]);
    let dropped = ours.send(HERE, 100).expect_err("the filter drops it");
    assert_eq!(dropped.kind(), io::ErrorKind::PermissionDenied);
    filter(&["delete table ip filter"]);
    ours.send(HERE, 101).expect("sent");
    assert_eq!(theirs.receive().await, (HERE, 101));
}

#[tokio::test]
async fn a_burst_arrives_whole_and_in_order() {
    let (here, there) = pair().await;
    let (ours, mut theirs) = (
        Router::open(&here, "eth0").await,
        Router::open(&there, "eth0").await,
    );
    for priority in 1..=100 {
        ours.send(HERE, priority).expect("sent");
    }
    for priority in 1..=100 {
        assert_eq!(theirs.receive().await, (HERE, priority));
    }
}

/// Whether the interface receives the link-layer group of advertisements for other reasons than a socket.
fn keeps_groups(namespace: &Namespace) -> bool {
    let shown = namespace.ip("maddress show dev eth0");
    let kept = |group: &str| {
        let mut lines = shown.lines();
        lines.any(|line| line.contains(group) && line.contains("static"))
    };
    assert_eq!(kept("01:00:5e:00:00:12"), kept("33:33:00:00:00:12"), "{shown}");
    kept("01:00:5e:00:00:12")
}

#[tokio::test]
async fn the_group_outlives_a_socket_that_does_not_let_it_go() {
    let (here, _there) = pair().await;
    let index = here.link("eth0").await.index;
    let ours = Router::open(&here, "eth0").await;
    assert!(!keeps_groups(&here));
    ours.socket.keep_group(index).expect("kept");
    drop(ours);
    assert!(keeps_groups(&here), "as after SIGKILL");

    // A restarted daemon keeps it as well, and lets go of it once.
    here.ip("link set eth0 down");
    here.ip("link set eth0 name lan0");
    here.ip("link set lan0 name eth0");
    here.ip("link set eth0 up");
    let ours = Router::open(&here, "eth0").await;
    ours.socket.keep_group(index).expect("kept");
    ours.socket.let_group_go(index).expect("let go");
    assert!(!keeps_groups(&here));
    ours.socket.let_group_go(index).expect_err("nothing to let go");
}
