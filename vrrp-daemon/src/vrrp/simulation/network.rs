//! The network between the nodes: advertisements and gratuitous ARP on their way, delay, loss and partitions.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use lb_common::lease_state;

use super::{DELAY, Event, FIRST_ID, World, node};
use crate::model::AddressFamily;
use crate::vrrp::wire::{Datagram, multicast_group};

/// An advertisement on its way.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) message: Rc<[u8]>,
}

impl Packet {
    pub(super) fn datagram(&self) -> Datagram<'_> {
        Datagram {
            source: self.source,
            destination: multicast_group(AddressFamily::Ipv4),
            hop_limit: 255,
            payload: &self.message,
        }
    }

    /// The virtual router that it is about.
    pub(super) fn router(&self) -> Option<usize> {
        self.message[1].checked_sub(FIRST_ID).map(usize::from)
    }
}

impl World {
    /// No partition is between the two.
    pub(super) fn are_connected(&self, one: usize, other: usize) -> bool {
        (one < self.partition) == (other < self.partition)
    }

    pub(super) fn transmit(&mut self, from: usize, packet: Packet) {
        if !self.nodes[from].link {
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.in_flight.push(None);
            self.in_flight.len() - 1
        });
        let mut pending = 0;
        for to in 0..self.nodes.len() {
            if to == from || !self.are_connected(from, to) || self.random(100) < u64::from(self.loss) {
                continue;
            }
            let delay = self.delay();
            pending += 1;
            self.schedule(self.now + delay, Event::Deliver { to, packet: slot });
        }
        if pending == 0 {
            self.free.push(slot);
        } else {
            self.in_flight[slot] = Some((packet, pending));
        }
    }

    pub(super) fn deliver(&mut self, to: usize, packet: usize) {
        let Some((received, pending)) = &mut self.in_flight[packet] else {
            return;
        };
        let received = received.clone();
        *pending -= 1;
        if *pending == 0 {
            self.in_flight[packet] = None;
            self.free.push(packet);
        }
        let nanoseconds = self.nanoseconds();
        let node = &mut self.nodes[to];
        if !node.link || node.frozen {
            return;
        }
        // The program: a peer speaks while our own advertisement is overdue.
        if let Some(router) = received.router()
            && let lease = &mut node.kernel[router].lease
            && lease.state == lease_state::HELD
            && nanoseconds > lease.overdue_at()
        {
            lease.successor_at = nanoseconds;
        }
        if node.deaf {
            return;
        }
        if node.paused {
            if node.daemon.is_some() && node.inbox.len() < 64 {
                node.inbox.push_back(received);
            }
            return;
        }
        self.input(to, |speaker, now| {
            speaker.received(node::INTERFACE, &received.datagram(), now);
        });
    }

    /// Gratuitous ARP, which no filter of advertisements keeps from anybody.
    pub(super) fn claim(&mut self, from: usize, router: usize) {
        for to in 0..self.nodes.len() {
            if to != from && self.are_connected(from, to) {
                let delay = self.delay();
                self.schedule(self.now + delay, Event::Claim { to, from, router });
            }
        }
    }

    pub(super) fn deliver_claim(&mut self, to: usize, from: usize, router: usize) {
        let address = self.nodes[from].configured[router].virtual_addresses[0]
            .address
            .addr();
        let mac = self.nodes[from].mac();
        if self.nodes[to].link {
            self.input(to, |speaker, now| {
                speaker.claimed(node::INTERFACE, address, mac, now);
            });
        }
    }

    /// How long something travels.
    fn delay(&mut self) -> Duration {
        Duration::from_nanos(1 + self.random(u64::try_from(DELAY.as_nanos()).unwrap()))
    }
}
