//! The socket that VRRP packets are sent and received on.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lb_common::protocol;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::batch::Batch;
use super::link_groups;
use crate::model::AddressFamily;
use crate::vrrp::{Datagram, multicast_group};

/// `TC_PRIO_CONTROL` (`linux/pkt_sched.h`): ahead of all other packets in the interface's queue.
const PRIORITY: u32 = 7;

/// A raw socket for the VRRP packets of one interface, shared by all its virtual routers.
///
/// It survives the interface's going down and up. When the interface is removed it is of no more use: another one of
/// the same name has another index, and needs a new socket.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Arc<Socket>,
    /// While the kernel is to wake us for each packet.
    watch: Option<AsyncFd<Arc<Socket>>>,
}

impl VrrpSocket {
    /// Opens the socket in the calling thread's network namespace and joins the [`multicast_group`] of IPv4 on the
    /// interface that is called `name` and has the index `interface`.
    ///
    /// # Errors
    /// The system call that failed. That needs CAP_NET_RAW and, for the priority, CAP_NET_ADMIN.
    pub fn open(name: &str, interface: u32) -> io::Result<Self> {
        let group = group();
        let socket = Socket::new(
            Domain::IPV4,
            Type::RAW,
            Some(Protocol::from(i32::from(protocol::VRRP))),
        )?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(name.as_bytes()))?;
        // Only what was sent to the group, and only where this socket joined it: without the second line it would get
        // what any socket on the machine joined.
        socket.bind(&SocketAddrV4::new(group, 0).into())?;
        socket.set_multicast_all_v4(false)?;
        socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))?;
        // We do not hear ourselves.
        socket.set_multicast_loop_v4(false)?;
        // The sender's address, TTL and type of service are VRRP's business: it builds the IP header.
        socket.set_header_included_v4(true)?;
        socket.set_priority(PRIORITY)?;
        report_lost_packets(&socket)?;
        Ok(Self {
            socket: Arc::new(socket),
            watch: None,
        })
    }

    /// Has the interface with the index `interface` receive advertisements even when this process is killed: its XDP
    /// program goes on, and must see a successor's. Until [`Self::let_group_go`].
    ///
    /// # Errors
    /// The system call that failed. That needs CAP_NET_ADMIN, and an interface that has groups.
    pub fn keep_group(&self, interface: u32) -> io::Result<()> {
        link_groups::join(self.socket.as_fd(), interface)
    }

    /// Takes back [`Self::keep_group`].
    ///
    /// # Errors
    /// The system call that failed: the interface may be gone.
    pub fn let_group_go(&self, interface: u32) -> io::Result<()> {
        link_groups::leave(self.socket.as_fd(), interface)
    }

    /// Receives the packets that are there into `batch`, at least one. No packet is lost if the wait is given up.
    ///
    /// # Errors
    /// A failure of the system call. That the interface is down or gone is none: nothing is received then.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn receive(&mut self, batch: &mut Batch) -> io::Result<()> {
        poll_fn(|context| self.poll_receive(context, batch)).await
    }

    /// [`Self::receive`], for whoever waits for several sockets. The kernel wakes the task for each packet, until
    /// [`Self::rest`].
    ///
    /// # Errors
    /// As [`Self::receive`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn poll_receive(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> Poll<io::Result<()>> {
        let watch = match &self.watch {
            Some(watch) => watch,
            None => {
                #[allow(
                    unsafe_code,
                    reason = "only the caller can know what the file descriptor does"
                )]
                // SAFETY: the socket owns its file descriptor, which stays open and the same as long as it lives, and
                // the AsyncFd has a share in it.
                let watch = unsafe { AsyncFd::register(Arc::clone(&self.socket)) }?;
                self.watch.insert(watch)
            }
        };
        loop {
            let mut guard = ready!(watch.poll_read_ready(context))?;
            match batch.receive(self.socket.as_raw_fd()) {
                Ok(()) => {
                    // What is not full has emptied the socket: there is no need to be told so by another call.
                    if !batch.is_full() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Receives the packets that are there into `batch`, without waiting. Returns whether there were any.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_now(&self, batch: &mut Batch) -> io::Result<bool> {
        match batch.receive(self.socket.as_raw_fd()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has the kernel wake nobody any more for a packet, until somebody waits again.
    pub fn rest(&mut self) {
        self.watch = None;
    }

    /// Sends the VRRP message `message` from `source` to the multicast group; the kernel fills in the identification
    /// and the checksum of the IP header.
    ///
    /// It does not wait: an advertisement that cannot leave now is late, and the caller should rather know. A packet
    /// filter that drops it says so (`EPERM`), and so does a full queue.
    ///
    /// # Errors
    /// The interface is down or gone (`ENETDOWN`, `ENETUNREACH`, `ENODEV`, `ENXIO`), its queue is full
    /// ([`io::ErrorKind::WouldBlock`], `ENOBUFS`), a filter drops it ([`io::ErrorKind::PermissionDenied`]), or another
    /// failure of the system call.
    pub fn send(&self, source: IpAddr, message: &[u8]) -> io::Result<()> {
        let IpAddr::V4(source) = source else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let group = group();
        let header = Datagram::ipv4_header(source, group, message);
        self.socket
            .send_to_vectored(
                &[IoSlice::new(&header), IoSlice::new(message)],
                &SocketAddrV4::new(group, 0).into(),
            )
            .map(drop)
    }
}

fn group() -> Ipv4Addr {
    match multicast_group(AddressFamily::Ipv4) {
        IpAddr::V4(group) => group,
        IpAddr::V6(_) => unreachable!("the group of IPv4"),
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
