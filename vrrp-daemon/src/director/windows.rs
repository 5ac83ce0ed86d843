//! When the motion of a ring may be over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lb_common::ServiceKey;

use super::Plane;
use crate::model::FlowTimeouts;

/// How far the window of a motion has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Any connection may be somebody else's than the ring says.
    #[default]
    Open,
    /// No UDP client may, unless it is remembered.
    Settled,
    /// A timeout has passed: whoever was not seen in it is not there. The maps were read after that.
    Over,
}

/// The windows of the rings in motion. One begins with every change of its ring, and when the daemon starts.
#[derive(Clone, Debug, Default)]
pub struct Windows(BTreeMap<ServiceKey, Window>);

#[derive(Clone, Copy, Debug)]
struct Window {
    /// The places of the ring and of its motion: a change has others.
    places: (u32, u32),
    began: Instant,
    phase: Phase,
    /// Whether the maps are to be read.
    is_due: bool,
}

/// The clock of connections is coarse: this much of a timeout, and this much more, passes before one is over.
const COARSE: u32 = 64;
const MARGIN: Duration = Duration::from_secs(5);

/// When the window of TCP and UDP ends, and the one of UDP, after they began.
fn ends(timeouts: &FlowTimeouts) -> (Duration, Duration) {
    let FlowTimeouts { tcp, tcpfin, udp } = *timeouts;
    let end = |timeout: Duration| timeout + timeout / COARSE + MARGIN;
    (end(tcp.max(tcpfin).max(udp)), end(udp))
}

impl Windows {
    /// How far the window of a service has got.
    #[must_use]
    pub fn phase(&self, service: &ServiceKey) -> Phase {
        self.0.get(service).map_or(Phase::Open, |window| window.phase)
    }

    /// Those of the rings in motion in these maps, when they are over.
    #[cfg(test)]
    pub(super) fn over(plane: &Plane) -> Self {
        let mut windows = Self::default();
        windows.follow(plane, instant());
        for window in windows.0.values_mut() {
            window.phase = Phase::Over;
        }
        windows
    }

    /// The maps hold this now.
    pub fn follow(&mut self, plane: &Plane, now: Instant) {
        let moving = plane.services.iter().filter(|(_, service)| service.is_moving());
        let windows = moving.map(|(key, service)| {
            let places = (service.maglev_offset, service.previous_offset);
            let present = self.0.get(key).filter(|window| window.places == places);
            let window = present.copied().unwrap_or(Window {
                places,
                began: now,
                phase: Phase::Open,
                is_due: false,
            });
            (*key, window)
        });
        self.0 = windows.collect();
    }

    /// The maps were read after [`Self::timeout`] had asked for it.
    pub fn read(&mut self) {
        for window in self.0.values_mut() {
            if std::mem::take(&mut window.is_due) {
                window.phase = Phase::Over;
            }
        }
    }

    /// Time has passed: whether a plan is wanted, and whether the maps are to be read before.
    pub fn timeout(&mut self, timeouts: &FlowTimeouts, now: Instant) -> (bool, bool) {
        let (end, settled) = ends(timeouts);
        let mut wants = (false, false);
        for window in self.0.values_mut() {
            if window.phase == Phase::Open && window.began + settled <= now {
                window.phase = Phase::Settled;
                wants.0 = true;
            }
            if window.phase == Phase::Settled && !window.is_due && window.began + end <= now {
                window.is_due = true;
                wants.1 = true;
            }
        }
        wants
    }

    /// When [`Self::timeout`] is next needed.
    #[must_use]
    pub fn deadline(&self, timeouts: &FlowTimeouts) -> Option<Instant> {
        let (end, settled) = ends(timeouts);
        let deadlines = self.0.values().filter_map(|window| match window.phase {
            Phase::Open => Some(window.began + settled),
            Phase::Settled => (!window.is_due).then(|| window.began + end),
            Phase::Over => None,
        });
        deadlines.min()
    }
}

/// Some moment.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test begins at some moment")]
fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use lb_common::Service;

    use super::*;

    const KEY: ServiceKey = ServiceKey {
        address: lb_common::Address::v4([10, 0, 0, 3]),
        port: 80,
        last_port: 0,
        protocol: 17,
    };

    /// A plane whose only service has a ring in motion here.
    fn plane(previous_offset: u32, previous_length: u32) -> Plane {
        let service = Service {
            previous_offset,
            previous_length,
            ..Service::default()
        };
        Plane {
            services: BTreeMap::from([(KEY, service)]),
            ..Plane::default()
        }
    }

    #[test]
    fn a_window_is_as_long_as_the_longest_timeout_and_begins_anew_with_every_change() {
        const TIMEOUTS: FlowTimeouts = FlowTimeouts::IPVS;
        let start = instant();
        let mut windows = Windows::default();
        windows.follow(&plane(4, 7), start);
        let settled = windows.deadline(&TIMEOUTS).expect("it is open");
        assert!(settled > start + TIMEOUTS.udp && settled < start + TIMEOUTS.udp * 2);
        assert_eq!(windows.timeout(&TIMEOUTS, settled), (true, false));
        assert_eq!(windows.phase(&KEY), Phase::Settled);
        // What stays where it is goes on; what is elsewhere is new.
        windows.follow(&plane(4, 7), settled);
        assert_eq!(windows.phase(&KEY), Phase::Settled);
        windows.follow(&plane(40, 7), settled);
        assert_eq!(windows.phase(&KEY), Phase::Open);

        let end = settled + 2 * TIMEOUTS.tcp;
        assert_eq!(windows.timeout(&TIMEOUTS, end), (true, true));
        assert_eq!(windows.timeout(&TIMEOUTS, end), (false, false), "once is enough");
        assert_eq!(windows.phase(&KEY), Phase::Settled, "the maps were not read");
        windows.read();
        assert_eq!(windows.phase(&KEY), Phase::Over);
        assert_eq!(windows.deadline(&TIMEOUTS), None);
        windows.follow(&plane(0, 0), end);
        assert_eq!(windows.phase(&KEY), Phase::Open);
    }
}
