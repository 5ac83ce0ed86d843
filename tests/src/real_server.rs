//! Real servers: nginx, and a responder for UDP and for long-lived connections.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Lifetime, Process, Signal};
use crate::{ECHO, Node, VIP, VIP6, binaries, wait};

/// Where nginx listens beside port 80, over IPv4.
pub const FURTHER_PORTS: RangeInclusive<u16> = 8_000..=8_005;

/// A node that serves the virtual addresses: nginx answers with the node's name, and so does the responder.
#[derive(Debug)]
pub struct RealServer<N = Node> {
    /// The machine.
    pub node: N,
    directory: PathBuf,
    lifetime: Lifetime,
    nginx: Mutex<Option<Process>>,
    responder: Mutex<Option<Process>>,
}

impl<N: AsRef<Node>> RealServer<N> {
    /// Starts both servers on `node`.
    pub(crate) fn start(node: N, directory: &Path, lifetime: Lifetime) -> Result<Self> {
        let server = Self {
            node,
            directory: directory.to_owned(),
            lifetime,
            nginx: Mutex::new(None),
            responder: Mutex::new(None),
        };
        server.start_nginx()?;
        server.start_responder()?;
        Ok(server)
    }

    /// Starts nginx and waits until it listens.
    ///
    /// # Errors
    /// It doesn't.
    pub fn start_nginx(&self) -> Result<()> {
        let name = &self.node().name;
        let file = |extension: &str| self.directory.join(format!("{name}.nginx.{extension}"));
        // One process: the one that is killed is the one that serves.
        fs::write(
            file("conf"),
            format!(
                "daemon off;\n\
                 master_process off;\n\
                 pid {pid};\n\
                 error_log stderr warn;\n\
                 events {{ worker_connections 4096; }}\n\
                 http {{\n\
                 \x20   access_log off;\n\
                 \x20   server {{\n\
                 \x20       listen 80 backlog=4096;\n\
                 \x20       listen [::]:80 backlog=4096;\n\
                 \x20       listen {first}-{last};\n\
                 \x20       location / {{ default_type text/plain; return 200 \"{name}\\n\"; }}\n\
                 \x20   }}\n\
                 }}\n",
                pid = file("pid").display(),
                first = FURTHER_PORTS.start(),
                last = FURTHER_PORTS.end(),
            ),
        )?;
        let mut command = self.node().namespace.command("nginx");
        command.arg("-c").arg(file("conf")).arg("-e").arg("stderr");
        let process = Process::start(command, &file("log"), self.lifetime)?;
        self.await_listener(80).with_context(|| process.log_tail())?;
        *locked(&self.nginx) = Some(process);
        Ok(())
    }

    /// Kills nginx: its port then refuses connections.
    pub fn kill_nginx(&self) {
        *locked(&self.nginx) = None;
    }

    /// Freezes nginx: the kernel still accepts connections for it, but nobody answers.
    ///
    /// # Errors
    /// It isn't running.
    pub fn signal_nginx(&self, signal: Signal) -> Result<()> {
        locked(&self.nginx)
            .as_ref()
            .context("nginx isn't running")?
            .signal(signal)
    }

    /// Starts the responder and waits until it listens.
    ///
    /// # Errors
    /// It doesn't.
    pub fn start_responder(&self) -> Result<()> {
        let name = &self.node().name;
        let mut command = self.node().namespace.command(binaries::find("responder")?);
        command
            .arg(name)
            .arg(format!("{VIP}:{ECHO}"))
            .arg(format!("[{VIP6}]:{ECHO}"));
        let log = self.directory.join(format!("{name}.responder.log"));
        let process = Process::start(command, &log, self.lifetime)?;
        self.await_listener(ECHO).with_context(|| process.log_tail())?;
        *locked(&self.responder) = Some(process);
        Ok(())
    }

    /// Kills the responder.
    pub fn kill_responder(&self) {
        *locked(&self.responder) = None;
    }

    /// Gives up the right to stop the servers.
    pub fn leave_running(&self) {
        for server in [&self.nginx, &self.responder] {
            if let Some(process) = locked(server).take() {
                process.leave_running();
            }
        }
    }

    fn node(&self) -> &Node {
        self.node.as_ref()
    }

    /// Waits until something listens on the TCP port `port`.
    fn await_listener(&self, port: u16) -> Result<()> {
        let node = self.node();
        let address = node.address;
        node.namespace.run(|| {
            wait::until(
                &format!("{} listens on port {port}", node.name),
                Duration::from_secs(10),
                || std::net::TcpStream::connect((address, port)).ok(),
            )
        })?;
        Ok(())
    }
}

/// What a poisoned lock guards here is still only a process to be killed.
fn locked(process: &Mutex<Option<Process>>) -> MutexGuard<'_, Option<Process>> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}
