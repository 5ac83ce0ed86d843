//! Telling the neighbourhood where an address is now.

use std::io;
use std::mem;
use std::net::Ipv4Addr;

use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

const BROADCAST: [u8; 6] = [0xff; 6];

/// The length of an ARP packet for IPv4 with its Ethernet header.
const FRAME: usize = 42;

/// Sends gratuitous ARP.
#[derive(Debug)]
pub struct Announcer {
    socket: Socket,
}

impl Announcer {
    /// Opens a packet socket in the calling thread's network namespace. It receives nothing.
    ///
    /// # Errors
    /// The system call that failed. That needs CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
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
        self.socket
            .send_to(&gratuitous_arp(mac, address), &link_layer_address(interface)?)
            .map(drop)
    }
}

/// The frame that announces `address` at `mac`, in the form that Keepalived sends: an ARP request (RFC 826) whose
/// sender and target is `address` (RFC 5227, section 3), with the broadcast address as the target's hardware address.
fn gratuitous_arp(mac: [u8; 6], address: Ipv4Addr) -> [u8; FRAME] {
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
    put(&address.octets());
    put(&BROADCAST);
    put(&address.octets());
    frame
}

/// The destination of a whole frame that leaves from the interface with the index `interface`.
fn link_layer_address(interface: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(interface).map_err(|_| io::Error::from_raw_os_error(libc::ENXIO))?;
    let mut storage = SockAddrStorage::zeroed();
    #[allow(unsafe_code, reason = "socket2 builds no link-layer addresses")]
    // SAFETY: sockaddr_ll is one of the types that a sockaddr_storage is there to hold: it fits in it, is aligned no
    // stricter, and is valid when all its bytes are zero.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_ifindex = index;
    #[allow(unsafe_code, reason = "socket2 builds no link-layer addresses")]
    // SAFETY: the storage holds a sockaddr_ll, of that length.
    Ok(unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) })
}

#[cfg(test)]
mod tests {
    use super::*;

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
