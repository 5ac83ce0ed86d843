//! Network namespaces without names: they live as long as the test that holds them, and cannot be left behind.

use std::fs::{self, File};
use std::future::Future;
use std::os::fd::AsRawFd as _;
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use vrrp_daemon::io::netlink::{Events, Link, Netlink, Topic};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace.
pub(crate) struct Namespace {
    /// Keeps it alive.
    file: File,
}

impl Namespace {
    /// A new one, with the loopback interface up and IPv6 addresses usable at once.
    pub(crate) fn new() -> Self {
        let file = thread::spawn(|| {
            #[allow(unsafe_code, reason = "no library here wraps it")]
            // SAFETY: no memory is involved; only this thread, which ends at once, changes its namespace.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "unshare needs root");
            File::open("/proc/thread-self/ns/net").expect("every thread has a network namespace")
        });
        let namespace = Self {
            file: file.join().expect("the thread does not panic"),
        };
        namespace.ip("link set lo up");
        for interfaces in ["all", "default"] {
            namespace.set(&format!("ipv6/conf/{interfaces}/accept_dad"), "0");
        }
        namespace
    }

    /// Runs `work` on a thread in this namespace, as part of the caller's runtime if there is one: sockets that it
    /// opens belong to this namespace and can be polled anywhere.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let runtime = Handle::try_current().ok();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                #[allow(unsafe_code, reason = "no library here wraps it")]
                // SAFETY: the file is an open network namespace; only this thread changes its namespace.
                let result = unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "setns");
                let _entered = runtime.as_ref().map(Handle::enter);
                work()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a future to its end on a thread and a runtime in this namespace.
    pub(crate) fn block_on<T: Send, F: Future<Output = T>>(&self, work: impl FnOnce() -> F + Send) -> T {
        thread::scope(|scope| {
            // Outside the caller's runtime, which a second one must not be nested in.
            let thread = scope.spawn(|| {
                self.run(|| {
                    let runtime = Builder::new_current_thread().enable_all().build();
                    runtime.expect("a runtime").block_on(soon(work()))
                })
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs `ip` here with `arguments`, separated by spaces, and returns what it printed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let output = self
            .run(|| Command::new("ip").args(arguments.split_whitespace()).output())
            .expect("iproute2 is installed");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sets the sysctl `net.NAME`, written as a path.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.run(|| fs::write(format!("/proc/sys/net/{name}"), value))
            .expect(name);
    }

    /// The interface called `name`.
    pub(crate) async fn link(&self, name: &str) -> Link {
        let netlink = self.run(Netlink::new).expect("a netlink socket");
        let links = soon(netlink.links()).await.expect("links");
        links.into_iter().find(|link| link.name == name).expect(name)
    }

    /// Waits until the interface called `name` is up.
    pub(crate) async fn up(&self, name: &str) {
        let mut events = self
            .run(|| Events::subscribe(&[Topic::Links]))
            .expect("a netlink socket");
        while !self.link(name).await.up {
            soon(events.next()).await.expect("an event");
        }
    }

    /// Where other programs find this namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }
}

/// Two namespaces whose interfaces `eth0` are the ends of one cable, with the addresses `10.0.0.1/24` and `fd00::1/64`
/// here, `10.0.0.2/24` and `fd00::2/64` there.
pub(crate) async fn pair() -> (Namespace, Namespace) {
    let (here, there) = (Namespace::new(), Namespace::new());
    cable(&here, "eth0", &there, "eth0").await;
    for (namespace, host) in [(&here, 1), (&there, 2)] {
        namespace.ip(&format!("address add 10.0.0.{host}/24 dev eth0"));
        namespace.ip(&format!("address add fd00::{host}/64 dev eth0 nodad"));
    }
    (here, there)
}

/// Connects two namespaces by a pair of interfaces, and waits until packets can pass.
pub(crate) async fn cable(here: &Namespace, name: &str, there: &Namespace, peer: &str) {
    here.ip(&format!(
        "link add {name} type veth peer name {peer} netns {}",
        there.path()
    ));
    here.ip(&format!("link set {name} up"));
    there.ip(&format!("link set {peer} up"));
    here.up(name).await;
    there.up(peer).await;
}

/// Waits for what must not take long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it takes far too long")
}
