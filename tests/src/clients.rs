//! All of a client's views at once, while something happens to the directors.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{
    ArpReport, ArpWatch, ECHO, Lab, Load, LoadReport, Probe, ProbeReport, Session, SessionReport, VIP, wait,
};

/// Between two datagrams, requests, lines or ARP requests: what is lost for a moment shows.
const PERIOD: Duration = Duration::from_millis(10);

/// Everything that watches the virtual address from the client's side.
#[derive(Debug)]
pub struct Clients {
    /// Datagrams.
    pub probe: Probe,
    /// One long-lived connection.
    pub session: Session,
    /// Connections that are new.
    pub load: Load,
    /// Who answers for the address.
    pub arp: ArpWatch,
}

/// What they saw.
#[derive(Debug)]
pub struct Seen {
    /// Of datagrams.
    pub probe: ProbeReport,
    /// Of the long-lived connection.
    pub session: SessionReport,
    /// Of new connections.
    pub load: LoadReport,
    /// Of who answers for the address.
    pub arp: ArpReport,
}

impl Clients {
    /// Starts them all, each with its first success.
    ///
    /// # Errors
    /// There is no first success.
    pub fn start(lab: &Lab) -> Result<Self> {
        Ok(Self {
            probe: Probe::start(&lab.client, (VIP, ECHO).into(), PERIOD)?,
            session: Session::start(&lab.client, (VIP, ECHO).into(), PERIOD)?,
            load: Load::start(&lab.client, (VIP, 80).into(), PERIOD)?,
            arp: ArpWatch::start(&lab.client, VIP, PERIOD)?,
        })
    }

    /// Waits until another `count` datagrams and requests are sent and answered.
    ///
    /// # Errors
    /// They aren't within fifteen seconds.
    pub fn go_on(&self, count: usize) -> Result<()> {
        let start = Instant::now();
        wait::until(
            "datagrams and requests are answered",
            Duration::from_secs(15),
            || {
                let datagrams = self.probe.between(start, Instant::now());
                let requests = self.load.since(start);
                let answered = datagrams.sent - datagrams.lost >= count
                    && requests.requests - requests.failed() >= count.min(20);
                answered.then_some(())
            },
        )
    }

    /// Stops them all.
    ///
    /// # Errors
    /// One of them broke.
    pub fn finish(self) -> Result<Seen> {
        Ok(Seen {
            probe: self.probe.finish()?,
            session: self.session.finish()?,
            load: self.load.finish()?,
            arp: self.arp.finish()?,
        })
    }
}
