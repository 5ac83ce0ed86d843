//! Which advertisements count: the checks of RFC 9568 section 7.1 that need the virtual router's configuration.

use std::net::IpAddr;

use super::VirtualRouter;
use crate::model::Version;
use crate::vrrp::effect::{Discrepancy, Effect, Notice};
use crate::vrrp::wire::Advertisement;

/// How many notices are remembered as told. Whoever forges more differences than that is not logged any more.
const NOTICES: usize = 16;

impl VirtualRouter {
    /// Whether `advertisement` counts. Differences are told to the operator once, and again after the router in
    /// question was in order, or after a change of our own configuration.
    pub(super) fn admits(&mut self, source: IpAddr, advertisement: &Advertisement) -> bool {
        if advertisement.virtual_router_id != self.instance.virtual_router_id {
            return false;
        }
        let Some(discrepancy) = self.discrepancy(source, advertisement) else {
            self.notices.retain(|notice| notice.from != source);
            return true;
        };
        let admitted = !discrepancy.ignores();
        let notice = Notice {
            from: source,
            discrepancy,
        };
        if self.notices.len() < NOTICES && !self.notices.contains(&notice) {
            self.notices.push(notice.clone());
            self.effects.push_back(Effect::Notify(notice));
        }
        admitted
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
