//! One node: a daemon that may stand still or be gone, and a kernel that goes on.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Instant;

use lb_common::{Lease, lease_state};

use crate::model::{Priority, VrrpInstance};
use crate::vrrp::effect::{Effect, State};
use crate::vrrp::router::VirtualRouter;
use crate::vrrp::wire::{Advertisement, Received};

/// What happens to the world.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// SIGSTOP: the daemon stands still, its socket goes on collecting.
    Stop(usize),
    /// A paused machine whose packets are lost, the program with it.
    Freeze(usize),
    /// SIGCONT.
    Continue(usize),
    /// SIGKILL.
    Kill(usize),
    /// Start, after a kill or an end.
    Start(usize),
    /// SIGTERM.
    Terminate(usize),
    /// The link goes down.
    Unplug(usize),
    /// The link comes back.
    Plug(usize),
    /// The nodes below this one no longer hear the others.
    Partition(usize),
    /// This many packets in a hundred are lost.
    Lose(u8),
}

pub(super) struct Node {
    pub(super) configured: VrrpInstance,
    pub(super) source: Ipv4Addr,
    /// `None` while none runs.
    pub(super) daemon: Option<VirtualRouter>,
    pub(super) paused: bool,
    /// While frozen not even the program runs.
    pub(super) frozen: bool,
    pub(super) inbox: VecDeque<Rc<Received>>,
    pub(super) wake: Option<Instant>,
    pub(super) link: bool,
    /// What is in the kernel.
    pub(super) lease: Lease,
    pub(super) addresses: bool,
    pub(super) announcements: u32,
    pub(super) became_master: u32,
}

impl Node {
    pub(super) fn new(configured: VrrpInstance, source: Ipv4Addr) -> Self {
        Self {
            configured,
            source,
            daemon: None,
            paused: false,
            frozen: false,
            inbox: VecDeque::new(),
            wake: None,
            link: true,
            lease: Lease::default(),
            addresses: false,
            announcements: 0,
            became_master: 0,
        }
    }

    /// Whether the kernel would answer a client's ARP request.
    pub(super) fn answers(&self, nanoseconds: u64) -> bool {
        self.addresses && self.link && !self.frozen && self.lease.entitlement(nanoseconds).may_answer
    }

    /// Does what the daemon asks for at `now`, `nanoseconds` on the kernel's clock, and hands back what goes out.
    pub(super) fn carry_out(
        &mut self,
        effect: Effect,
        now: Instant,
        nanoseconds: u64,
    ) -> Option<Advertisement> {
        match effect {
            Effect::GrantLease { interval } => {
                self.lease = Lease {
                    renewed_at: nanoseconds,
                    interval: interval.map_or(0, |interval| u64::try_from(interval.as_nanos()).unwrap()),
                    state: lease_state::HELD,
                    ..Lease::default()
                };
            }
            Effect::Send(advertisement) => {
                if advertisement.priority != Priority::RESIGN {
                    assert_eq!(
                        self.lease.state,
                        lease_state::HELD,
                        "a master without a lease speaks"
                    );
                    self.lease.renewed_at = nanoseconds;
                    if let Some(router) = &mut self.daemon {
                        router.sent(now);
                    }
                }
                return Some(advertisement);
            }
            Effect::AcquireAddresses(_) => {
                assert_eq!(self.lease.state, lease_state::HELD, "addresses without a lease");
                self.addresses = true;
            }
            Effect::ReleaseAddresses(_) => self.addresses = false,
            Effect::Announce(_) => {
                assert!(self.addresses, "an announcement of addresses that are not here");
                self.announcements += 1;
            }
            Effect::HandOverLease => self.lease.state = lease_state::HANDING_OVER,
            Effect::VacateLease => {
                assert!(
                    !self.addresses,
                    "the local stack would reset the clients' connections"
                );
                self.lease.state = lease_state::VACANT;
            }
            Effect::Transitioned { to, .. } => self.became_master += u32::from(to == State::Master),
            Effect::Notify(notice) => panic!("{notice}"),
        }
        None
    }
}
