//! Link-layer groups that an interface goes on receiving when nobody has a socket for them.
#![allow(
    unsafe_code,
    reason = "these requests of ioctl(2) have no safe wrapper among our dependencies"
)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The groups of advertisements: of 224.0.0.18 (RFC 1112, section 6.4) and of ff02::12 (RFC 2464, section 7).
const GROUPS: [[u8; 6]; 2] = [
    [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12],
    [0x33, 0x33, 0x00, 0x00, 0x00, 0x12],
];

/// Has the interface with the index `interface` receive advertisements even when no socket has joined their groups (as
/// ip-maddress(8) does): a daemon that was killed has no socket any more, but a program that must see its successor's
/// advertisements, and many network interfaces drop what nobody has joined. `socket` may be any in the network
/// namespace of the interface.
///
/// # Errors
/// The interface is gone, has no groups, or the caller lacks CAP_NET_ADMIN.
pub(super) fn join(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    change(socket, interface, libc::SIOCADDMULTI)
}

/// Takes back [`join`].
///
/// # Errors
/// As [`join`], or the groups were not joined.
pub(super) fn leave(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    change(socket, interface, libc::SIOCDELMULTI)
}

fn change(socket: BorrowedFd<'_>, interface: u32, verb: libc::Ioctl) -> io::Result<()> {
    // SAFETY: a request is made of integers and bytes, all of which may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_ifindex =
        i32::try_from(interface).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // By its present name: it may have been renamed since.
    call(socket, libc::SIOCGIFNAME, &mut request)?;
    for group in GROUPS {
        let mut address = libc::sockaddr {
            sa_family: libc::AF_UNSPEC as libc::sa_family_t,
            sa_data: [0; 14],
        };
        for (place, octet) in address.sa_data.iter_mut().zip(group) {
            *place = octet.cast_signed();
        }
        request.ifr_ifru.ifru_hwaddr = address;
        call(socket, verb, &mut request)?;
    }
    Ok(())
}

fn call(socket: BorrowedFd<'_>, verb: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: these requests read and write one `ifreq`, which `request` is.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), verb, std::ptr::from_mut(request)) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
