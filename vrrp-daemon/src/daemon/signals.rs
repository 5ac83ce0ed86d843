//! What the daemon makes of signals.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::api::{Request, Response};
use crate::io::control::Caller;
use crate::io::dump;

/// The signals that stop the daemon or have it reload.
pub(super) struct Signals {
    /// Reload.
    pub(super) hangup: Signal,
    /// Stop.
    pub(super) terminate: Signal,
    /// Stop.
    pub(super) interrupt: Signal,
}

impl Signals {
    /// Listens, from now on: one that comes before the loop turns waits for it.
    ///
    /// # Errors
    /// If the kernel has no such signal.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// What would end the process if nobody listened, but says nothing to a director: terminals, timers, limits, and
/// operators who mean another program.
const MEANINGLESS: [i32; 9] = [
    libc::SIGQUIT,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSTKFLT,
    libc::SIGXCPU,
    libc::SIGXFSZ,
];

/// The signals that neither stop the daemon nor have it reload. None of them ends a director.
pub(super) struct OtherSignals(Vec<(i32, Signal)>);

impl OtherSignals {
    /// Listens, from now on.
    ///
    /// # Errors
    /// If the kernel has no such signal.
    pub(super) fn listen() -> io::Result<Self> {
        let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
        let signals = [libc::SIGUSR1, libc::SIGUSR2]
            .into_iter()
            .chain(MEANINGLESS)
            .chain(real_time)
            .map(|number| Ok((number, signal(SignalKind::from_raw(number))?)))
            .collect::<io::Result<_>>()?;
        Ok(Self(signals))
    }

    /// Heeds them for ever. SIGUSR1 and SIGUSR2, with which Keepalived writes its data and its statistics to files,
    /// have the status, which holds both, written to `dump`.
    pub(super) async fn attend(mut self, caller: Caller, dump: PathBuf) {
        loop {
            match self.next().await {
                libc::SIGUSR1 | libc::SIGUSR2 => write_status(&caller, &dump).await,
                number => info!(
                    signal = number,
                    "this signal means nothing to lbd: SIGTERM stops it, SIGHUP has it reload, SIGUSR1 has it write its status"
                ),
            }
        }
    }

    async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Asks what `lbd status` would ask, and writes the answer.
async fn write_status(caller: &Caller, path: &Path) {
    let (sender, answer) = oneshot::channel();
    if caller.send((Request::Status, sender)).await.is_err() {
        return;
    }
    let status = match answer.await {
        Ok(Response::Status(status)) => status,
        Ok(Response::Refused { message } | Response::Done { message }) => {
            warn!(reason = message, "cannot write the status");
            return;
        }
        // The daemon stops.
        Err(_) => return,
    };
    match dump::write(path, &status).await {
        Ok(()) => info!(path = %path.display(), "status written"),
        Err(error) => warn!(path = %path.display(), %error, "cannot write the status"),
    }
}
