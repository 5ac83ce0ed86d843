//! Frames as they are on the wire: to send what no program sends, and to see what arrives.

#![allow(
    unsafe_code,
    reason = "packet sockets take a sockaddr_ll, which the standard library doesn't know"
)]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::Node;

/// The longest frame that is read whole.
const LONGEST: usize = 2048;

/// A packet socket on one interface: it sees what arrives there and what leaves, from its opening on.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
}

impl Wire {
    /// Opens the interface `interface` of `node` for frames of the type `ethertype`, e.g. 0x0806 for ARP, or of
    /// `libc::ETH_P_ALL`.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn open(node: &Node, interface: &str, ethertype: i32) -> Result<Self> {
        let socket = node
            .namespace
            .run(|| open(interface, ethertype))
            .with_context(|| format!("cannot open a packet socket on {interface} of {}", node.name))?;
        Ok(Self { socket })
    }

    /// Sends `frame`, from its destination address on, as it is.
    ///
    /// # Errors
    /// The interface is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(|_length| ())
    }

    /// The next frame, if there is one before `deadline`.
    #[must_use]
    pub fn next(&self, deadline: Instant) -> Option<Vec<u8>> {
        let patience = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_micros(50));
        self.socket.set_read_timeout(Some(patience)).ok()?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); LONGEST];
        let length = self.socket.recv(&mut buffer).ok()?;
        // SAFETY: recv has initialised that many bytes.
        let frame = buffer[..length].iter().map(|byte| unsafe { byte.assume_init() });
        Some(frame.collect())
    }

    /// Waits for a frame of which `look` makes something.
    ///
    /// # Errors
    /// There is none within `patience`.
    pub fn find<T>(&self, what: &str, patience: Duration, look: impl Fn(&[u8]) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(found) = self.next(deadline).and_then(|frame| look(&frame)) {
                return Ok(found);
            }
        }
        bail!("waited {patience:?} in vain for a frame: {what}")
    }
}

/// A packet socket on `interface` of the calling thread's namespace.
fn open(interface: &str, ethertype: i32) -> io::Result<Socket> {
    let protocol = (ethertype as u16).to_be();
    let kind = Some(Protocol::from(i32::from(protocol)));
    let socket = Socket::new(Domain::PACKET, Type::RAW, kind)?;
    let name = CString::new(interface)?;
    // SAFETY: the name is a C string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol,
        sll_ifindex: index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a storage is at least as large and as aligned as any socket address.
    unsafe { *storage.view_as::<libc::sockaddr_ll>() = address };
    // SAFETY: the storage holds a sockaddr_ll, of which this is the length.
    let address = unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) };
    socket.bind(&address)?;
    Ok(socket)
}
