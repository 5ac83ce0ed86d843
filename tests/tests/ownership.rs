//! One owner of the address, whatever keeps directors from hearing each other, and whoever else claims it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::{ArpWatch, Configuration, Director, ECHO, Filter, Hook, Lab, Probe, VIP, wait};

const ONE_MILLISECOND: Duration = Duration::from_millis(1);
const TEN_MILLISECONDS: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(15);
const ADVERTISEMENTS: &str = "ip protocol 112";

/// How long advertisements are kept from leaving: several times as long as a director waits before it preempts.
/// `LBD_TEST_MUTE_SECONDS=30` for the whole of it.
fn mute_for() -> Duration {
    let seconds = std::env::var("LBD_TEST_MUTE_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(10))
}

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

#[test]
fn clients_of_a_master_whose_advertisements_do_not_leave_lose_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let (master, backup) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    let probe = Probe::start(&lab.client, echo(), ONE_MILLISECOND)?;
    let watch = ArpWatch::start(&lab.client, VIP, TEN_MILLISECONDS)?;
    watch.sees(master.node)?;

    let filter = Filter::discard(&master.node.namespace, Hook::Output, ADVERTISEMENTS)?;
    let end = Instant::now() + mute_for();
    backup.becomes_master()?;
    watch.sees(backup.node)?;
    let status = master.wait_for("it knows that it cannot send", PATIENCE, |status| {
        status.state() == "fault"
    })?;
    let transitions = status.transitions();
    wait::until("the filter has lasted", mute_for() + PATIENCE, || {
        (Instant::now() > end).then_some(())
    })?;
    let status = master.status()?;
    assert_eq!((status.state(), status.transitions()), ("fault", transitions));
    assert!(backup.status()?.is_master());
    assert!(!master.node.namespace.has_address("eth0", VIP)?);

    drop(filter);
    master.becomes_master()?;
    backup.becomes_backup()?;
    watch.sees(master.node)?;
    let seen = watch.finish()?;
    assert_eq!(
        seen.succession,
        [master.node.mac, backup.node.mac, master.node.mac],
        "{seen:#?}"
    );
    let datagrams = probe.finish()?;
    assert_eq!((datagrams.lost, datagrams.answered_twice), (0, 0), "{datagrams:#?}");
    Ok(())
}
