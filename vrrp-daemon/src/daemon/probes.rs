//! The probes under way.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::health::CheckHandle;
use crate::io::probe::{ProbeError, Sources, probe};
use crate::model::CheckKind;

/// How a probe has ended.
pub(super) type Ended = (CheckHandle, Result<(), ProbeError>);

/// The probes under way.
pub(super) struct Probes {
    under_way: JoinSet<Ended>,
    /// How many may have a socket at once.
    at_once: usize,
    /// As many.
    permits: Arc<Semaphore>,
    /// Where they leave from.
    sources: Arc<Sources>,
}

impl Probes {
    /// No probes, and `at_once` at a time: others wait for those to end.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            under_way: JoinSet::new(),
            at_once,
            permits: permits(at_once),
            sources: Arc::default(),
        }
    }

    /// From now on, `at_once` at a time; if that is another number, beside those that there are.
    pub(super) fn allow(&mut self, at_once: usize) {
        if self.at_once != at_once {
            self.at_once = at_once;
            self.permits = permits(at_once);
        }
    }

    /// From now on, no probe leaves from one of these virtual addresses.
    pub(super) fn leave_from_none_of(&mut self, virtual_addresses: BTreeSet<IpAddr>) {
        self.sources = Arc::new(Sources::except(virtual_addresses));
    }

    /// Begins a probe.
    pub(super) fn begin(&mut self, check: CheckHandle, kind: CheckKind) {
        let sources = Arc::clone(&self.sources);
        let permits = Arc::clone(&self.permits);
        self.under_way.spawn(async move {
            // Nobody closes it.
            let _permit = permits.acquire().await.ok();
            (check, probe(&kind, &sources).await)
        });
    }

    /// Waits for a probe to end, for ever if none is under way. Nothing is lost if the wait is given up.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            match self.under_way.join_next().await {
                Some(Ok(ended)) => return ended,
                // A probe that panicked has been reported by the panic.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

fn permits(at_once: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)))
}
