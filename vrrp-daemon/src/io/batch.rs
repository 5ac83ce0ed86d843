//! Receiving several packets by one system call.

use std::io;
use std::os::fd::RawFd;
use std::ptr;

/// A buffer of this many bytes holds every VRRP packet: 255 addresses after the longest headers make 1096 bytes, and a
/// packet that is cut off is malformed anyway.
const PACKET: usize = 2048;

/// How many packets are received at once. Routers that were started together speak at the same time.
const PACKETS: usize = 32;

/// Room for several packets. What nothing was ever received into takes no memory.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    lengths: [usize; PACKETS],
    count: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            bytes: vec![0; PACKET * PACKETS],
            lengths: [0; PACKETS],
            count: 0,
        }
    }
}

impl Batch {
    /// The packets that were received last.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let slots = self.bytes.chunks_exact(PACKET);
        let lengths = &self.lengths[..self.count];
        slots.zip(lengths).map(|(slot, length)| &slot[..*length])
    }

    /// There may be more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == PACKETS
    }

    /// Receives what is there from the socket `descriptor`, without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing is, or another failure of the system call. Then the batch is empty.
    pub(super) fn receive(&mut self, descriptor: RawFd) -> io::Result<()> {
        self.count = 0;
        let mut slots = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: PACKET,
        }; PACKETS];
        for (slot, chunk) in slots.iter_mut().zip(self.bytes.chunks_exact_mut(PACKET)) {
            slot.iov_base = chunk.as_mut_ptr().cast();
        }
        let mut headers = slots.each_mut().map(|slot| libc::mmsghdr {
            msg_hdr: libc::msghdr {
                msg_name: ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: slot,
                msg_iovlen: 1,
                msg_control: ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: 0,
            },
            msg_len: 0,
        });
        #[allow(
            unsafe_code,
            reason = "recvmmsg(2) has no safe wrapper among our dependencies"
        )]
        // SAFETY: each of the PACKETS headers points to one iovec, and that to its own PACKET bytes of `self.bytes`,
        // which nothing else refers to during the call. `headers` and `slots` live until after it.
        let count = unsafe {
            libc::recvmmsg(
                descriptor,
                headers.as_mut_ptr(),
                PACKETS as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return Err(io::Error::last_os_error());
        };
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = (header.msg_len as usize).min(PACKET);
        }
        self.count = count;
        Ok(())
    }
}
