//! One node: a daemon that may stand still or be gone, and a kernel that goes on.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use lb_common::{Lease, lease_state};

use super::Packet;
use crate::model::{LeaseSlot, VrrpInstance};
use crate::vrrp::concern::Concern;
use crate::vrrp::effect::State;
use crate::vrrp::speaker::{Command, Member, News, Port, PortAddress, RouterHandle, Speaker, Task};
use crate::vrrp::wire::Advertisement;

/// The index of every node's interface.
pub(super) const INTERFACE: u32 = 2;

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
    /// A filter keeps what the daemon sends from leaving.
    Mute(usize),
    /// It does no more.
    Unmute(usize),
    /// A filter keeps advertisements from the daemon; the program sees them.
    Deafen(usize),
    /// It does no more.
    Undeafen(usize),
    /// The nodes below this one no longer hear the others.
    Partition(usize),
    /// This many packets in a hundred are lost.
    Lose(u8),
}

/// What the kernel has of one virtual router.
#[derive(Clone, Default)]
pub(super) struct Kernel {
    pub(super) lease: Lease,
    pub(super) addresses: bool,
    pub(super) announcements: u32,
    pub(super) became_master: u32,
}

pub(super) struct Node {
    /// The virtual routers; the slot of a lease is the place of its virtual router here.
    pub(super) configured: Vec<VrrpInstance>,
    pub(super) source: Ipv4Addr,
    /// `None` while none runs.
    pub(super) daemon: Option<Speaker>,
    pub(super) paused: bool,
    /// While frozen not even the program runs.
    pub(super) frozen: bool,
    pub(super) mute: bool,
    pub(super) deaf: bool,
    pub(super) inbox: VecDeque<Packet>,
    pub(super) wake: Option<Instant>,
    /// How often it told people of two masters.
    pub(super) two_masters: u32,
    pub(super) link: bool,
    pub(super) kernel: Vec<Kernel>,
}

impl Node {
    pub(super) fn new(configured: Vec<VrrpInstance>, source: Ipv4Addr) -> Self {
        Self {
            kernel: vec![Kernel::default(); configured.len()],
            configured,
            source,
            daemon: None,
            paused: false,
            frozen: false,
            mute: false,
            deaf: false,
            inbox: VecDeque::new(),
            wake: None,
            two_masters: 0,
            link: true,
        }
    }

    pub(super) fn task(&self) -> Task {
        let members = self
            .configured
            .iter()
            .zip(0..)
            .map(|(instance, lease_slot)| Member {
                instance: Arc::new(instance.clone()),
                lease_slot: LeaseSlot::new(lease_slot),
            });
        Task {
            members: members.collect(),
            program_always: false,
            awaited: BTreeSet::new(),
        }
    }

    /// The interface, with the virtual addresses that it has now.
    pub(super) fn port(&self) -> Port {
        let own = PortAddress {
            address: self.source.into(),
            secondary: false,
        };
        let held = self.configured.iter().zip(&self.kernel);
        let held = held
            .filter(|(_, kernel)| kernel.addresses)
            .flat_map(|(instance, _)| &instance.virtual_addresses)
            .map(|address| PortAddress {
                address: address.address.addr(),
                secondary: true,
            });
        Port {
            index: INTERFACE,
            name: "eth0".to_owned(),
            mac: Some(self.mac()),
            up: self.link,
            addresses: std::iter::once(own).chain(held).collect(),
            refuses_program: false,
        }
    }

    pub(super) fn mac(&self) -> [u8; 6] {
        [2, 0, 0, 0, 0, self.source.octets()[3]]
    }

    pub(super) fn state(&self, router: usize) -> Option<State> {
        let name = self.configured[router].router_name();
        Some(self.daemon.as_ref()?.state(&name)?.state)
    }

    /// Whether the kernel would answer a client's ARP request for the address of `router`.
    pub(super) fn answers(&self, router: usize, nanoseconds: u64) -> bool {
        let kernel = &self.kernel[router];
        kernel.addresses && self.link && !self.frozen && kernel.lease.entitlement(nanoseconds).may_answer
    }

    /// Whether the program would forward a client's packet to the address of `router`.
    pub(super) fn forwards(&self, router: usize, nanoseconds: u64) -> bool {
        self.link && !self.frozen && self.kernel[router].lease.entitlement(nanoseconds).may_forward
    }

    /// Sends `packet`, if nothing is in its way, and tells the daemon how that went.
    pub(super) fn send(&mut self, router: RouterHandle, packet: &Packet, now: Instant) -> bool {
        let speaker = self.daemon.as_mut().expect("its daemon sends");
        if self.mute {
            speaker.send_failed(router, "Operation not permitted", now);
            return false;
        }
        let resigns = Advertisement::parse(&packet.datagram()).is_ok_and(|sent| sent.priority.get() == 0);
        if let Some(router) = packet.router()
            && !resigns
        {
            let held = self.kernel[router].lease.state == lease_state::HELD;
            assert!(held, "a master without a lease speaks");
        }
        speaker.sent(router, now);
        true
    }

    /// Sends gratuitous ARP, and says for which virtual router.
    pub(super) fn announce(&mut self, address: IpAddr) -> usize {
        let router = self.router_of(address);
        let kernel = &mut self.kernel[router];
        assert!(kernel.addresses, "an announcement of addresses that are not here");
        kernel.announcements += 1;
        router
    }

    /// Does what the daemon asks for, `nanoseconds` on the kernel's clock.
    pub(super) fn carry_out(&mut self, command: Command, nanoseconds: u64) {
        match command {
            Command::GrantLease { slot, interval, .. } => {
                self.kernel[slot.get() as usize].lease = Lease {
                    renewed_at: nanoseconds,
                    interval: interval.map_or(0, |interval| u64::try_from(interval.as_nanos()).unwrap()),
                    state: lease_state::HELD,
                    ..Lease::default()
                };
            }
            Command::RenewLease { slot } => self.kernel[slot.get() as usize].lease.renewed_at = nanoseconds,
            Command::AddAddress { address, again, .. } => {
                assert!(!again, "nobody else takes addresses here");
                assert!(!self.mute, "addresses are taken that nobody can be told of");
                let router = self.router_of(address.address.addr());
                let kernel = &mut self.kernel[router];
                assert_eq!(kernel.lease.state, lease_state::HELD, "addresses without a lease");
                kernel.addresses = true;
            }
            Command::RemoveAddress { address, .. } => {
                let router = self.router_of(address.address.addr());
                self.kernel[router].addresses = false;
            }
            Command::HandOverLease { slot } => {
                self.kernel[slot.get() as usize].lease.state = lease_state::HANDING_OVER;
            }
            Command::VacateLease { slot } => {
                let kernel = &mut self.kernel[slot.get() as usize];
                assert!(
                    !kernel.addresses,
                    "the local stack would reset the clients' connections"
                );
                kernel.lease.state = lease_state::VACANT;
            }
            Command::Tell { instance, news } => match news {
                News::Transition { to, .. } => {
                    let router = self.router_of(instance.virtual_addresses[0].address.addr());
                    self.kernel[router].became_master += u32::from(to == State::Master);
                }
                News::Worry(Concern::TwoMasters { .. }) => self.two_masters += 1,
                News::Worry(concern @ Concern::Mismatch(_)) => panic!("{concern}"),
                News::Worry(Concern::AddressConflict { .. }) | News::Relief(_) | News::SentAgain => {}
                News::NoDevice { address } => panic!("{address:?}"),
                News::Obstructed(_) | News::NotSent { .. } => {}
                News::HoldsBack { .. } | News::HoldsBackNoMore { .. } => panic!("a node is cold"),
            },
            Command::Malformed { error, .. } => panic!("{error}"),
            Command::Ask { .. }
            | Command::Listen { .. }
            | Command::StopListening { .. }
            | Command::RunProgram { .. } => {}
            Command::Send { .. } | Command::Announce { .. } => unreachable!("the world does these"),
        }
    }

    fn router_of(&self, address: IpAddr) -> usize {
        let has = |instance: &VrrpInstance| {
            let mut addresses = instance.virtual_addresses.iter();
            addresses.any(|virtual_address| virtual_address.address.addr() == address)
        };
        self.configured.iter().position(has).expect("an address of ours")
    }
}
