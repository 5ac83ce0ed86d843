//! The file system that pins live on.
#![allow(
    unsafe_code,
    reason = "statfs(2) and mount(2) have no safe wrapper among our dependencies"
)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// `BPF_FS_MAGIC` of `include/uapi/linux/magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Makes sure that `pin_dir` exists, lies on a bpffs, and has the directories `maps` and `links`. Mounts a bpffs at
/// `/sys/fs/bpf` for a directory below that, else at `pin_dir` itself.
pub(super) fn ensure(pin_dir: &Path) -> io::Result<()> {
    let customary = Path::new("/sys/fs/bpf");
    if pin_dir.starts_with(customary) && !is_bpffs(customary)? {
        mount(customary)?;
    }
    fs::create_dir_all(pin_dir)?;
    if !is_bpffs(pin_dir)? {
        mount(pin_dir)?;
    }
    fs::create_dir_all(pin_dir.join("maps"))?;
    fs::create_dir_all(pin_dir.join("links"))
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut status = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` is a C string and `status` has room for a `statfs`.
    if unsafe { libc::statfs(path.as_ptr(), status.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statfs(2) returned 0, so that it has written the whole structure.
    let status = unsafe { status.assume_init() };
    Ok(status.f_type == BPF_FS_MAGIC)
}

fn mount(path: &Path) -> io::Result<()> {
    let target = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: all four strings are C strings; bpffs takes its options as text.
    let result = unsafe {
        libc::mount(
            c"bpf".as_ptr(),
            target.as_ptr(),
            c"bpf".as_ptr(),
            flags,
            c"mode=0700".as_ptr().cast(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
