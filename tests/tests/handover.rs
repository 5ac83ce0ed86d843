//! What a planned handover costs, in figures: what README promises, and what it owns up to.

use std::time::Duration;

use anyhow::Result;
use lab::{ArpWatch, Configuration, Connections, Director, ECHO, Exchanged, Lab, Probe, VIP};

const ONE_MILLISECOND: Duration = Duration::from_millis(1);
const TEN_MILLISECONDS: Duration = Duration::from_millis(10);

/// How many connections there are.
const COUNT: usize = 12;

/// How many of them their new director resets: all of them, for it doesn't know them. Once directors tell each other
/// of their flows, it is none, here and in README.
const RESET: usize = COUNT;

#[test]
fn a_planned_handover_resets_established_connections_and_loses_no_datagram() -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, backup) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    let connections = Connections::open(&lab.client, (VIP, ECHO).into(), COUNT)?;
    let probe = Probe::start(&lab.client, (VIP, ECHO).into(), ONE_MILLISECOND)?;
    let watch = ArpWatch::start(&lab.client, VIP, TEN_MILLISECONDS)?;
    watch.sees(master.node)?;

    master.stop()?;
    backup.becomes_master()?;
    watch.sees(backup.node)?;
    let expected = Exchanged {
        reset: RESET,
        answered: COUNT - RESET,
        ..Exchanged::default()
    };
    assert_eq!(connections.exchange(), expected);

    // Those that are new are established, and stay so.
    let renewed = Connections::open(&lab.client, (VIP, ECHO).into(), COUNT)?;
    assert_eq!(renewed.exchange().answered, COUNT);
    let datagrams = probe.finish()?;
    assert_eq!(
        (datagrams.lost, datagrams.answered_twice),
        (0, 0),
        "{datagrams:?}"
    );
    Ok(())
}
