//! Network namespaces that have a name, so that people can look into them: `nsenter --net=/run/netns/NAME`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};

/// Where iproute2 keeps named namespaces.
pub(crate) const DIRECTORY: &str = "/run/netns";

/// A network namespace of the lab. Dropping it deletes its name; the namespace goes when its last process does.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    /// Creates the namespace `name`, with its loopback interface up.
    ///
    /// # Errors
    /// The caller isn't root, or the name is taken.
    pub fn create(name: &str) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", name]))?;
        let handle = File::open(Path::new(DIRECTORY).join(name))
            .with_context(|| format!("cannot open the namespace {name}"))?;
        let namespace = Self {
            name: name.to_owned(),
            handle,
        };
        // No duplicate address detection: an address must be usable in the moment it is there.
        namespace.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        namespace.ip("link set lo up\n")?;
        Ok(namespace)
    }

    /// The name that `ip netns list` shows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file to give to `nsenter --net=`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// A command that will run in this namespace.
    ///
    /// Only the network namespace changes: `ip netns exec` would also hide the host's `/sys`, and the bpffs in it.
    #[allow(
        unsafe_code,
        reason = "pre_exec is the way into a namespace between fork and exec"
    )]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // A parent that closes the handle before it spawns the command must not change where it runs.
        let handle = self.handle.try_clone().expect("a file descriptor to spare");
        // SAFETY: setns is one system call, which is async-signal-safe; the descriptor lives in the closure.
        unsafe { command.pre_exec(move || enter(handle.as_raw_fd())) };
        command
    }

    /// Runs `work` in a thread of its own in this namespace and waits for it.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let handle = self.handle.as_raw_fd();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter(handle).expect("root may enter a namespace of its own");
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a thread that does `work` in this namespace.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let handle = self.handle.try_clone().expect("a file descriptor to spare");
        thread::spawn(move || {
            enter(handle.as_raw_fd()).expect("root may enter a namespace of its own");
            work()
        })
    }

    /// Runs the lines of `batch` as commands of ip(8) in this namespace.
    ///
    /// # Errors
    /// What ip(8) said about the first line that failed.
    pub fn ip(&self, batch: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run ip")?;
        child
            .stdin
            .take()
            .expect("it was piped above")
            .write_all(batch.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "ip in {} failed: {}\n{batch}",
            self.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Sets a kernel parameter of this namespace, e.g. `net.ipv4.ip_forward`.
    ///
    /// # Errors
    /// There is no such parameter, or it refuses the value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        // /proc/sys/net shows the namespace of the thread that opens it.
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        self.run(|| std::fs::write(&path, value))
            .with_context(|| format!("cannot set {name} in {}", self.name))
    }

    /// Whether interface `interface` of this namespace has the IPv4 address `address`.
    ///
    /// # Errors
    /// ip(8) fails: there is no such interface.
    pub fn has_address(&self, interface: &str, address: Ipv4Addr) -> Result<bool> {
        let list = run(Command::new("ip").args([
            "-n", &self.name, "-oneline", "-4", "address", "show", "dev", interface,
        ]))?;
        Ok(list.contains(&format!("inet {address}/")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing more can be done here if it fails; the next lab tries again.
        drop(run(Command::new("ip").args(["netns", "del", &self.name])));
    }
}

/// Moves the calling thread into the network namespace behind `handle`.
#[allow(unsafe_code, reason = "the standard library knows no namespaces")]
fn enter(handle: RawFd) -> io::Result<()> {
    // SAFETY: one system call on a descriptor that the caller keeps open; it touches no memory.
    match unsafe { libc::setns(handle, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// It can't be started, or fails: with what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
