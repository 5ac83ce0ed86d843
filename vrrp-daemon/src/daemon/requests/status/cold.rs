//! What a node waits for that leaves a master alone, as the status shows it.

use std::time::{Instant, SystemTime};

use crate::api::ColdStatus;
use crate::director::Cold;
use crate::vrrp::Awaited;

pub(super) fn cold(cold: Cold<'_>) -> ColdStatus {
    let links = cold.awaited.iter().filter_map(|awaited| match awaited {
        Awaited::Link { interface } => Some(interface.clone()),
        Awaited::Checks | Awaited::Neighbours | Awaited::Maps => None,
    });
    ColdStatus {
        checks: cold.checks,
        neighbours: cold.neighbours,
        links: links.collect(),
        // The director counts in `Instant`, people in calendar time.
        until: cold.until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            (SystemTime::now() + left).into()
        }),
    }
}
