//! What the kernel lets this process have: descriptors, memory, time.
#![allow(
    unsafe_code,
    reason = "these system calls have no safe wrapper among our dependencies"
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

/// Keeps the memory of this process in RAM, each page from when it is first touched: an advertisement must not wait for
/// a disk.
///
/// # Errors
/// The system call that failed; that needs CAP_IPC_LOCK, or a large enough RLIMIT_MEMLOCK.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: the call changes no memory, only where it may be.
    let result = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Puts the calling thread ahead of all that is not real-time, at the lowest real-time priority: an advertisement that
/// is late on a busy machine is a failover. What the thread starts is ordinary again.
///
/// # Errors
/// The system call that failed; that needs CAP_SYS_NICE.
pub fn run_in_real_time() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and `parameters` is read only.
    let result = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
