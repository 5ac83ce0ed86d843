//! VRRP packets between two machines.

use std::net::Ipv4Addr;
use std::process::Command;

use vrrp_daemon::io::vrrp_socket::{BUFFER, VrrpSocket};
use vrrp_daemon::vrrp::MULTICAST_GROUP;

use crate::namespace::{Namespace, cable, pair, soon};

/// A VRRP packet as the protocol builds it, header included, that tells itself from others by its `priority`.
fn packet(source: Ipv4Addr, priority: u8) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0xc0, 0, 40, 0, 0, 0, 0, 255, 112, 0, 0, // identification and checksum are the kernel's
    ];
    packet.extend(source.octets());
    packet.extend(MULTICAST_GROUP.octets());
    packet.extend([
        0x21, 51, priority, 1, 0, 1, 0, 0, 10, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    packet
}

/// The packet without the fields that the kernel fills in.
fn as_sent(received: &[u8]) -> Vec<u8> {
    let mut packet = received.to_vec();
    packet[4..6].fill(0);
    packet[10..12].fill(0);
    packet
}

async fn open(namespace: &Namespace, interface: &str) -> VrrpSocket {
    let index = namespace.link(interface).await.index;
    namespace
        .run(|| VrrpSocket::open(interface, index))
        .expect("a raw socket")
}

async fn receive(socket: &VrrpSocket) -> Vec<u8> {
    let mut buffer = [0; BUFFER];
    let length = soon(socket.receive(&mut buffer)).await.expect("received");
    as_sent(&buffer[..length])
}

const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

#[tokio::test]
async fn a_packet_arrives_whole_and_its_sender_does_not_hear_it() {
    let (here, there) = pair().await;
    let (ours, theirs) = (open(&here, "eth0").await, open(&there, "eth0").await);
    ours.send(&packet(HERE, 100)).expect("sent");
    assert_eq!(receive(&theirs).await, packet(HERE, 100));
    theirs.send(&packet(THERE, 150)).expect("sent");
    assert_eq!(receive(&ours).await, packet(THERE, 150), "not our own of 100");
}

#[tokio::test]
async fn an_interface_without_routes_or_addresses_will_do() {
    let (here, there) = pair().await;
    for namespace in [&here, &there] {
        namespace.ip("address flush dev eth0");
    }
    let (ours, theirs) = (open(&here, "eth0").await, open(&there, "eth0").await);
    ours.send(&packet(HERE, 100)).expect("sent");
    assert_eq!(receive(&theirs).await, packet(HERE, 100));
}

#[tokio::test]
async fn each_interface_has_its_own_packets() {
    let (here, there) = pair().await;
    cable(&here, "eth1", &there, "eth1").await;
    let (ours0, ours1) = (open(&here, "eth0").await, open(&here, "eth1").await);
    let (theirs0, theirs1) = (open(&there, "eth0").await, open(&there, "eth1").await);
    ours1.send(&packet(HERE, 1)).expect("sent");
    assert_eq!(receive(&theirs1).await, packet(HERE, 1));
    ours0.send(&packet(HERE, 2)).expect("sent");
    assert_eq!(receive(&theirs0).await, packet(HERE, 2), "not the one of eth1");
}

#[tokio::test]
async fn the_socket_survives_an_interface_that_goes_down_and_up() {
    let (here, there) = pair().await;
    let (ours, theirs) = (open(&here, "eth0").await, open(&there, "eth0").await);
    here.ip("link set eth0 down");
    ours.send(&packet(HERE, 100)).expect_err("nothing can be sent");
    there.ip("link set eth0 down");
    here.ip("link set eth0 up");
    there.ip("link set eth0 up");
    here.up("eth0").await;
    there.up("eth0").await;
    ours.send(&packet(HERE, 101)).expect("sent");
    assert_eq!(receive(&theirs).await, packet(HERE, 101));
}

#[tokio::test]
async fn a_packet_that_the_queue_drops_is_told() {
    let (here, _there) = pair().await;
    let ours = open(&here, "eth0").await;
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
    let dropped = ours.send(&packet(HERE, 100)).expect_err("the queue has no room");
    assert_eq!(dropped.raw_os_error(), Some(libc::ENOBUFS));
    queue(&["pfifo", "limit", "10"]);
    ours.send(&packet(HERE, 100)).expect("sent");
}
