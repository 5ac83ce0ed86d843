//! Where a program's two outputs go: to its log, or where they do it harm.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};

/// Where a program's standard output and standard error go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Appended to its log.
    #[default]
    Log,
    /// `/dev/full`: each write fails for lack of space, as on a full disk.
    FullDisk,
    /// A pipe that is full already, and that nobody reads: each write waits for ever, unless it was told not to.
    FullPipe,
    /// A pipe without a reader: each write fails, and brings a signal to who hasn't ignored it.
    ClosedPipe,
}

impl Output {
    /// Opens it; `log` is the file if it is one. The reading end is there if it must stay open.
    pub(crate) fn open(self, log: &Path) -> Result<(OutputEnd, Option<PipeReader>)> {
        Ok(match self {
            // So that a restarted program continues its story.
            Self::Log => (append(log)?.into(), None),
            Self::FullDisk => (append(Path::new("/dev/full"))?.into(), None),
            Self::FullPipe => {
                let (reader, writer) = io::pipe()?;
                fill(&writer).context("cannot fill a pipe")?;
                (OutputEnd(writer.into()), Some(reader))
            }
            Self::ClosedPipe => (OutputEnd(io::pipe()?.1.into()), None),
        })
    }
}

/// The end that the program writes to.
#[derive(Debug)]
pub(crate) struct OutputEnd(OwnedFd);

impl OutputEnd {
    /// Another handle of the same.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl From<File> for OutputEnd {
    fn from(file: File) -> Self {
        Self(file.into())
    }
}

impl From<OutputEnd> for Stdio {
    fn from(end: OutputEnd) -> Self {
        end.0.into()
    }
}

/// Opens the file at `path` for appending.
fn append(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes to the pipe until there is no room for another byte.
fn fill(mut writer: &PipeWriter) -> io::Result<()> {
    set_nonblocking(writer, true)?;
    for size in [4096, 1] {
        loop {
            match writer.write(&vec![b'.'; size]) {
                Ok(_written) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    set_nonblocking(writer, false)
}

/// Whether a write to the pipe returns at once, for everybody who has it.
#[allow(unsafe_code, reason = "the standard library knows it of sockets only")]
fn set_nonblocking(writer: &PipeWriter, nonblocking: bool) -> io::Result<()> {
    let flags = if nonblocking { libc::O_NONBLOCK } else { 0 };
    // SAFETY: a system call without pointers on a descriptor that is open. A pipe has no other flags that can be set.
    match unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
