//! What the kernel lets this process have.
#![allow(
    unsafe_code,
    reason = "getrlimit(2) and setrlimit(2) have no safe wrapper among our dependencies"
)]

use std::io;

/// Raises the number of file descriptors to the most that this process may have: each probe under way takes one, and
/// thousands of real servers may all be slow to answer.
///
/// # Errors
/// The system call that failed.
pub fn raise_file_descriptors() -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a `rlimit` to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a `rlimit` to read from.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
