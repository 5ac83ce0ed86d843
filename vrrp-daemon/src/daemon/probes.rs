//! The probes under way.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::health::CheckHandle;
use crate::io::probe::{ProbeError, Sources, probe};
use crate::model::CheckKind;

/// How a probe has ended.
pub(super) type Ended = (CheckHandle, Result<(), ProbeError>);

/// The probes under way.
#[derive(Default)]
pub(super) struct Probes {
    under_way: JoinSet<Ended>,
    /// Where they leave from.
    sources: Arc<Sources>,
}

impl Probes {
    /// From now on, no probe leaves from one of these virtual addresses.
    pub(super) fn leave_from_none_of(&mut self, virtual_addresses: BTreeSet<IpAddr>) {
        self.sources = Arc::new(Sources::except(virtual_addresses));
    }

    /// Begins a probe.
    pub(super) fn begin(&mut self, check: CheckHandle, kind: CheckKind) {
        let sources = Arc::clone(&self.sources);
        self.under_way
            .spawn(async move { (check, probe(&kind, &sources).await) });
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
