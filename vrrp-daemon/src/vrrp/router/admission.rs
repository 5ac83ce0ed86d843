//! Which advertisements count: the checks of RFC 9568 section 7.1 that need the virtual router's configuration.

use std::net::IpAddr;
use std::time::Instant;

use super::VirtualRouter;
use crate::model::Version;
use crate::vrrp::concern::Concern;
use crate::vrrp::effect::Effect;
use crate::vrrp::notice::{Discrepancy, Notice};
use crate::vrrp::timers;
use crate::vrrp::wire::Advertisement;

impl VirtualRouter {
    /// Whether `advertisement` counts. A difference is a concern until the router in question is in order, or silent,
    /// or until our own configuration changes.
    pub(super) fn admits(&mut self, source: IpAddr, advertisement: &Advertisement, now: Instant) -> bool {
        if advertisement.virtual_router_id != self.instance.virtual_router_id {
            return false;
        }
        let Some(discrepancy) = self.discrepancy(source, advertisement) else {
            self.agree(|notice| notice.from == source);
            return true;
        };
        let admitted = !discrepancy.ignores();
        let notice = Notice {
            from: source,
            discrepancy,
        };
        self.agree(|other| other.from == source && *other != notice);
        let lasts = timers::silence(self.instance.advert_int.max(advertisement.interval));
        self.worry(Concern::Mismatch(notice), now, lasts);
        admitted
    }

    /// Those that `ends` names are not different any more.
    pub(super) fn agree(&mut self, ends: impl Fn(&Notice) -> bool) {
        let ended = self
            .concerns
            .end(|concern| matches!(concern, Concern::Mismatch(notice) if ends(notice)));
        self.effects.extend(ended.into_iter().map(Effect::Relief));
    }

    /// The first difference to what we would send, those that matter most first.
    fn discrepancy(&self, source: IpAddr, advertisement: &Advertisement) -> Option<Discrepancy> {
        let instance = &self.instance;
        // Never a master to follow: in a loop of the network it would be our own echo that keeps us waiting.
        if Some(source) == self.primary_address {
            return Some(Discrepancy::OwnAddress);
        }
        if advertisement.version != instance.version {
            return Some(Discrepancy::Version {
                theirs: advertisement.version,
            });
        }
        if instance.version == Version::V2 && advertisement.password != instance.password {
            return Some(Discrepancy::Password);
        }
        if advertisement.interval != instance.advert_int {
            return Some(Discrepancy::Interval {
                version: instance.version,
                theirs: advertisement.interval,
                ours: instance.advert_int,
            });
        }
        let addresses = advertisement.addresses.iter().copied();
        if addresses.eq(self.advertised_addresses()) {
            return None;
        }
        let mut theirs = advertisement.addresses.clone();
        let mut ours: Vec<IpAddr> = self.advertised_addresses().collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        (theirs != ours).then_some(Discrepancy::Addresses { theirs })
    }
}
