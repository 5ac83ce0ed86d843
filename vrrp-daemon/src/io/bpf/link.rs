//! Two bpf(2) commands that the eBPF library does not offer.
#![allow(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper for these commands among our dependencies"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// `enum bpf_cmd` of `include/uapi/linux/bpf.h`.
const BPF_OBJ_GET: libc::c_int = 7;
/// Since Linux 5.9.
const BPF_LINK_DETACH: libc::c_int = 34;

/// The part of `union bpf_attr` that `BPF_OBJ_GET` reads.
#[repr(C)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_DETACH` reads.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

/// Detaches the link that is pinned at `path`: when this returns, its program is off the interface.
///
/// Letting go of the last reference detaches a link as well, but some time later (a pin's reference is put after an
/// RCU grace period, the link freed by a kernel worker); an attachment in that time would find the interface busy.
pub(super) fn detach_pinned(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjGet {
        pathname: path.as_ptr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: the command reads the attributes and the path, which outlive the call.
    let fd = unsafe { bpf(BPF_OBJ_GET, &attributes) }?;
    // SAFETY: the kernel has just returned this descriptor, which nobody else knows.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    let attributes = LinkDetach {
        link_fd: link.as_raw_fd().unsigned_abs(),
    };
    // SAFETY: the command reads the attributes only.
    unsafe { bpf(BPF_LINK_DETACH, &attributes) }.map(drop)
}

/// bpf(2).
///
/// # Safety
/// `attributes` must be what `command` reads and no more than it may write to.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the caller's.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as libc::c_int)
    }
}
