//! The service manager's end of `sd_notify`: what a daemon says of itself to systemd.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::wait;

/// The socket that `$NOTIFY_SOCKET` names.
#[derive(Debug)]
pub struct NotifySocket {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Vec<(Instant, String)>>,
    stop: AtomicBool,
}

impl NotifySocket {
    /// Listens at `path`.
    ///
    /// # Errors
    /// Something is there already.
    pub fn bind(path: &Path) -> Result<Self> {
        let socket =
            UnixDatagram::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&socket)
        });
        Ok(Self {
            path: path.to_owned(),
            shared,
            thread: Some(thread),
        })
    }

    /// For the environment of the daemon: [`crate::Director::environment`].
    #[must_use]
    pub fn variable(&self) -> (&'static str, String) {
        ("NOTIFY_SOCKET", self.path.display().to_string())
    }

    /// The assignments that were sent so far, e.g. `READY=1`, each with the moment of its arrival.
    #[must_use]
    pub fn said(&self) -> Vec<(Instant, String)> {
        self.shared.lock().clone()
    }

    /// How often `assignment` was sent so far.
    #[must_use]
    pub fn count(&self, assignment: &str) -> usize {
        let said = self.shared.lock();
        said.iter().filter(|(_at, other)| other == assignment).count()
    }

    /// Waits until `assignment` is sent after the first `skip` times.
    ///
    /// # Errors
    /// It isn't within `patience`: with all that was.
    pub fn hears(&self, assignment: &str, skip: usize, patience: Duration) -> Result<()> {
        let what = format!("the service manager hears {assignment}");
        wait::until(&what, patience, || (self.count(assignment) > skip).then_some(()))
            .with_context(|| format!("it heard {:?}", self.said()))
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, String)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, socket: &UnixDatagram) {
        let mut buffer = [0; 4096];
        while !self.stop.load(Ordering::Relaxed) {
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let now = Instant::now();
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    self.lock()
                        .extend(text.lines().map(|assignment| (now, assignment.to_owned())));
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
    }
}
