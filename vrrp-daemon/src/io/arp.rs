//! Telling the neighbourhood where an address is now, and hearing who else has it.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::Ipv4Addr;

use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

const BROADCAST: [u8; 6] = [0xff; 6];

/// The length of an ARP packet for IPv4.
const PACKET: usize = 28;

/// The length of one with its Ethernet header.
const FRAME: usize = 14 + PACKET;

/// Sends gratuitous ARP and ARP probes, and hears what other hosts say of their addresses.
#[derive(Debug)]
pub struct ArpSocket {
    socket: AsyncFd<Socket>,
}

/// A host says that an address is its own: by gratuitous ARP, or in answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The index of the interface that this was heard on.
    pub interface: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// The host's link-layer address.
    pub mac: [u8; 6],
}

impl ArpSocket {
    /// Opens a packet socket in the calling thread's network namespace. Of what comes in on any interface, it receives
    /// only gratuitous ARP and answers: the kernel leaves out the questions that fill a network.
    ///
    /// # Errors
    /// The system call that failed. That needs CAP_NET_RAW.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn open() -> io::Result<Self> {
        // Without a protocol it receives nothing before the filter is there.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&filter())?;
        socket.bind(&link_layer_address(0)?)?;
        #[allow(
            unsafe_code,
            reason = "only the caller can know what the file descriptor does"
        )]
        // SAFETY: the socket owns its file descriptor, which stays open and the same as long as it lives, and it lives
        // in the AsyncFd from here on.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket })
    }

    /// Sends one gratuitous ARP from the interface with the index `interface`: whoever hears it and has `address` in
    /// its cache, from now on sends to `mac`, and so do switches that learn from it.
    ///
    /// It does not wait.
    ///
    /// # Errors
    /// The interface is down or gone (`ENETDOWN`, `ENXIO`), its queue is full ([`io::ErrorKind::WouldBlock`],
    /// `ENOBUFS`), or another failure of the system call.
    pub fn announce(&self, interface: u32, mac: [u8; 6], address: Ipv4Addr) -> io::Result<()> {
        self.send(interface, &gratuitous_arp(mac, address))
    }

    /// Asks, from the interface with the index `interface`, who has `address`, by an ARP probe (RFC 5227, section
    /// 2.1.1): it changes nobody's cache. [`Self::next`] brings the answer, if there is one.
    ///
    /// # Errors
    /// As [`Self::announce`].
    pub fn ask(&self, interface: u32, mac: [u8; 6], address: Ipv4Addr) -> io::Result<()> {
        let probe = request(mac, Ipv4Addr::UNSPECIFIED, [0; 6], address);
        self.send(interface, &probe)
    }

    fn send(&self, interface: u32, frame: &[u8]) -> io::Result<()> {
        self.socket
            .get_ref()
            .send_to(frame, &link_layer_address(interface)?)
            .map(drop)
    }

    /// Waits for the next claim of another host. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// A failure of the system call. That an interface is down or gone is none: nothing is received then.
    pub async fn next(&self) -> io::Result<Claim> {
        loop {
            let mut guard = self.socket.readable().await?;
            let mut frame = [MaybeUninit::<u8>::uninit(); FRAME];
            match guard.get_inner().recv_from(&mut frame) {
                Ok((length, from)) => {
                    let frame: Vec<u8> = frame[..length]
                        .iter()
                        .map(|byte| {
                            #[allow(unsafe_code, reason = "socket2 receives into uninitialized memory")]
                            // SAFETY: recv_from has written the first `length` bytes.
                            unsafe {
                                byte.assume_init()
                            }
                        })
                        .collect();
                    if let Some(claim) = claim(&frame, interface_of(&from)) {
                        return Ok(claim);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a frame that passed the filter says.
fn claim(frame: &[u8], interface: u32) -> Option<Claim> {
    let packet: &[u8; PACKET] = frame.get(FRAME - PACKET..)?.first_chunk()?;
    let address = Ipv4Addr::new(packet[14], packet[15], packet[16], packet[17]);
    let mac = *packet[8..].first_chunk()?;
    // Ethernet and IPv4; a probe claims nothing yet.
    let arp = packet[..6] == [0, 1, 8, 0, 6, 4] && !address.is_unspecified();
    arp.then_some(Claim {
        interface,
        address,
        mac,
    })
}

/// The filter of classic BPF for a frame: an ARP answer, or the same address as sender and target.
fn filter() -> [SockFilter; 8] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const COPY_TO_INDEX: u16 = 0x07;
    const IS_CONSTANT: u16 = 0x15;
    const IS_INDEX: u16 = 0x1d;
    const RETURN: u16 = 0x06;
    const HEADER: u32 = (FRAME - PACKET) as u32;
    let step = SockFilter::new;
    [
        step(LOAD_HALF, 0, 0, HEADER + 6),
        step(IS_CONSTANT, 4, 0, libc::ARPOP_REPLY.into()),
        step(LOAD_WORD, 0, 0, HEADER + 14),
        step(COPY_TO_INDEX, 0, 0, 0),
        step(LOAD_WORD, 0, 0, HEADER + 24),
        step(IS_INDEX, 0, 1, 0),
        step(RETURN, 0, 0, FRAME as u32),
        step(RETURN, 0, 0, 0),
    ]
}

/// The frame that announces `address` at `mac`, in the form that Keepalived sends: an ARP request (RFC 826) whose
/// sender and target is `address` (RFC 5227, section 3), with the broadcast address as the target's hardware address.
fn gratuitous_arp(mac: [u8; 6], address: Ipv4Addr) -> [u8; FRAME] {
    request(mac, address, BROADCAST, address)
}

/// The frame of an ARP request (RFC 826) to everybody.
fn request(mac: [u8; 6], sender: Ipv4Addr, target_mac: [u8; 6], target: Ipv4Addr) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let mut rest = frame.as_mut_slice();
    let mut put = |bytes: &[u8]| {
        let (field, remainder) = mem::take(&mut rest).split_at_mut(bytes.len());
        field.copy_from_slice(bytes);
        rest = remainder;
    };
    // Ethernet: destination, source, type.
    put(&BROADCAST);
    put(&mac);
    put(&(libc::ETH_P_ARP as u16).to_be_bytes());
    // ARP: hardware and protocol type, their address lengths, operation (request).
    put(&libc::ARPHRD_ETHER.to_be_bytes());
    put(&(libc::ETH_P_IP as u16).to_be_bytes());
    put(&[6, 4]);
    put(&libc::ARPOP_REQUEST.to_be_bytes());
    // Sender and target.
    put(&mac);
    put(&sender.octets());
    put(&target_mac);
    put(&target.octets());
    frame
}

/// The index of the interface that a frame came in by.
fn interface_of(from: &SockAddr) -> u32 {
    if from.family() != libc::AF_PACKET as libc::sa_family_t
        || (from.len() as usize) < size_of::<libc::sockaddr_ll>()
    {
        return 0;
    }
    #[allow(unsafe_code, reason = "socket2 reads no link-layer addresses")]
    // SAFETY: an address of this family and length is a sockaddr_ll, and the storage that it lies in is aligned for it.
    let address = unsafe { &*from.as_ptr().cast::<libc::sockaddr_ll>() };
    u32::try_from(address.sll_ifindex).unwrap_or(0)
}

/// The address of ARP on the interface with the index `interface`; 0 for all interfaces.
fn link_layer_address(interface: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(interface).map_err(|_| io::Error::from_raw_os_error(libc::ENXIO))?;
    let mut storage = SockAddrStorage::zeroed();
    #[allow(unsafe_code, reason = "socket2 builds no link-layer addresses")]
    // SAFETY: sockaddr_ll is one of the types that a sockaddr_storage is there to hold: it fits in it, is aligned no
    // stricter, and is valid when all its bytes are zero.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
    address.sll_ifindex = index;
    #[allow(unsafe_code, reason = "socket2 builds no link-layer addresses")]
    // SAFETY: the storage holds a sockaddr_ll, of that length.
    Ok(unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_understood_and_a_probe_claims_nothing() {
        let (mac, address) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 3));
        let claimed = Claim {
            interface: 7,
            address,
            mac,
        };
        assert_eq!(claim(&gratuitous_arp(mac, address), 7), Some(claimed));
        let probe = request(mac, Ipv4Addr::UNSPECIFIED, [0; 6], address);
        assert_eq!(claim(&probe, 7), None);
        assert_eq!(claim(&gratuitous_arp(mac, address)[..FRAME - 1], 7), None);
    }

    #[test]
    fn the_frame_is_byte_for_byte_what_keepalived_sends() {
        let frame = gratuitous_arp([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 3));
        #[rustfmt::skip]
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  2, 0, 0, 0, 0, 1,  8, 6,
            0, 1,  8, 0,  6,  4,  0, 1,
            2, 0, 0, 0, 0, 1,  10, 0, 0, 3,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  10, 0, 0, 3,
        ];
        assert_eq!(frame, expected);
    }
}
