//! The TCP check and what it says.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use vrrp_daemon::io::probe::Sources;
use vrrp_daemon::io::probe::tcp::{ProbeError, probe};

use crate::namespace::{Namespace, pair};

/// A check from any address but the virtual one `fd00::100` or `10.1.0.100`.
fn check(namespace: &Namespace, target: &str, connect_timeout: Duration) -> Result<(), ProbeError> {
    let target: SocketAddr = target.parse().expect("an address");
    let virtual_addresses = ["fd00::100", "10.1.0.100"].map(|address| address.parse().expect("an address"));
    let sources = Sources::except(virtual_addresses.into());
    namespace.block_on(|| async move { probe(target, connect_timeout, &sources).await })
}

fn failure(namespace: &Namespace, target: &str, connect_timeout: Duration) -> String {
    check(namespace, target, connect_timeout)
        .expect_err("the check fails")
        .to_string()
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_open_port_passes_and_leaves_no_connection_behind() {
    let (here, there) = pair().await;
    // Listeners to the end of the test: one that closes would reset the connections that it has not accepted.
    let _listeners = ["10.0.0.2:80", "[fd00::2]:80"].map(|address| {
        let listener = there.run(|| TcpListener::bind(address)).expect("a listener");
        check(&here, address, LONG).expect("the check passes");
        listener
    });
    let sockets = here.run(|| {
        ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
            .map(|path| std::fs::read_to_string(path).expect("the kernel has TCP"))
            .concat()
    });
    let connections = sockets.lines().filter(|line| line.contains(": ")).count();
    assert_eq!(connections, 0, "{sockets}");
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let (here, _there) = pair().await;
    assert_eq!(
        failure(&here, "10.0.0.2:80", LONG),
        "10.0.0.2:80 refused the connection"
    );
    assert_eq!(
        failure(&here, "[fd00::2]:80", LONG),
        "[fd00::2]:80 refused the connection"
    );
}

#[tokio::test]
async fn silence_ends_at_the_timeout() {
    let (here, _there) = pair().await;
    here.ip("neighbour add 10.0.0.9 lladdr 02:00:00:00:00:99 dev eth0 nud permanent");
    let begin = Instant::now();
    assert_eq!(
        failure(&here, "10.0.0.9:80", Duration::from_millis(250)),
        "10.0.0.9:80 did not answer within 250ms"
    );
    assert!(begin.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_machine_that_does_not_answer_arp_is_unreachable() {
    let (here, _there) = pair().await;
    here.set("ipv4/neigh/eth0/retrans_time_ms", "20");
    assert_eq!(failure(&here, "10.0.0.9:80", LONG), "10.0.0.9:80 is unreachable");
}

#[tokio::test]
async fn no_route_is_told_as_such() {
    let (here, _there) = pair().await;
    assert_eq!(
        failure(&here, "192.0.2.1:80", LONG),
        "there is no route to 192.0.2.1:80"
    );
}

#[tokio::test]
async fn a_check_does_not_leave_from_a_virtual_address_that_the_kernel_prefers() {
    let (here, there) = pair().await;
    let _listeners = ["10.1.0.2:80", "[fd00::2]:80"].map(|address| {
        there.ip("address replace 10.1.0.2/24 dev eth0");
        there.run(|| TcpListener::bind(address)).expect("a listener")
    });
    // As on a real server: the answer to a packet from its own address does not leave it.
    there.ip("address add 10.1.0.100/32 dev lo");
    there.ip("address add fd00::100/128 dev lo nodad");
    // More of its bits are the target's; and the route to the target's network is the virtual address's own.
    here.ip("address add fd00::100/128 dev eth0 nodad");
    here.ip("address add 10.1.0.100/24 dev eth0");
    for target in ["fd00::2", "10.1.0.2"] {
        let route = here.ip(&format!("route get {target}"));
        assert!(route.contains(".100 ") || route.contains("::100 "), "{route}");
    }
    there.ip("route add 10.0.0.0/24 dev eth0 src 10.1.0.2 metric 1");
    for target in ["10.1.0.2:80", "[fd00::2]:80"] {
        check(&here, target, Duration::from_secs(2)).expect(target);
    }
}

#[tokio::test]
async fn without_an_address_of_its_own_a_check_says_what_is_missing() {
    let (here, _there) = pair().await;
    here.ip("address flush dev eth0 scope global");
    here.ip("address add 10.1.0.100/24 dev eth0");
    assert_eq!(
        failure(&here, "10.1.0.2:80", LONG),
        "there is no address to check 10.1.0.2:80 from but the virtual address 10.1.0.100: give this node one of its \
         own in that network"
    );
}
