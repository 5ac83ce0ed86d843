//! Who else has the addresses that this node is master of.

use std::net::IpAddr;
use std::time::Instant;

use super::VirtualRouter;
use super::phase::{Phase, Rival};
use crate::model::Priority;
use crate::vrrp::concern::Concern;
use crate::vrrp::effect::Effect;
use crate::vrrp::timers;

/// How many advertisements of a lower priority in a row are no crossing on the wire any more.
const GOES_ON: u32 = 3;

impl VirtualRouter {
    /// `source` advertises a lower priority than this master's: it should have heard us.
    pub(super) fn rivalled(&mut self, source: IpAddr, priority: Priority, now: Instant) {
        let silence = timers::silence(self.instance.advert_int);
        let Phase::Master(master) = &mut self.phase else {
            return;
        };
        let heard = match master.rival {
            Some(rival) if rival.source == source && now < rival.last + silence => rival.heard + 1,
            _ => 1,
        };
        master.rival = Some(Rival {
            source,
            heard,
            last: now,
        });
        if heard >= GOES_ON {
            let other = source;
            self.worry(Concern::TwoMasters { other, priority }, now, silence);
        }
    }

    /// A host with the link-layer address `mac` says that the virtual address `address` is its own. The rightful master
    /// says otherwise, but not without end: the other one may answer (RFC 5227, section 2.4).
    pub(in crate::vrrp) fn claimed(&mut self, address: IpAddr, mac: [u8; 6], now: Instant) {
        self.lapse(now);
        let Phase::Master(master) = &mut self.phase else {
            return;
        };
        if master.claim.is_some() || now < master.began + timers::CROSSING {
            return;
        }
        if master.defended.is_none_or(|last| now >= last + timers::DEFEND) {
            master.defended = Some(now);
            self.announce(now);
        }
        self.worry(Concern::AddressConflict { address, mac }, now, timers::CONFLICT);
    }

    /// Asks, now and then, whether anybody else answers for an address: one of them at a time, each in its turn.
    pub(super) fn ask_if_due(&mut self, now: Instant) {
        let Phase::Master(master) = &mut self.phase else {
            return;
        };
        if master.claim.is_some() || now < master.ask {
            return;
        }
        master.ask = now + timers::ASK;
        let count = self.instance.virtual_addresses.len();
        if let Some(address) = self.instance.virtual_addresses.get(master.asked % count.max(1)) {
            self.effects.push_back(Effect::Ask(address.clone()));
        }
        master.asked = master.asked.wrapping_add(1);
    }

    /// Something shows a concern, which is over after `lasts` without more.
    pub(super) fn worry(&mut self, concern: Concern, now: Instant, lasts: std::time::Duration) {
        if self.concerns.raise(concern.clone(), now, lasts) {
            self.effects.push_back(Effect::Worry(concern));
        }
    }

    /// What is not as it should be, and since when.
    pub(in crate::vrrp) fn concerns(&self) -> impl Iterator<Item = (&Concern, Instant)> {
        self.concerns.current()
    }

    /// A number that is another one whenever [`Self::concerns`] has changed.
    pub(in crate::vrrp) fn changes_of_concerns(&self) -> u64 {
        self.concerns.changes()
    }
}
