//! The VRRP sockets, one for each interface in use.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use crate::io::batch::Batch;
use crate::io::vrrp_socket::VrrpSocket;
use crate::vrrp::{Datagram, Rounds};

/// The sockets, and the packets that they bring.
#[derive(Default)]
pub(super) struct Listeners {
    sockets: BTreeMap<u32, Listener>,
    /// What came in last.
    batch: Batch,
    /// The index of the interface that it came in by.
    last: u32,
    /// Between two rounds.
    pause: Duration,
}

struct Listener {
    /// The name of the interface.
    name: String,
    socket: VrrpSocket,
    rounds: Rounds,
    /// It has failed; it may still send.
    deaf: bool,
}

impl Listeners {
    /// Sockets that receive packets close to each other are looked at in rounds with this pause.
    pub(super) fn set_pause(&mut self, pause: Duration) {
        self.pause = pause;
        for listener in self.sockets.values_mut() {
            listener.rounds.set_pause(pause);
        }
    }

    /// Listens on the interface `name`, which has the index `index`.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub(super) fn listen(&mut self, name: &str, index: u32) -> io::Result<()> {
        let mut listener = Listener {
            name: name.to_owned(),
            socket: VrrpSocket::open(name, index)?,
            rounds: Rounds::default(),
            deaf: false,
        };
        listener.rounds.set_pause(self.pause);
        if let Err(error) = listener.socket.keep_group(index) {
            info!(
                interface = name,
                %error,
                "if this daemon is killed, its program may not see who succeeds it"
            );
        }
        self.sockets.insert(index, listener);
        Ok(())
    }

    /// Listens no more on the interface with the index `index`.
    pub(super) fn stop(&mut self, index: u32) {
        if let Some(listener) = self.sockets.remove(&index)
            && let Err(error) = listener.socket.let_group_go(index)
        {
            // Gone with its groups, most likely.
            debug!(interface = listener.name, %error, "the group of advertisements stays on the interface");
        }
    }

    /// Sends `message` from `source`, by the interface with the index `index`.
    ///
    /// # Errors
    /// If there is no socket, or it cannot send now.
    pub(super) fn send(&self, index: u32, source: IpAddr, message: &[u8]) -> io::Result<()> {
        self.sockets
            .get(&index)
            .ok_or(io::ErrorKind::NotConnected)?
            .socket
            .send(source, message)
    }

    /// Waits for packets, and returns the index of the interface that they came in by: [`Self::datagrams`] has them.
    /// Nothing is lost if the wait is given up.
    pub(super) async fn next(&mut self) -> u32 {
        loop {
            let look_at = self.sockets.values().filter_map(|one| one.rounds.next()).min();
            let told = poll_fn(|context| self.poll_told(context));
            let Some(look_at) = look_at else {
                return told.await;
            };
            tokio::select! {
                biased;
                index = told => return index,
                () = sleep_until(look_at.into()) => {}
            }
            if let Some(index) = self.look(|due| due <= look_at) {
                return index;
            }
        }
    }

    /// Looks at the sockets that rest between two rounds, before the time. If one has packets, returns the index of its
    /// interface.
    pub(super) fn look_early(&mut self) -> Option<u32> {
        self.look(|_due| true)
    }

    /// How many packets came in last.
    pub(super) fn count(&self) -> usize {
        self.batch.packets().count()
    }

    /// What they carry; without those that are not whole.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.batch.packets().filter_map(Datagram::of_ipv4)
    }

    /// Receives from the first socket that the kernel tells of, in turns.
    fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<u32> {
        for index in self.in_turns() {
            let listener = self.sockets.get_mut(&index).expect("it is among them");
            if listener.deaf || listener.rounds.next().is_some() {
                continue;
            }
            match listener.socket.poll_receive(context, &mut self.batch) {
                Poll::Pending => {}
                Poll::Ready(outcome) => {
                    if listener.looked(outcome.map(|()| true)) {
                        self.last = index;
                        return Poll::Ready(index);
                    }
                    // It may have been an error that is over; if there is more, we are told.
                    context.waker().wake_by_ref();
                }
            }
        }
        Poll::Pending
    }

    /// Receives from the first resting socket that has something, of those that are to be looked at at times that
    /// `are_due`.
    fn look(&mut self, are_due: impl Fn(Instant) -> bool) -> Option<u32> {
        for index in self.in_turns() {
            let listener = self.sockets.get_mut(&index).expect("it is among them");
            if !listener.deaf && listener.rounds.next().is_some_and(&are_due) {
                let outcome = listener.socket.receive_now(&mut self.batch);
                if listener.looked(outcome) {
                    self.last = index;
                    return Some(index);
                }
            }
        }
        None
    }

    /// The interfaces, that which was last heard at the end: no flood on one makes us deaf to the others.
    fn in_turns(&self) -> Vec<u32> {
        let after = self.sockets.range(self.last + 1..);
        let before = self.sockets.range(..=self.last);
        after.chain(before).map(|(index, _)| *index).collect()
    }
}

impl Listener {
    /// Takes in what came of looking at the socket: whether it held something. Returns the same.
    fn looked(&mut self, outcome: io::Result<bool>) -> bool {
        let held_something = outcome.unwrap_or_else(|error| {
            // An interface that goes down says so once; the socket is good again when it comes back.
            if error.raw_os_error() != Some(libc::ENETDOWN) {
                warn!(interface = self.name, %error, "cannot read the VRRP socket");
                self.deaf = true;
            }
            false
        });
        let rested = self.rounds.next().is_some();
        self.rounds.looked(held_something, Instant::now());
        if !rested && self.rounds.next().is_some() {
            self.socket.rest();
        }
        held_something
    }
}
