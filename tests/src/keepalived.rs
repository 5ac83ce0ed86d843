//! A real Keepalived on a director's node, to compare with and to work with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::keepalived_conf::keepalived_conf;
use crate::namespace::run;
use crate::process::{Lifetime, Process, Signal};
use crate::{Configuration, Lab, Node, VIP, wait};

/// What Keepalived 2.2 logs when something is wrong with an advertisement, a configuration or the kernel.
const COMPLAINTS: [&str; 9] = [
    "error", "bogus", "mismatch", "invalid", "checksum", "dropping", "unknown", "differ", "warning",
];

/// `keepalived` on a node of the lab.
#[derive(Debug)]
pub struct Keepalived<'lab> {
    /// The machine.
    pub node: &'lab Node,
    directory: PathBuf,
    lifetime: Lifetime,
    process: Option<Process>,
}

impl<'lab> Keepalived<'lab> {
    /// Starts Keepalived on `node` with the VRRP part of `configuration`.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(lab: &'lab Lab, node: &'lab Node, configuration: &Configuration) -> Result<Self> {
        let mut keepalived = Self {
            node,
            directory: lab.directory.clone(),
            lifetime: lab.lifetime,
            process: None,
        };
        fs::write(
            keepalived.file("conf"),
            keepalived_conf(configuration, &node.name),
        )?;
        keepalived.restart()?;
        Ok(keepalived)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory
            .join(format!("{}.keepalived.{extension}", self.node.name))
    }

    /// Starts it, when it was stopped.
    ///
    /// # Errors
    /// It can't be started.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(
            self.process.is_none(),
            "keepalived on {} is still running",
            self.node.name
        );
        let mut command = self.node.namespace.command("keepalived");
        command
            .args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"])
            .arg("--use-file")
            .arg(self.file("conf"))
            .arg("--pid")
            .arg(self.file("pid"))
            .arg("--vrrp_pid")
            .arg(self.file("vrrp.pid"));
        self.process = Some(Process::start(command, &self.file("log"), self.lifetime)?);
        Ok(())
    }

    /// The processes: the parent, and the child that speaks VRRP.
    ///
    /// # Errors
    /// It isn't running, or the child hasn't started yet.
    pub fn ids(&self) -> Result<[u32; 2]> {
        let parent = self.process.as_ref().context("keepalived isn't running")?.id();
        let child = fs::read_to_string(self.file("vrrp.pid"))?;
        Ok([parent, child.trim().parse().context("no process identifier")?])
    }

    /// Whether the virtual address is on its interface: Keepalived's mark of a master.
    ///
    /// # Errors
    /// ip(8) fails.
    pub fn is_master(&self) -> Result<bool> {
        self.node.namespace.has_address("eth0", VIP)
    }

    /// Waits until it is master, or isn't.
    ///
    /// # Errors
    /// It doesn't come to that within ten seconds: with the end of its log.
    pub fn wait_for_mastership(&self, mastership: bool) -> Result<()> {
        let what = if mastership {
            "keepalived is master"
        } else {
            "keepalived isn't master"
        };
        wait::until(what, Duration::from_secs(10), || {
            self.is_master().is_ok_and(|is| is == mastership).then_some(())
        })
        .with_context(|| self.process.as_ref().map_or_else(String::new, Process::log_tail))
    }

    /// Waits until it logs `text`, which it hasn't before.
    ///
    /// # Errors
    /// It doesn't within ten seconds.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait::until(
            &format!("keepalived logs {text:?}"),
            Duration::from_secs(10),
            || self.log().is_ok_and(|log| log.contains(text)).then_some(()),
        )
    }

    /// Kills all of it: the parent and the child that speaks VRRP.
    ///
    /// # Errors
    /// It isn't running.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("keepalived isn't running")?;
        // The parent would start another child, and the child stops in good order when its parent is gone.
        process.signal(Signal::Stop)?;
        let child = fs::read_to_string(self.file("vrrp.pid"))?;
        run(Command::new("kill").args(["-KILL", child.trim()]))?;
        process.signal(Signal::Kill)?;
        process.wait(Duration::from_secs(5))?;
        Ok(())
    }

    /// Stops it by SIGTERM and waits until it is gone.
    ///
    /// # Errors
    /// It doesn't end within ten seconds.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("keepalived isn't running")?;
        process.signal(Signal::Terminate)?;
        process.wait(Duration::from_secs(10))?;
        Ok(())
    }

    /// All that it has logged.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(self.file("log")).context("cannot read the log")
    }

    /// The lines of its log that complain.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let complains = |line: &&str| {
            let line = line.to_lowercase();
            COMPLAINTS.iter().any(|word| line.contains(word))
        };
        Ok(self.log()?.lines().filter(complains).map(str::to_owned).collect())
    }
}
