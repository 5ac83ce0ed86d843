//! What an interface can do for XDP, by the generic netlink family `netdev` (Linux 6.3).
//!
//! Written out here: the library for generic netlink brings a second copy of the one for rtnetlink with it, for two
//! questions of one attribute each.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr};

/// `enum netdev_xdp_act` of `include/uapi/linux/netdev.h`.
pub mod xdp_act {
    /// Native programs run, and may pass, drop, and send back.
    pub const BASIC: u64 = 1;
    /// It sends what programs on other interfaces redirect to it.
    pub const NDO_XMIT: u64 = 1 << 2;
}

/// `NETLINK_GENERIC` of `include/uapi/linux/netlink.h`.
const NETLINK_GENERIC: isize = 16;
/// `GENL_ID_CTRL`, the family that knows the others.
const CONTROLLER: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
/// `struct nlmsghdr` and `struct genlmsghdr`.
const HEADERS: usize = 16 + 4;

/// Asks the kernel, in the network namespace that it was opened in, what interfaces can do for XDP.
pub struct XdpFeatures {
    socket: Socket,
    family: Option<u16>,
}

impl XdpFeatures {
    /// Opens a socket, and finds out whether this kernel tells.
    ///
    /// # Errors
    /// There are no sockets to be had.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        let mut this = Self { socket, family: None };
        let answer = this.ask(CONTROLLER, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, b"netdev\0");
        this.family = answer
            .ok()
            .and_then(|answer| attribute(&answer, CTRL_ATTR_FAMILY_ID).map(u16::from_ne_bytes));
        Ok(this)
    }

    /// The bits of [`xdp_act`] of the interface with the index `index`; `None` if this kernel does not tell, or the
    /// interface is gone.
    #[must_use]
    pub fn of(&self, index: u32) -> Option<u64> {
        let answer = self
            .ask(
                self.family?,
                NETDEV_CMD_DEV_GET,
                NETDEV_A_DEV_IFINDEX,
                &index.to_ne_bytes(),
            )
            .ok()?;
        attribute(&answer, NETDEV_A_DEV_XDP_FEATURES).map(u64::from_ne_bytes)
    }

    /// Asks `family` with one attribute. The kernel has answered when the request is sent.
    fn ask(&self, family: u16, command: u8, kind: u16, value: &[u8]) -> io::Result<Vec<u8>> {
        let attribute = 4 + value.len();
        let length = HEADERS + attribute.next_multiple_of(4);
        let mut request = Vec::with_capacity(length);
        request.extend((length as u32).to_ne_bytes());
        request.extend(family.to_ne_bytes());
        request.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
        request.extend([0; 8]); // sequence number, port
        request.extend([command, 1, 0, 0]);
        request.extend((attribute as u16).to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(value);
        request.resize(length, 0);
        self.socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
        let (answer, _) = self.socket.recv_from_full()?;
        match answer.get(4..6) {
            Some(kind) if kind == (libc::NLMSG_ERROR as u16).to_ne_bytes() => {
                Err(io::Error::other("the kernel refuses"))
            }
            Some(_) => Ok(answer),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The value of the first attribute `kind` of `message`, if it has this length.
fn attribute<const LENGTH: usize>(message: &[u8], kind: u16) -> Option<[u8; LENGTH]> {
    let mut rest = message.get(HEADERS..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let found = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        if found == kind {
            return rest.get(4..length)?.try_into().ok();
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_found_behind_others_and_only_whole() {
        let mut message = vec![0; HEADERS];
        message.extend([5, 0, 1, 0, 7, 0, 0, 0]); // a byte, padded
        message.extend([8, 0, 2, 0, 1, 2, 3, 4]);
        message.extend([12, 0, 3, 0, 1, 2]); // cut short
        assert_eq!(attribute(&message, 2), Some([1, 2, 3, 4]));
        assert_eq!(attribute::<2>(&message, 2), None);
        assert_eq!(attribute::<8>(&message, 3), None);
        assert_eq!(attribute::<4>(&message, 9), None);
    }
}
