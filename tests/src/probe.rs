//! The client's view of a failover: a numbered UDP datagram every few milliseconds, and who answered it.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{Node, wait};

/// How long after the last datagram an answer may come.
const GRACE: Duration = Duration::from_millis(500);

/// A running probe.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    datagrams: Mutex<Vec<Datagram>>,
    stop: AtomicBool,
}

/// One datagram and what became of it.
#[derive(Clone, Debug)]
struct Datagram {
    sent: Instant,
    answers: Vec<(Instant, String)>,
}

/// What the client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeReport {
    /// Datagrams sent.
    pub sent: usize,
    /// Of these without an answer.
    pub lost: usize,
    /// The most of them in a row.
    pub longest_run_lost: usize,
    /// Datagrams with more than one answer.
    pub answered_twice: usize,
    /// The longest time from one answer to the next.
    pub longest_gap: Duration,
    /// The longest time from one datagram to the next: how far the machine kept the client itself from its work.
    pub longest_pause: Duration,
    /// Each run of lost ones.
    pub gaps: Vec<Gap>,
    /// How many each real server answered.
    pub answered_by: BTreeMap<String, usize>,
}

/// Datagrams in a row that had no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The sequence number of the first, the first that is counted being 0.
    pub first: usize,
    /// How many.
    pub lost: usize,
    /// When the first was sent, after the first that is counted.
    pub began: Duration,
    /// From the first's sending to that of the next one answered, or of the last one.
    pub lasted: Duration,
}

impl Probe {
    /// Starts to send to the responder at `target` every `period`, and waits for the first answer.
    ///
    /// # Errors
    /// Nobody answers within ten seconds.
    pub fn start(from: &impl AsRef<Node>, target: SocketAddr, period: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = from.as_ref().namespace.spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(target, period)
        });
        let probe = Self {
            shared,
            thread: Some(thread),
        };
        wait::until("a first datagram is answered", Duration::from_secs(10), || {
            probe
                .shared
                .lock()
                .iter()
                .any(|datagram| !datagram.answers.is_empty())
                .then_some(())
        })?;
        // The count begins here: what was sent before the service was there isn't lost.
        probe
            .shared
            .lock()
            .retain(|datagram| !datagram.answers.is_empty());
        Ok(probe)
    }

    /// What the client has seen so far, of the datagrams that have had their time to be answered.
    #[must_use]
    pub fn so_far(&self) -> ProbeReport {
        let now = Instant::now();
        let datagrams = self.shared.lock();
        report(datagrams.iter().filter(|datagram| datagram.sent + GRACE <= now))
    }

    /// What became of the datagrams sent from `start` until `end`.
    #[must_use]
    pub fn between(&self, start: Instant, end: Instant) -> ProbeReport {
        let datagrams = self.shared.lock();
        report(
            datagrams
                .iter()
                .filter(|datagram| (start..end).contains(&datagram.sent)),
        )
    }

    /// Stops and says what the client saw.
    ///
    /// # Errors
    /// The socket failed for good.
    pub fn finish(mut self) -> Result<ProbeReport> {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            ensure!(matches!(result, Ok(Ok(()))), "the probe failed: {result:?}");
        }
        Ok(report(self.shared.lock().iter()))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Datagram>> {
        self.datagrams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, target: SocketAddr, period: Duration) -> io::Result<()> {
        let local: SocketAddr = if target.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0_u16; 8], 0).into()
        };
        let socket = UdpSocket::bind(local)?;
        // Who isn't there says so by ICMP to a connected socket; such an error is one lost datagram, no more.
        socket.connect(target)?;
        let origin = Instant::now();
        let mut next = origin;
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now >= next {
                self.lock().push(Datagram {
                    sent: now,
                    answers: Vec::new(),
                });
                drop(socket.send(identifier(origin, now).as_bytes()));
                next = now.max(next + period);
            }
            self.receive(&socket, origin, next)?;
        }
        let end = Instant::now() + GRACE;
        while Instant::now() < end
            && self
                .lock()
                .iter()
                .rev()
                .take(50)
                .any(|last| last.answers.is_empty())
        {
            self.receive(&socket, origin, end)?;
        }
        Ok(())
    }

    /// Takes one answer, or waits until `deadline`.
    fn receive(&self, socket: &UdpSocket, origin: Instant, deadline: Instant) -> io::Result<()> {
        let patience = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_micros(50));
        socket.set_read_timeout(Some(patience))?;
        let mut buffer = [0; 256];
        let Ok(length) = socket.recv(&mut buffer) else {
            return Ok(());
        };
        let now = Instant::now();
        let text = String::from_utf8_lossy(&buffer[..length]);
        if let Some((name, number)) = text.split_once(' ')
            && let Some(datagram) = self
                .lock()
                .iter_mut()
                .rev()
                .find(|datagram| identifier(origin, datagram.sent) == number)
        {
            datagram.answers.push((now, name.to_owned()));
        }
        Ok(())
    }
}

/// What a datagram says: when it was sent, which no two were at once.
fn identifier(origin: Instant, sent: Instant) -> String {
    (sent - origin).as_nanos().to_string()
}

fn report<'a>(datagrams: impl Iterator<Item = &'a Datagram>) -> ProbeReport {
    let mut report = ProbeReport::default();
    let mut origin = None;
    let mut last_sent: Option<Instant> = None;
    let mut last_answer: Option<Instant> = None;
    let mut gap: Option<(Instant, Gap)> = None;
    for (number, datagram) in datagrams.enumerate() {
        report.sent += 1;
        let sent = datagram.sent;
        let origin = *origin.get_or_insert(sent);
        let pause = last_sent.map_or(Duration::ZERO, |last| sent.saturating_duration_since(last));
        report.longest_pause = report.longest_pause.max(pause);
        last_sent = Some(sent);
        if let Some((since, gap)) = &mut gap {
            gap.lasted = sent - *since;
        }
        let Some((at, name)) = datagram.answers.first() else {
            report.lost += 1;
            let begin = || {
                let first = Gap {
                    first: number,
                    lost: 0,
                    began: sent - origin,
                    lasted: Duration::ZERO,
                };
                (sent, first)
            };
            gap.get_or_insert_with(begin).1.lost += 1;
            continue;
        };
        report.gaps.extend(gap.take().map(|(_since, gap)| gap));
        report.answered_twice += usize::from(datagram.answers.len() > 1);
        *report.answered_by.entry(name.clone()).or_default() += 1;
        if let Some(last) = last_answer {
            report.longest_gap = report.longest_gap.max(at.saturating_duration_since(last));
        }
        last_answer = Some(*at);
    }
    report.gaps.extend(gap.map(|(_since, gap)| gap));
    report.longest_run_lost = report.gaps.iter().map(|gap| gap.lost).max().unwrap_or(0);
    report
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Datagram, report};

    #[test]
    fn gaps_are_counted_and_timed() {
        let start = Instant::now();
        let at = |number: u64| start + Duration::from_millis(number);
        let datagrams: Vec<Datagram> = (0..10)
            .map(|number| Datagram {
                sent: at(number),
                answers: match number {
                    3..6 | 9 => Vec::new(),
                    _ => vec![(at(number), "rs1".to_owned())],
                },
            })
            .collect();
        let report = report(datagrams.iter());
        assert_eq!((report.sent, report.lost, report.longest_run_lost), (10, 4, 3));
        assert_eq!(report.longest_gap, Duration::from_millis(4));
        assert_eq!(report.longest_pause, Duration::from_millis(1));
        let gaps: Vec<_> = report
            .gaps
            .iter()
            .map(|gap| (gap.first, gap.lost, gap.began.as_millis(), gap.lasted.as_millis()))
            .collect();
        assert_eq!(gaps, [(3, 3, 3, 3), (9, 1, 9, 0)]);
    }
}
