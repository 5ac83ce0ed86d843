//! Steady work: HTTP requests, one after the other, each by a new connection, for as long as it is let.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{Node, wait};

/// How long a request may take. A lost SYN is sent again after one second, and then after two more.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    stop: AtomicBool,
}

/// One request and how it ended: the name of the server, or what went wrong.
#[derive(Clone, Debug)]
struct Request {
    started: Instant,
    ended: Instant,
    outcome: std::result::Result<String, String>,
}

/// What the client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Requests that ended.
    pub requests: usize,
    /// Why requests failed, each with its count.
    pub failures: BTreeMap<String, usize>,
    /// How many each real server answered.
    pub answered_by: BTreeMap<String, usize>,
    /// The longest time that a request took.
    pub slowest: Duration,
}

impl LoadReport {
    /// How many requests failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failures.values().sum()
    }
}

impl Load {
    /// Starts to request `/` from `target`: one request each `period`, or as soon as the one before has ended.
    ///
    /// # Errors
    /// No request is answered within ten seconds.
    pub fn start(from: &impl AsRef<Node>, target: SocketAddr, period: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = from.as_ref().namespace.spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(target, period)
        });
        let load = Self {
            shared,
            thread: Some(thread),
        };
        wait::until("a first request is answered", Duration::from_secs(10), || {
            load.shared
                .lock()
                .iter()
                .any(|request| request.outcome.is_ok())
                .then_some(())
        })?;
        load.shared.lock().retain(|request| request.outcome.is_ok());
        Ok(load)
    }

    /// What came of the requests that were started in or after the moment `start` and have ended.
    #[must_use]
    pub fn since(&self, start: Instant) -> LoadReport {
        report(
            self.shared
                .lock()
                .iter()
                .filter(|request| request.started >= start),
        )
    }

    /// Stops and says what the client saw.
    ///
    /// # Errors
    /// The thread panicked.
    pub fn finish(mut self) -> Result<LoadReport> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        ensure!(matches!(ended, Some(Ok(()))), "the load failed: {ended:?}");
        Ok(report(self.shared.lock().iter()))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, target: SocketAddr, period: Duration) {
        while !self.stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            let outcome = request(target).map_err(|error| error.to_string());
            self.lock().push(Request {
                started,
                ended: Instant::now(),
                outcome,
            });
            std::thread::sleep((started + period).saturating_duration_since(Instant::now()));
        }
    }
}

/// Requests `/` by a connection of its own and returns the body: the name of the server.
fn request(target: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "answered {answer:?}");
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

fn report<'a>(requests: impl Iterator<Item = &'a Request>) -> LoadReport {
    let mut report = LoadReport::default();
    for request in requests {
        report.requests += 1;
        report.slowest = report.slowest.max(request.ended - request.started);
        let (counts, key) = match &request.outcome {
            Ok(name) => (&mut report.answered_by, name),
            Err(error) => (&mut report.failures, error),
        };
        *counts.entry(key.clone()).or_default() += 1;
    }
    report
}
