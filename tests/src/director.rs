//! A director: `lbd` on one node.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{Lifetime, Process, Signal, tail};
use crate::{Configuration, Lab, Node, Status, binaries, wait};

/// `lbd` on a node of the lab: its files, and the daemon when it runs.
#[derive(Debug)]
pub struct Director<'lab> {
    /// The machine.
    pub node: &'lab Node,
    /// What its configuration file says.
    pub configuration: Configuration,
    directory: PathBuf,
    log: PathBuf,
    lifetime: Lifetime,
    process: Option<Process>,
    /// Arguments of `lbd run` beyond the configuration.
    pub arguments: Vec<&'static str>,
    /// What it is run by, e.g. `unshare --mount`: a command that becomes the one at its end.
    pub wrapper: Vec<&'static str>,
    /// Variables of its environment beyond this process's.
    pub environment: Vec<(&'static str, String)>,
    /// Where its standard error goes from its next start on, if not to its log: `/dev/full`, a pipe that nobody reads.
    pub stderr: Option<OwnedFd>,
}

impl<'lab> Director<'lab> {
    /// Writes the configuration of the director on `node` and starts it.
    ///
    /// # Errors
    /// It doesn't answer on its control socket.
    pub fn start(lab: &'lab Lab, node: &'lab Node, configuration: Configuration) -> Result<Self> {
        let mut director = Self::prepare(lab, node, configuration)?;
        director.restart()?;
        Ok(director)
    }

    /// Writes the configuration of the director on `node`; [`Director::restart`] starts it.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn prepare(lab: &'lab Lab, node: &'lab Node, configuration: Configuration) -> Result<Self> {
        let directory = lab.directory.join(&node.name);
        fs::create_dir_all(directory.join("state"))?;
        let director = Self {
            node,
            configuration,
            log: lab.directory.join(format!("{}.lbd.log", node.name)),
            directory,
            lifetime: lab.lifetime,
            process: None,
            arguments: Vec::new(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            stderr: None,
        };
        director.write_configuration()?;
        Ok(director)
    }

    /// Starts the first two directors of `lab`, with priorities 150 and 100, and waits until the first is master, the
    /// second backup, and all real servers are up for both.
    ///
    /// # Errors
    /// They don't come to that.
    pub fn pair(lab: &'lab Lab, configuration: impl Fn(u8) -> Configuration) -> Result<(Self, Self)> {
        let [one, two] = lab.pair();
        let first = Self::start(lab, one, configuration(150))?;
        let second = Self::start(lab, two, configuration(100))?;
        let patience = Duration::from_secs(20);
        first.wait_for("director1 is master, all servers up", patience, |status| {
            status.is_master() && status.all_up()
        })?;
        second.wait_for("director2 is backup, all servers up", patience, |status| {
            status.is_backup() && status.all_up()
        })?;
        Ok((first, second))
    }

    /// Starts the daemon, which must not be running, and waits until it answers for all its virtual routers.
    ///
    /// # Errors
    /// It doesn't answer on its control socket.
    pub fn restart(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process {
            ensure!(process.has_ended(), "lbd on {} is still running", self.node.name);
        }
        let lbd = binaries::find("lbd")?.into_os_string();
        let mut words = self.wrapper.iter().map(OsString::from).chain([lbd]);
        let program = words.next().expect("lbd at least");
        let mut command = self.node.namespace.command(program);
        command
            .args(words)
            .args(["run", "-c"])
            .arg(self.configuration_path())
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start_with(command, &self.log, self.stderr.as_ref(), self.lifetime)?;
        // Its virtual routers are listed some milliseconds after it has begun to answer.
        let routers = self.configuration.length("vrrp_instance");
        let is_complete = |status: Status| status.list("vrrp_instances").len() >= routers;
        wait::until(
            "lbd answers on its control socket, with all its virtual routers",
            Duration::from_secs(20),
            || (self.status().is_ok_and(is_complete) || process.has_ended()).then_some(()),
        )
        .with_context(|| process.log_tail())?;
        ensure!(!process.has_ended(), "lbd ended at once\n{}", process.log_tail());
        self.process = Some(process);
        Ok(())
    }

    /// Writes `lbd.toml` as [`Director::configuration`] has it now.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_configuration(&self) -> Result<()> {
        let configuration = self.configuration.for_node(&self.node.name, &self.directory);
        self.write_configuration_text(&configuration.to_toml())
    }

    /// Writes `text` as `lbd.toml`.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_configuration_text(&self, text: &str) -> Result<()> {
        let path = self.configuration_path();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The path of `lbd.toml`.
    #[must_use]
    pub fn configuration_path(&self) -> PathBuf {
        self.directory.join("lbd.toml")
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("lbd.sock")
    }

    /// Where a map is pinned.
    #[must_use]
    pub fn pinned_map(&self, name: &str) -> PathBuf {
        self.directory.join("pins/maps").join(name)
    }

    /// Where the link of an interface is pinned.
    #[must_use]
    pub fn pinned_link(&self, name: &str) -> PathBuf {
        self.directory.join("pins/links").join(name)
    }

    /// Runs `lbd` with these arguments, as its administrator would on this node.
    ///
    /// # Errors
    /// It can't be started; its own failures are in the output. One that doesn't end within twenty seconds is ended,
    /// with the exit status 124 of timeout(1).
    pub fn lbd(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.node.namespace.command("timeout");
        command.arg("20").arg(binaries::find("lbd")?);
        command.args(arguments).env_remove("RUST_LOG");
        command.output().context("cannot run lbd")
    }

    /// What `lbd status --json` says.
    ///
    /// # Errors
    /// The daemon doesn't answer.
    pub fn status(&self) -> Result<Status> {
        let socket = self.socket();
        let output = Command::new(binaries::find("lbd")?)
            .args(["status", "--json", "--socket"])
            .arg(&socket)
            .output()?;
        ensure!(
            output.status.success(),
            "lbd status: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Status(
            serde_json::from_slice(&output.stdout).context("lbd status --json isn't JSON")?,
        ))
    }

    /// Waits until the status fulfils `condition`.
    ///
    /// # Errors
    /// It doesn't within `patience`: with the last status and the end of the log.
    pub fn wait_for(
        &self,
        what: &str,
        patience: Duration,
        condition: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        let mut last = None;
        wait::until(what, patience, || {
            last = self.status().ok();
            last.clone().filter(&condition)
        })
        .with_context(|| {
            let status = last.map_or_else(|| "none".to_owned(), |status| format!("{:#}", status.0));
            format!("{}: status: {status}\n{}", self.node.name, tail(&self.log))
        })
    }

    /// Waits until it is master.
    ///
    /// # Errors
    /// It isn't within ten seconds.
    pub fn becomes_master(&self) -> Result<Status> {
        self.wait_for("it becomes master", Duration::from_secs(10), Status::is_master)
    }

    /// Waits until it is backup.
    ///
    /// # Errors
    /// It isn't within ten seconds.
    pub fn becomes_backup(&self) -> Result<Status> {
        self.wait_for("it becomes backup", Duration::from_secs(10), Status::is_backup)
    }

    /// Waits until it, a master, has just advertised: from then on it says nothing for an interval.
    ///
    /// # Errors
    /// It doesn't within ten seconds.
    pub fn advertises(&self) -> Result<()> {
        let sent = || Ok::<_, anyhow::Error>(self.status()?.number("vrrp_instances[0].advertisements.sent"));
        let before = sent()?;
        wait::until("it advertises", Duration::from_secs(10), || {
            (sent().ok()? > before).then_some(())
        })
    }

    /// Sends the daemon `signal`.
    ///
    /// # Errors
    /// It isn't running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process().context("lbd isn't running")?.signal(signal)
    }

    /// Kills the daemon and waits until it is gone.
    ///
    /// # Errors
    /// It isn't running.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::Kill)?;
        self.process
            .take()
            .context("lbd isn't running")?
            .wait(Duration::from_secs(5))?;
        Ok(())
    }

    /// Stops the daemon by SIGTERM and waits for a clean end.
    ///
    /// # Errors
    /// It doesn't end within ten seconds, or with an error.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::Terminate)?;
        let mut process = self.process.take().context("lbd isn't running")?;
        let status = process.wait(Duration::from_secs(10))?;
        ensure!(
            status.success(),
            "lbd ended with {status}\n{}",
            process.log_tail()
        );
        Ok(())
    }

    /// The daemon, when it was started and not stopped since.
    #[must_use]
    pub const fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// All that the daemon has logged.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).context("cannot read the log")
    }

    /// The log's warnings and errors.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let complains = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
        Ok(self.log()?.lines().filter(complains).map(str::to_owned).collect())
    }

    /// The path of the log.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Gives up the right to stop the daemon.
    pub fn leave_running(mut self) {
        if let Some(process) = self.process.take() {
            process.leave_running();
        }
    }
}
