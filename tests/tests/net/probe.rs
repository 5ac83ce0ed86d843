//! The TCP check and what it says.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use vrrp_daemon::io::probe::tcp::{ProbeError, probe};

use crate::namespace::{Namespace, pair};

fn check(namespace: &Namespace, target: &str, connect_timeout: Duration) -> Result<(), ProbeError> {
    let target: SocketAddr = target.parse().expect("an address");
    namespace.block_on(|| probe(target, connect_timeout))
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
