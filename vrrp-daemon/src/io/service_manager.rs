//! What the service manager is told (`sd_notify(3)`): that the daemon is ready, reloads, stops, and lives.
//!
//! A thread of its own talks to the service manager, so that one that does not listen keeps nobody waiting.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::{error, warn};

/// How many messages may wait for a service manager that does not listen.
const QUEUE: usize = 64;

/// The watchdog is told of life this many times in its interval, and looks for it in each loop as often.
const SIGNS: u32 = 4;

/// The way to the service manager. Clones share it. Without a service manager, nobody is told.
#[derive(Clone, Debug)]
pub struct ServiceManager(Option<SyncSender<Message>>);

#[derive(Debug)]
enum Message {
    /// A loop has begun to turn.
    Turning,
    Reloading,
    Reloaded,
    Stopping {
        within: Duration,
    },
    Status(String),
}

impl ServiceManager {
    /// Finds the service manager that the environment names, and gives each of the `loops` the means to show that it
    /// turns. The daemon is ready once all of them do.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn find<const LOOPS: usize>(loops: [&'static str; LOOPS]) -> io::Result<(Self, [Pulse; LOOPS])> {
        let watchdog = sd_notify::watchdog_enabled();
        let interval = watchdog.map(|watchdog| watchdog / SIGNS);
        let started = Instant::now();
        let (sender, messages) = sync_channel(QUEUE);
        // A watchdog without a socket cannot be told anything.
        let found = std::env::var_os("NOTIFY_SOCKET").is_some();
        let manager = Self(found.then_some(sender));
        let pulses = loops.map(|name| Pulse {
            name,
            started,
            interval: interval.filter(|_| found),
            turned_at: Arc::default(),
            manager: manager.clone(),
        });
        if found {
            let reporter = Reporter {
                messages,
                pulses: pulses.to_vec(),
                watchdog,
                turning: 0,
                unheard: false,
                stuck: false,
            };
            thread::Builder::new()
                .name("notify".to_owned())
                .spawn(|| reporter.run())?;
        }
        Ok((manager, pulses))
    }

    /// A reload has begun. It has ended when what this returns is dropped, whatever came of it.
    #[must_use]
    pub fn reloading(&self) -> Reloading {
        self.tell(Message::Reloading);
        Reloading(self.clone())
    }

    /// The daemon stops, and may take as long as `within`.
    pub fn stopping(&self, within: Duration) {
        self.tell(Message::Stopping { within });
    }

    /// What the daemon does, in a line for people.
    pub fn status(&self, status: String) {
        self.tell(Message::Status(status));
    }

    fn tell(&self, message: Message) {
        if let Some(sender) = &self.0 {
            // A full queue is a service manager that does not listen: it will not miss this one.
            sender.try_send(message).ok();
        }
    }
}

/// A reload that is under way.
#[derive(Debug)]
pub struct Reloading(ServiceManager);

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.tell(Message::Reloaded);
    }
}

/// How a loop shows that it turns. Clones show it for the same loop.
#[derive(Clone, Debug)]
pub struct Pulse {
    name: &'static str,
    started: Instant,
    /// How often it has to be shown, if somebody wants to know.
    interval: Option<Duration>,
    /// Milliseconds after the start; 0: never.
    turned_at: Arc<AtomicU64>,
    manager: ServiceManager,
}

impl Pulse {
    /// The loop turns.
    pub fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.turned_at.swap(now.max(1), Ordering::Relaxed) == 0 {
            self.manager.tell(Message::Turning);
        }
    }

    /// When the loop has to turn again, even if nothing has happened.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.last()? + self.interval?)
    }

    /// When the loop has last turned.
    fn last(&self) -> Option<Instant> {
        match self.turned_at.load(Ordering::Relaxed) {
            0 => None,
            turned_at => Some(self.started + Duration::from_millis(turned_at)),
        }
    }
}

/// The thread that talks to the service manager.
struct Reporter {
    messages: Receiver<Message>,
    pulses: Vec<Pulse>,
    /// Without a sign of life for this long, the service manager ends the daemon.
    watchdog: Option<Duration>,
    /// How many loops turn.
    turning: usize,
    /// It has been said that the service manager cannot be told.
    unheard: bool,
    /// It has been said that a loop is stuck.
    stuck: bool,
}

impl Reporter {
    fn run(mut self) {
        loop {
            let message = match self.watchdog {
                Some(watchdog) => self.messages.recv_timeout(watchdog / SIGNS),
                None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(message) => self.pass_on(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // The first sign of life starts the service manager's watchdog. Until the daemon is ready, it has the time
            // that a start may take (TimeoutStartSec).
            if let Some(watchdog) = self.watchdog
                && self.is_ready()
            {
                self.watch(watchdog);
            }
        }
    }

    /// Whether all loops turn.
    fn is_ready(&self) -> bool {
        self.turning == self.pulses.len()
    }

    fn pass_on(&mut self, message: Message) {
        match message {
            Message::Turning => {
                self.turning += 1;
                if self.is_ready() {
                    self.notify(&[NotifyState::Ready]);
                }
            }
            Message::Reloading => match NotifyState::monotonic_usec_now() {
                Ok(now) => self.notify(&[NotifyState::Reloading, now]),
                Err(error) => warn!(%error, "cannot tell the service manager of the reload"),
            },
            Message::Reloaded => self.notify(&[NotifyState::Ready]),
            Message::Stopping { within } => {
                let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
                self.notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within)]);
            }
            Message::Status(status) => self.notify(&[NotifyState::Status(&status)]),
        }
    }

    /// Shows that the daemon lives if every loop has turned in the last half of the watchdog's interval.
    fn watch(&mut self, watchdog: Duration) {
        let now = Instant::now();
        let turns = |pulse: &&Pulse| {
            let last = pulse.last().unwrap_or(pulse.started);
            now.saturating_duration_since(last) <= watchdog / 2
        };
        match self.pulses.iter().find(|pulse| !turns(pulse)) {
            None => {
                self.stuck = false;
                self.notify(&[NotifyState::Watchdog]);
            }
            Some(pulse) if !self.stuck => {
                error!(
                    "the {} loop does not turn: the service manager will end this daemon",
                    pulse.name
                );
                self.stuck = true;
            }
            Some(_) => {}
        }
    }

    fn notify(&mut self, states: &[NotifyState<'_>]) {
        match sd_notify::notify(states) {
            Ok(()) => self.unheard = false,
            Err(error) if !self.unheard => {
                warn!(%error, "cannot tell the service manager how this daemon is");
                self.unheard = true;
            }
            Err(_) => {}
        }
    }
}
