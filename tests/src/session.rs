//! One long-lived TCP connection, as of a database client: does it outlive a failover?

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{Node, wait};

/// How long an answer may take before the session counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running session with a responder.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    report: Mutex<SessionReport>,
    stop: AtomicBool,
}

/// What the client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionReport {
    /// The real server at the other end.
    pub server: String,
    /// Lines that were sent and answered.
    pub exchanges: usize,
    /// The longest time that an answer took.
    pub slowest: Duration,
    /// How the connection ended, if it did.
    pub ended: Option<(ErrorKind, Instant)>,
}

impl Session {
    /// Connects to the responder at `target` and sends it a line every `period`, each after the answer to the last.
    ///
    /// # Errors
    /// There is no first answer within ten seconds.
    pub fn start(from: &impl AsRef<Node>, target: SocketAddr, period: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let stream = from
            .as_ref()
            .namespace
            .run(|| TcpStream::connect_timeout(&target, Duration::from_secs(5)))
            .with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(stream, reader, period)
        });
        let session = Self {
            shared,
            thread: Some(thread),
        };
        wait::until("a first line is answered", Duration::from_secs(10), || {
            (session.so_far().exchanges > 0).then_some(())
        })?;
        Ok(session)
    }

    /// What the client has seen so far.
    #[must_use]
    pub fn so_far(&self) -> SessionReport {
        self.shared.lock().clone()
    }

    /// Waits until `more` further lines were answered.
    ///
    /// # Errors
    /// They are not within `patience`, or the connection ended.
    pub fn proceeds(&self, more: usize, patience: Duration) -> Result<()> {
        let goal = self.so_far().exchanges + more;
        let report = wait::until("the session proceeds", patience, || {
            let report = self.so_far();
            (report.exchanges >= goal || report.ended.is_some()).then_some(report)
        })?;
        ensure!(report.ended.is_none(), "the session ended: {report:?}");
        Ok(())
    }

    /// Stops and says what the client saw.
    ///
    /// # Errors
    /// The thread panicked.
    pub fn finish(mut self) -> Result<SessionReport> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        ensure!(
            matches!(ended, Some(Ok(()))),
            "the session's thread failed: {ended:?}"
        );
        Ok(self.so_far())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SessionReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut stream: TcpStream, mut reader: BufReader<TcpStream>, period: Duration) {
        while !self.stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            match exchange(&mut stream, &mut reader) {
                Ok(server) => {
                    let mut report = self.lock();
                    report.server = server;
                    report.exchanges += 1;
                    report.slowest = report.slowest.max(started.elapsed());
                }
                Err(error) => {
                    self.lock().ended = Some((error.kind(), Instant::now()));
                    return;
                }
            }
            std::thread::sleep((started + period).saturating_duration_since(Instant::now()));
        }
    }
}

/// Sends a line and returns the name of who answered it.
fn exchange(stream: &mut TcpStream, reader: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    stream.write_all(b"still there?\n")?;
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.split(' ').next().unwrap_or_default().to_owned())
}
