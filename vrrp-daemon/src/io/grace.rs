//! A grace period of RCU: what makes sure that no program still goes by what was in a map before.
#![allow(
    unsafe_code,
    reason = "membarrier(2) is in neither the standard library nor nix"
)]

use std::io;

use socket2::{Domain, Socket, Type};

/// `MEMBARRIER_CMD_GLOBAL` (`include/uapi/linux/membarrier.h`).
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Waits until every run of an XDP program that is under way now has ended: runs are read-side sections of RCU
/// (`kernel/sched/membarrier.c` waits for all of these). Takes some hundredths of a second, or tenths on a machine that
/// is busy.
///
/// # Errors
/// If the kernel offers no way to.
pub fn wait() -> io::Result<()> {
    // SAFETY: the system call takes three integers and writes to no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result == 0 {
        return Ok(());
    }
    wait_by_socket()
}

/// The other way: with `nohz_full`, the kernel has no such command (EINVAL). To close a packet socket takes a grace
/// period as well (`packet_release`, `net/packet/af_packet.c`). This one hears no protocol, and so nothing.
fn wait_by_socket() -> io::Result<()> {
    Socket::new(Domain::PACKET, Type::RAW, None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_ends() {
        wait().expect("every kernel has one");
    }

    #[test]
    fn there_is_another_way_for_whoever_may_open_packet_sockets() {
        if let Err(error) = wait_by_socket() {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
