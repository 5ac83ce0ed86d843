//! The arithmetic of VRRP's timers and of the lease.

use std::time::{Duration, Instant};

use crate::model::{Interval, Priority, Version};

/// How many intervals of silence make a dead master (RFC 9568, section 6.1; Keepalived's `down_timer_adverts`).
const DOWN_ADVERTISEMENTS: u32 = 3;

/// How many intervals after our last advertisement the right to answer ends. No backup waits longer: a skew is below
/// one interval. The program counts the same way (`lb_common::Lease::answers_end_at`).
const LEASE_INTERVALS: u32 = 4;

/// How long a fresh master may take to get its first advertisement out, whatever the interval. Attaching the program
/// comes first and can outlast four intervals of 10 ms; until it has spoken, nobody relies on it.
const FIRST_ADVERTISEMENT: Duration = Duration::from_secs(1);

/// How long forwarding goes on after the successor has spoken, so that clients with our MAC address in their ARP
/// caches lose nothing until its gratuitous ARP has reached them: it still has to add the addresses, perhaps on a busy
/// machine. Forwarding does no harm meanwhile.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// When a burst of gratuitous ARP is repeated (Keepalived's `garp_master_delay`).
pub(super) const ANNOUNCE_AGAIN: Duration = Duration::from_secs(5);

/// How often a master announces its addresses from then on (Keepalived's `vrrp_garp_master_refresh`, which is off by
/// default there): whatever made hosts believe another one, and whether this master has heard of it or not, they are
/// set right within that time.
pub(super) const REFRESH: Duration = Duration::from_secs(60);

/// How long after a takeover an announcement of the other side may still be on its way, or a tardy master may not have
/// let go.
pub(super) const CROSSING: Duration = Duration::from_secs(1);

/// How often a master asks whether anybody else answers for an address.
pub(super) const ASK: Duration = Duration::from_secs(10);

/// When it asks first: not while it is taking over.
pub(super) const ASK_FIRST: Duration = Duration::from_secs(3);

/// How long a conflict counts as one that nothing shows any more: two questions without an answer.
pub(super) const CONFLICT: Duration = Duration::from_secs(25);

/// How often an address is defended against somebody else who announces it (RFC 5227, section 1.1, `DEFEND_INTERVAL`).
pub(super) const DEFEND: Duration = Duration::from_secs(10);

/// How long a router that advertises each `interval` has said nothing when it does not do so any more.
pub(super) fn silence(interval: Interval) -> Duration {
    4 * interval.duration() + Duration::from_secs(1)
}

/// How long a node whose advertisements do not leave waits before it looks again: an interval, within these bounds.
pub(super) fn probe_pause(interval: Duration) -> Duration {
    interval.clamp(Duration::from_millis(500), Duration::from_secs(5))
}

/// `Skew_Time`: the higher the priority, the earlier a backup stops waiting. In version 2 a fraction of a second
/// (RFC 3768, section 6.1), in version 3 of the master's interval (RFC 9568, section 6.1).
pub(super) fn skew_time(version: Version, priority: Priority, master_interval: Interval) -> Duration {
    skew_bound(version, master_interval) * (256 - u32::from(priority.get())) / 256
}

/// What every `Skew_Time` is a fraction of: by then a backup has followed a master that resigned.
pub(super) fn skew_bound(version: Version, master_interval: Interval) -> Duration {
    match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => master_interval.duration(),
    }
}

/// `Master_Down_Interval` (RFC 3768, section 6.1), `Active_Down_Interval` (RFC 9568, section 6.1): how long a backup
/// waits for an advertisement.
pub(super) fn master_down_interval(
    version: Version,
    priority: Priority,
    master_interval: Interval,
) -> Duration {
    DOWN_ADVERTISEMENTS * master_interval.duration() + skew_time(version, priority, master_interval)
}

/// When the right to answer ends that an advertisement at `sent` gave, with advertisements each `interval`.
pub(super) fn lease_end(sent: Instant, interval: Duration) -> Instant {
    sent + LEASE_INTERVALS * interval
}

/// When a master that was made at `granted` gives up if it does not get its first advertisement out.
pub(super) fn first_lease_end(granted: Instant, interval: Duration) -> Instant {
    lease_end(granted, interval).max(granted + FIRST_ADVERTISEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centiseconds(count: u16) -> Interval {
        Interval::from_centiseconds(count).expect("in range")
    }

    #[test]
    fn version_2_counts_the_skew_in_256ths_of_a_second() {
        let ten_seconds = Interval::from_seconds(10).expect("in range");
        for (priority, microseconds) in [
            (1, 996_093),
            (100, 609_375),
            (150, 414_062),
            (254, 7_812),
            (255, 3_906),
        ] {
            let skew = skew_time(Version::V2, Priority::new(priority), ten_seconds);
            assert_eq!(skew.as_micros(), microseconds, "priority {priority}");
        }
    }

    #[test]
    fn version_3_counts_the_skew_in_256ths_of_the_masters_interval() {
        let skew =
            |priority, interval| skew_time(Version::V3, Priority::new(priority), centiseconds(interval));
        assert_eq!(skew(100, 100).as_micros(), 609_375);
        assert_eq!(skew(100, 1).as_nanos(), 6_093_750);
        assert_eq!(skew(100, 4095).as_micros(), 24_953_906);
        assert_eq!(skew(255, 1).as_nanos(), 39_062);
    }

    #[test]
    fn a_backup_waits_three_intervals_and_the_skew_as_measured_on_keepalived() {
        let second = Interval::from_seconds(1).expect("in range");
        let down =
            |version, priority, interval| master_down_interval(version, Priority::new(priority), interval);
        assert_eq!(down(Version::V2, 100, second).as_millis(), 3_609);
        assert_eq!(down(Version::V2, 150, second).as_millis(), 3_414);
        assert_eq!(down(Version::V2, 254, second).as_millis(), 3_007);
        assert_eq!(down(Version::V3, 100, centiseconds(1)).as_micros(), 36_093);
    }

    #[test]
    fn no_backup_waits_as_long_as_the_lease_lasts() {
        for version in [Version::V2, Version::V3] {
            for seconds in [1, 2, 40] {
                let interval = Interval::from_seconds(seconds).expect("in range");
                let longest = master_down_interval(version, Priority::new(1), interval);
                assert!(longest < LEASE_INTERVALS * interval.duration());
            }
        }
    }

    #[test]
    fn the_program_ends_answering_when_the_daemon_does() {
        let lease = lb_common::Lease {
            renewed_at: 7_000_000_000,
            interval: 10_000_000,
            ..lb_common::Lease::default()
        };
        let daemon = LEASE_INTERVALS * Duration::from_nanos(lease.interval);
        assert_eq!(
            u128::from(lease.answers_end_at() - lease.renewed_at),
            daemon.as_nanos()
        );
    }
}
