//! Programs that run in the lab: started in a namespace, logged to a file, signalled by pid.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

/// The signals that the lab sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: stop in good order.
    Terminate,
    /// SIGKILL: die.
    Kill,
    /// SIGSTOP: freeze.
    Stop,
    /// SIGCONT: thaw.
    Continue,
    /// SIGHUP: read the configuration again.
    HangUp,
}

impl Signal {
    const fn number(self) -> libc::c_int {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
            Self::Stop => libc::SIGSTOP,
            Self::Continue => libc::SIGCONT,
            Self::HangUp => libc::SIGHUP,
        }
    }
}

/// Whether processes end with the one that started them, or with their [`crate::Lab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// When the thread that started it ends, however it ends: nothing survives an interrupted test.
    Thread,
    /// When it is told so: what `demo --keep` leaves behind.
    Unbounded,
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, both of its outputs appended to the file `log`.
    ///
    /// # Errors
    /// The log can't be written, or the program not be started.
    pub fn start(command: Command, log: &Path, lifetime: Lifetime) -> Result<Self> {
        Self::start_with(command, log, None, lifetime)
    }

    /// Starts `command` with its standard error where `stderr` leads, instead of to the log.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_with(
        mut command: Command,
        log: &Path,
        stderr: Option<&OwnedFd>,
        lifetime: Lifetime,
    ) -> Result<Self> {
        // So that a restarted program continues its story.
        let stdout: OwnedFd = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?
            .into();
        let stderr = stderr.unwrap_or(&stdout).try_clone()?;
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // Ctrl-C is for whoever started the lab, who then stops its processes in the right order.
            .process_group(0);
        if lifetime == Lifetime::Thread {
            die_with_parent(&mut command);
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process identifier.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it `signal`.
    ///
    /// # Errors
    /// It has ended already.
    #[allow(unsafe_code, reason = "the standard library can only send SIGKILL")]
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // SAFETY: a system call without pointers; the child isn't reaped yet, so the number is still its own.
        let result = unsafe { libc::kill(self.child.id().cast_signed(), signal.number()) };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()).with_context(|| format!("cannot send {signal:?}")),
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It is still running after `patience`: with what it logged last.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait::until("the process ends", patience, || child.try_wait().ok().flatten())
            .with_context(|| self.log_tail())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The last lines of its log, as an error message quotes them.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Gives up the right to kill it.
    pub(crate) fn leave_running(self) {
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself: both fail then, and nothing is left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The last lines of the file at `path`, below its name.
pub(crate) fn tail(path: &Path) -> String {
    const LINES: usize = 60;
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    format!("--- {} ---\n{}", path.display(), last.join("\n"))
}

/// Asks the kernel to kill the program when the thread that starts it ends.
#[allow(unsafe_code, reason = "prctl between fork and exec")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl with these arguments is one system call without pointers, and async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}
