//! The VRRP sockets, one for each interface in use.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::warn;

use crate::io::batch::Batch;
use crate::io::vrrp_socket::VrrpSocket;
use crate::vrrp::Datagram;

/// How many rounds of packets may wait for the loop; more wait in their sockets.
const QUEUE: usize = 8;

/// Packets of the VRRP protocol that came in together.
pub(super) struct Packets {
    /// The index of the interface that they came in by.
    pub(super) interface: u32,
    /// All of them, one after the other, each with its IP header.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Packets {
    fn of(interface: u32, batch: &Batch) -> Self {
        let mut packets = Self {
            interface,
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        for packet in batch.packets() {
            packets.bytes.extend_from_slice(packet);
            packets.ends.push(packets.bytes.len());
        }
        packets
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// What they carry; without those that are not whole.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .filter_map(|(start, end)| Datagram::of_ipv4(&self.bytes[*start..*end]))
    }
}

/// The sockets, and the packets that they bring.
pub(super) struct Listeners {
    sockets: BTreeMap<u32, Listener>,
    packets: mpsc::Receiver<Packets>,
    sender: mpsc::Sender<Packets>,
}

struct Listener {
    socket: Arc<VrrpSocket>,
    reader: AbortHandle,
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

    /// Listens on the interface `name`, which has the index `index`.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub(super) fn listen(&mut self, name: &str, index: u32) -> io::Result<()> {
        let socket = Arc::new(VrrpSocket::open(name, index)?);
        let reader = read(name.to_owned(), index, Arc::clone(&socket), self.sender.clone());
        let reader = tokio::spawn(reader).abort_handle();
        self.sockets.insert(index, Listener { socket, reader });
        Ok(())
    }

    /// Listens no more on the interface with the index `index`.
    pub(super) fn stop(&mut self, index: u32) {
        self.sockets.remove(&index);
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

    /// Waits for the next packets. Nothing is lost if the wait is given up.
    pub(super) async fn next(&mut self) -> Packets {
        self.packets.recv().await.expect("this value holds a sender")
    }
}

async fn read(name: String, index: u32, socket: Arc<VrrpSocket>, packets: mpsc::Sender<Packets>) {
    let mut batch = Batch::default();
    loop {
        match socket.receive(&mut batch).await {
            Ok(()) => {
                if packets.send(Packets::of(index, &batch)).await.is_err() {
                    return;
                }
            }
            // An interface that goes down says so once; the socket is good again when it comes back.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            Err(error) => {
                warn!(interface = name, %error, "cannot read the VRRP socket");
                return;
            }
        }
    }
}
