//! Waiting for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(10);

/// Looks at `condition` until it yields something, for at most `patience`.
///
/// # Errors
/// Says `what` was waited for, and for how long, when the time is up.
pub fn until<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        anyhow::ensure!(start.elapsed() < patience, "waited {patience:?} in vain: {what}");
        thread::sleep(PERIOD);
    }
}
