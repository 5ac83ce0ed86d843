//! The VRRP sockets, one for each interface in use.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::warn;

use crate::io::vrrp_socket::{BUFFER, VrrpSocket};

/// How many packets may wait for the loop; more wait in their sockets.
const QUEUE: usize = 64;

/// A packet of the VRRP protocol, with its IP header.
pub(super) struct Packet {
    interface: Arc<str>,
    bytes: Vec<u8>,
}

impl Packet {
    /// The name of the interface that it came in by.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// The packet, from its IP header on.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The sockets, and the packets that they bring.
pub(super) struct Listeners {
    sockets: BTreeMap<String, Listener>,
    packets: mpsc::Receiver<Packet>,
    sender: mpsc::Sender<Packet>,
}

struct Listener {
    /// The index of the interface: one of the same name that was made anew has another.
    index: u32,
    socket: Arc<VrrpSocket>,
    reader: AbortHandle,
    /// What was last wrong with a packet: told when it changes, or a bad neighbour would fill the log.
    complaint: Option<String>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Listeners {
    pub(super) fn new() -> Self {
        let (sender, packets) = mpsc::channel(QUEUE);
        Self {
            sockets: BTreeMap::new(),
            packets,
            sender,
        }
    }

    /// Listens on `interface`, which has the index `index`, if it does not already.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub(super) fn listen(&mut self, interface: &str, index: u32) -> io::Result<()> {
        if self
            .sockets
            .get(interface)
            .is_some_and(|listener| listener.index == index)
        {
            return Ok(());
        }
        let socket = Arc::new(VrrpSocket::open(interface, index)?);
        let reader =
            tokio::spawn(read(interface.into(), Arc::clone(&socket), self.sender.clone())).abort_handle();
        self.sockets.insert(
            interface.to_owned(),
            Listener {
                index,
                socket,
                reader,
                complaint: None,
            },
        );
        Ok(())
    }

    /// Closes the sockets of interfaces that are not `used`.
    pub(super) fn keep(&mut self, used: impl Fn(&str) -> bool) {
        self.sockets.retain(|interface, _| used(interface));
    }

    /// Sends `packet` from `interface`.
    ///
    /// # Errors
    /// If there is no socket, or it cannot send now.
    pub(super) fn send(&self, interface: &str, packet: &[u8]) -> io::Result<()> {
        self.sockets
            .get(interface)
            .ok_or(io::ErrorKind::NotConnected)?
            .socket
            .send(packet)
    }

    /// Waits for the next packet. Nothing is lost if the wait is given up.
    pub(super) async fn next(&mut self) -> Packet {
        self.packets.recv().await.expect("this value holds a sender")
    }

    /// Tells the operator of a packet that is not as it should be, unless it was told the last time.
    pub(super) fn complain(&mut self, interface: &str, problem: &str) {
        let Some(listener) = self.sockets.get_mut(interface) else {
            return;
        };
        if listener.complaint.as_deref() != Some(problem) {
            warn!(interface, problem, "ignoring VRRP packets like this one");
            listener.complaint = Some(problem.to_owned());
        }
    }
}

async fn read(interface: Arc<str>, socket: Arc<VrrpSocket>, packets: mpsc::Sender<Packet>) {
    let mut buffer = [0; BUFFER];
    loop {
        match socket.receive(&mut buffer).await {
            Ok(length) => {
                let packet = Packet {
                    interface: Arc::clone(&interface),
                    bytes: buffer[..length].to_vec(),
                };
                if packets.send(packet).await.is_err() {
                    return;
                }
            }
            // An interface that goes down says so once; the socket is good again when it comes back.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            Err(error) => {
                warn!(interface = &*interface, %error, "cannot read the VRRP socket");
                return;
            }
        }
    }
}
