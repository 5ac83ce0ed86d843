//! How clients fare: who answers them, who has announced an address last, and for how long that was not one node.

use std::time::{Duration, Instant};

use super::World;
use crate::vrrp::effect::State;

/// How clients fare with one virtual address.
#[derive(Default)]
pub(super) struct View {
    /// Where they send: who announced the address last where they are. There is a client beside each node.
    pub(super) believed: Vec<Option<usize>>,
    two_answer_since: Option<Instant>,
    none_answers_since: Option<Instant>,
    unserved_since: Option<Instant>,
}

impl View {
    /// So many clients that have heard of nobody yet.
    pub(super) fn of(clients: usize) -> Self {
        Self {
            believed: vec![None; clients],
            ..Self::default()
        }
    }
}

impl World {
    /// `node` announces the address of `router`: whoever hears that sends there.
    pub(super) fn announced(&mut self, node: usize, router: usize) {
        for client in 0..self.nodes.len() {
            if self.are_connected(client, node) {
                self.views[router].believed[client] = Some(node);
            }
        }
    }

    /// All clients send what is for the address of `router` to `node`.
    pub(super) fn all_believe(&self, router: usize, node: usize) -> bool {
        self.views[router]
            .believed
            .iter()
            .all(|believed| *believed == Some(node))
    }

    /// The nodes whose kernel would answer a client's ARP request for the address of the first virtual router.
    pub(super) fn answering(&self) -> Vec<usize> {
        self.answering_for(0)
    }

    pub(super) fn answering_for(&self, router: usize) -> Vec<usize> {
        let nanoseconds = self.nanoseconds();
        (0..self.nodes.len())
            .filter(|node| self.nodes[*node].answers(router, nanoseconds))
            .collect()
    }

    /// The masters of the first virtual router.
    pub(super) fn masters(&self) -> Vec<usize> {
        self.masters_of(0)
    }

    pub(super) fn masters_of(&self, router: usize) -> Vec<usize> {
        let is_master = |node: &usize| self.nodes[*node].state(router) == Some(State::Master);
        (0..self.nodes.len()).filter(is_master).collect()
    }

    pub(super) fn observe(&mut self) {
        let (now, nanoseconds) = (self.now, self.nanoseconds());
        let follow = |holds: bool, since: &mut Option<Instant>, longest: &mut Duration| {
            if holds {
                *longest = (*longest).max(now - *since.get_or_insert(now));
            } else {
                *since = None;
            }
        };
        for (router, view) in self.views.iter_mut().enumerate() {
            let answering = self.nodes.iter().filter(|node| node.answers(router, nanoseconds));
            let count = answering.count();
            let mut believed = view.believed.iter().flatten();
            let unserved = believed.any(|node| !self.nodes[*node].forwards(router, nanoseconds));
            follow(count > 1, &mut view.two_answer_since, &mut self.longest_overlap);
            follow(count == 0, &mut view.none_answers_since, &mut self.longest_gap);
            follow(unserved, &mut view.unserved_since, &mut self.longest_unserved);
        }
    }

    /// Forgets what was observed so far.
    pub(super) fn observe_anew(&mut self) {
        for view in &mut self.views {
            *view = View {
                believed: std::mem::take(&mut view.believed),
                ..View::default()
            };
        }
        self.longest_overlap = Duration::ZERO;
        self.longest_gap = Duration::ZERO;
        self.longest_unserved = Duration::ZERO;
        self.observe();
    }
}
