//! The kernel's one lock for all that concerns interfaces (`rtnl_lock`, net/core/rtnetlink.c).
//!
//! Whoever asks or orders something about an interface waits for it, in the kernel: for a second or more, where another
//! one deletes many interfaces or tests a NIC, also in another network namespace.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::sync::mpsc as channel;
use tracing::debug;

use super::ethtool::Ethtool;
use super::limits;

/// Tells when the lock is free. It is waited for in a thread of its own.
#[derive(Debug)]
pub struct RtnlLock {
    requests: mpsc::Sender<()>,
    answers: channel::UnboundedReceiver<()>,
    asked: bool,
}

impl RtnlLock {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread to be had, or no socket.
    pub fn watch() -> io::Result<Self> {
        let (requests, asked) = mpsc::channel();
        let (answer, answers) = channel::unbounded_channel();
        let ethtool = Ethtool::open()?;
        thread::Builder::new().name("rtnl".to_owned()).spawn(move || {
            if let Err(error) = limits::run_in_real_time() {
                debug!(%error, "no real-time priority for who waits for the kernel");
            }
            while asked.recv().is_ok() {
                // The lock is taken for the question (net/ethtool/ioctl.c, dev_ethtool); the answer is of no concern.
                drop(ethtool.driver("lo"));
                if answer.send(()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            requests,
            answers,
            asked: false,
        })
    }

    /// Asks to be told when it is free, if that is not asked already.
    pub fn ask(&mut self) {
        if !self.asked {
            self.asked = self.requests.send(()).is_ok();
        }
    }

    /// Waits until it is free, for who has asked; for ever, if nobody has. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn free(&mut self) -> io::Result<()> {
        let answer = self.answers.recv().await;
        self.asked = false;
        answer.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}
