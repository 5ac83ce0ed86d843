//! The socket that VRRP packets are sent and received on.

use std::io::{self, Read as _};
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd as _;

use lb_common::protocol;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::vrrp::MULTICAST_GROUP;

/// A buffer of this many bytes holds every VRRP packet: 255 addresses after the longest headers make 1096 bytes, and a
/// packet that is cut off is malformed anyway.
pub const BUFFER: usize = 2048;

/// `TC_PRIO_CONTROL` (`linux/pkt_sched.h`): ahead of all other packets in the interface's queue.
const PRIORITY: u32 = 7;

/// A raw socket for the VRRP packets of one interface, shared by all its virtual routers.
///
/// It survives the interface's going down and up. When the interface is removed it is of no more use: another one of
/// the same name has another index, and needs a new socket.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: AsyncFd<Socket>,
}

impl VrrpSocket {
    /// Opens the socket in the calling thread's network namespace and joins [`MULTICAST_GROUP`] on the interface that
    /// is called `name` and has the index `interface`.
    ///
    /// # Errors
    /// The system call that failed. That needs CAP_NET_RAW and, for the priority, CAP_NET_ADMIN.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn open(name: &str, interface: u32) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::IPV4,
            Type::RAW,
            Some(Protocol::from(i32::from(protocol::VRRP))),
        )?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(name.as_bytes()))?;
        // Only what was sent to the group, and only where this socket joined it: without the second line it would get
        // what any socket on the machine joined.
        socket.bind(&SocketAddrV4::new(MULTICAST_GROUP, 0).into())?;
        socket.set_multicast_all_v4(false)?;
        socket.join_multicast_v4_n(&MULTICAST_GROUP, &InterfaceIndexOrAddress::Index(interface))?;
        // We do not hear ourselves.
        socket.set_multicast_loop_v4(false)?;
        // The sender's address, TTL and type of service are VRRP's business: it builds the IP header.
        socket.set_header_included_v4(true)?;
        socket.set_priority(PRIORITY)?;
        report_lost_packets(&socket)?;
        #[allow(
            unsafe_code,
            reason = "only the caller can know what the file descriptor does"
        )]
        // SAFETY: the socket owns its file descriptor, which stays open and the same as long as it lives, and it lives
        // in the AsyncFd from here on.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket })
    }

    /// Receives a packet, IP header included, into `buffer` (of [`BUFFER`] bytes), and returns its length. No packet
    /// is lost if the wait is given up.
    ///
    /// # Errors
    /// A failure of the system call. That the interface is down or gone is none: nothing is received then.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket
            .async_io(Interest::READABLE, |mut socket| socket.read(buffer))
            .await
    }

    /// Sends `packet`, which begins with its IP header; the kernel fills in the header's identification and checksum.
    ///
    /// It does not wait: an advertisement that cannot leave now is late, and the caller should rather know.
    ///
    /// # Errors
    /// The interface is down or gone (`ENETDOWN`, `ENETUNREACH`, `ENODEV`, `ENXIO`), its queue is full
    /// ([`io::ErrorKind::WouldBlock`], `ENOBUFS`), or another failure of the system call.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.socket
            .get_ref()
            .send_to(packet, &SocketAddrV4::new(MULTICAST_GROUP, 0).into())
            .map(drop)
    }
}

/// Has [`VrrpSocket::send`] tell of a packet that the interface's queue, or a full neighbour table, has dropped.
/// Otherwise the kernel keeps that to itself (`raw_send_hdrinc`, net/ipv4/raw.c), and a master would believe that its
/// advertisement is on its way.
fn report_lost_packets(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    #[allow(unsafe_code, reason = "socket2 has no method for IP_RECVERR")]
    // SAFETY: the kernel reads `length` bytes of `on`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVERR,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
