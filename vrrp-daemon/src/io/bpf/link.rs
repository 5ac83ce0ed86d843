//! Pinned links: what ties the program to an interface and outlives the daemon.
#![allow(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper for these commands among our dependencies"
)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// `enum bpf_cmd` of `include/uapi/linux/bpf.h`.
mod command {
    pub(super) const OBJ_PIN: libc::c_int = 6;
    pub(super) const OBJ_GET: libc::c_int = 7;
    pub(super) const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    pub(super) const LINK_UPDATE: libc::c_int = 29;
    /// Since Linux 5.9.
    pub(super) const LINK_DETACH: libc::c_int = 34;
}

/// The part of `union bpf_attr` that `BPF_OBJ_PIN` and `BPF_OBJ_GET` read.
#[repr(C)]
struct Object {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The part of `union bpf_attr` that `BPF_OBJ_GET_INFO_BY_FD` reads.
#[repr(C)]
struct InfoByFd {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// The part of `union bpf_attr` that `BPF_LINK_UPDATE` reads.
#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_DETACH` reads.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

/// `struct bpf_link_info`, as far as the kernel fills it in for XDP.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program_id: u32,
    _alignment: u32,
    interface: u32,
    _rest: [u32; 3],
}

/// A link of the program, and its pin.
#[derive(Debug)]
pub(super) struct PinnedLink {
    link: OwnedFd,
    path: PathBuf,
}

impl PinnedLink {
    /// The link that is pinned at `path`.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let name = c_string(&path)?;
        let attributes = Object {
            pathname: name.as_ptr() as u64,
            bpf_fd: 0,
            file_flags: 0,
        };
        // SAFETY: the command reads the attributes and the path, which outlive the call.
        let fd = unsafe { bpf(command::OBJ_GET, &attributes) }?;
        // SAFETY: the kernel has just returned this descriptor, which nobody else knows.
        let link = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { link, path })
    }

    /// The index of the interface that the program is attached to by this link: none if the interface is gone, or if
    /// somebody has detached the link.
    pub(super) fn interface(&self) -> io::Result<Option<u32>> {
        let mut info = LinkInfo::default();
        let attributes = InfoByFd {
            bpf_fd: number(&self.link),
            info_len: size_of::<LinkInfo>() as u32,
            info: (&raw mut info) as u64,
        };
        // SAFETY: the command writes at most `info_len` bytes to `info`, which outlives the call and is made of
        // integers only.
        unsafe { bpf(command::OBJ_GET_INFO_BY_FD, &attributes) }?;
        Ok((info.interface != 0).then_some(info.interface))
    }

    /// Has the link run `program` from now on: no packet in between meets none.
    pub(super) fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let attributes = LinkUpdate {
            link_fd: number(&self.link),
            new_prog_fd: program.as_raw_fd().unsigned_abs(),
            flags: 0,
            old_prog_fd: 0,
        };
        // SAFETY: the command reads the attributes only.
        unsafe { bpf(command::LINK_UPDATE, &attributes) }.map(drop)
    }

    /// Where it is pinned.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Pins it at `path` in the place of where it is pinned now, or should be.
    pub(super) fn pin_at(&mut self, path: PathBuf) -> io::Result<()> {
        remove(&path)?;
        let name = c_string(&path)?;
        let attributes = Object {
            pathname: name.as_ptr() as u64,
            bpf_fd: number(&self.link),
            file_flags: 0,
        };
        // SAFETY: the command reads the attributes and the path, which outlive the call.
        unsafe { bpf(command::OBJ_PIN, &attributes) }?;
        let before = mem::replace(&mut self.path, path);
        if before == self.path {
            return Ok(());
        }
        remove(&before)
    }

    /// Detaches the link and removes its pin: when this returns, the program is off the interface.
    ///
    /// Letting go of the last reference detaches a link as well, but some time later (a pin's reference is put after
    /// an RCU grace period, the link freed by a kernel worker); an attachment in that time would find the interface
    /// busy.
    pub(super) fn detach(self) -> io::Result<()> {
        let attributes = LinkDetach {
            link_fd: number(&self.link),
        };
        // SAFETY: the command reads the attributes only.
        unsafe { bpf(command::LINK_DETACH, &attributes) }?;
        remove(&self.path)
    }
}

/// Removes the file at `path`, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn c_string(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// A descriptor as bpf(2) takes it.
fn number(descriptor: &OwnedFd) -> u32 {
    descriptor.as_raw_fd().unsigned_abs()
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
