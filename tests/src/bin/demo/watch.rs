//! Watching elections and takeovers, and saying what the clients made of them.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::{Clients, Director, Seen, Status, run, wait};

use crate::screen::{Screen, Style, spoken};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Watches both directors from `since` on until `first` is master, `second` backup, and both statuses are `complete`.
pub(crate) fn settled(
    screen: &mut Screen,
    since: Instant,
    [first, second]: [&Director<'_>; 2],
    complete: impl Fn(&Status) -> bool,
) -> Result<()> {
    let lines = observe(screen, [first, second], |statuses| {
        let [one, two] = statuses.each_ref().map(Option::as_ref);
        let lines = vec![line(since, first, one), line(since, second, two)];
        let settled = one.is_some_and(|status| status.is_master() && complete(status))
            && two.is_some_and(|status| status.is_backup() && complete(status));
        (lines, settled)
    })?;
    screen.settle(&lines);
    Ok(())
}

/// Watches `backup` become master after `master` fell silent, and some traffic after that.
pub(crate) fn takeover(
    screen: &mut Screen,
    clients: &Clients,
    since: Instant,
    master: &Director<'_>,
    backup: &Director<'_>,
) -> Result<()> {
    let answered = || {
        let datagrams = clients.probe.between(since, Instant::now());
        let requests = clients.load.since(since);
        (
            datagrams.sent - datagrams.lost,
            requests.requests - requests.failed(),
        )
    };
    observe(screen, [backup], |[status]| {
        let (datagrams, requests) = answered();
        let line = format!(
            "   {:>6}   {datagrams:>4} datagrams and {requests:>4} new connections served by nobody's daemon",
            spoken(since.elapsed())
        );
        (vec![line], status.as_ref().is_some_and(Status::is_master))
    })?;
    let took = since.elapsed();
    let (datagrams, requests) = answered();
    screen.settle(&[]);
    screen.fact(
        Style::Good,
        &format!(
            "{} is the master after {}; until then {datagrams} datagrams and {requests} new connections went through \
             {}, where no daemon ran.",
            backup.node.name,
            spoken(took),
            master.node.name,
        ),
    );
    clients.go_on(100)
}

/// Shows what `look` makes of the directors' statuses until it says that this is all. Returns the last lines.
fn observe<const COUNT: usize>(
    screen: &mut Screen,
    directors: [&Director<'_>; COUNT],
    look: impl Fn(&[Option<Status>; COUNT]) -> (Vec<String>, bool),
) -> Result<Vec<String>> {
    wait::until("the directors come to an agreement", PATIENCE, || {
        let statuses = directors.map(|director| director.status().ok());
        let (lines, enough) = look(&statuses);
        screen.moving(&lines);
        enough.then_some(lines)
    })
}

/// A line about one director.
fn line(since: Instant, director: &Director<'_>, status: Option<&Status>) -> String {
    format!(
        "   {:>6}   {}  priority {}  {}",
        spoken(since.elapsed()),
        director.node.name,
        director.configuration.priority(),
        status.map_or("silent", Status::state).to_uppercase()
    )
}

/// What the clients saw, in a sentence.
pub(crate) fn verdict(screen: &mut Screen, seen: &Seen) {
    let session = match &seen.session.ended {
        None => format!(
            "a connection opened before went on, waiting {} at most",
            spoken(seen.session.slowest)
        ),
        Some((kind, _)) => format!("a connection opened before was ended by its new director ({kind})"),
    };
    let good = seen.load.failed() <= 1 && seen.probe.lost <= 2 && seen.arp.answered_by_two == 0;
    screen.fact(
        if good { Style::Good } else { Style::Bad },
        &format!(
            "{} datagrams, {} lost, longest gap {}; {} requests, {} failed; {session}.",
            seen.probe.sent,
            seen.probe.lost,
            spoken(seen.probe.longest_gap),
            seen.load.requests,
            seen.load.failed(),
        ),
    );
}

/// The lease of a director's virtual router as it stands in the pinned map: what bpftool shows, and what it means.
pub(crate) fn lease(director: &Director<'_>) -> Result<Option<String>> {
    let dump = run(Command::new("bpftool")
        .args(["-j", "map", "dump", "pinned"])
        .arg(director.pinned_map("LEASES")))?;
    let entries: serde_json::Value = serde_json::from_str(&dump).context("bpftool speaks JSON")?;
    let held = entries
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["formatted"]["value"])
        .find(|lease| lease["state"] == u64::from(lb_common::lease_state::HELD));
    let Some((renewed, interval)) =
        held.and_then(|lease| Some((lease["renewed_at"].as_u64()?, lease["interval"].as_u64()?)))
    else {
        return Ok(None);
    };
    let lease = lb_common::Lease {
        renewed_at: renewed,
        interval,
        ..lb_common::Lease::default()
    };
    let now = monotonic();
    Ok(Some(format!(
        "its lease, in the pinned map LEASES: renewed {} ago; answers end in {} at the latest, forwarding in {}.",
        spoken(Duration::from_nanos(now.saturating_sub(renewed))),
        spoken(Duration::from_nanos(lease.answers_end_at().saturating_sub(now))),
        spoken(Duration::from_nanos(
            lease.forwarding_ends_at().saturating_sub(now)
        )),
    )))
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of the leases.
#[allow(
    unsafe_code,
    reason = "the standard library's Instant keeps its number to itself"
)]
fn monotonic() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes the timespec that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
