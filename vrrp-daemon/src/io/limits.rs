//! What the kernel lets this process have: capabilities, descriptors, memory, time.

use std::io;

use caps::{CapSet, Capability};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a director cannot do without, each with the capability that stood for it in older kernels and does still.
const CAPABILITIES: [(Capability, Option<Capability>); 4] = [
    (Capability::CAP_NET_ADMIN, None),
    (Capability::CAP_NET_RAW, None),
    (Capability::CAP_BPF, Some(Capability::CAP_SYS_ADMIN)),
    (Capability::CAP_PERFMON, Some(Capability::CAP_SYS_ADMIN)),
];

/// The capabilities that this process lacks. What would fail for want of one, in the middle of a takeover perhaps, is
/// better not begun.
///
/// # Errors
/// If the kernel does not tell which ones there are.
pub fn missing_capabilities() -> io::Result<Vec<Capability>> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).map_err(io::Error::other);
    let mut missing = Vec::new();
    for (capability, substitute) in CAPABILITIES {
        if !has(capability)? && !substitute.map_or(Ok(false), has)? {
            missing.push(capability);
        }
    }
    Ok(missing)
}

/// Raises the number of file descriptors to the most that this process may have: each probe under way takes one, and
/// thousands of real servers may all be slow to answer.
///
/// # Errors
/// The system call that failed.
pub fn raise_file_descriptors() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Keeps the memory of this process in RAM, each page from when it is first touched: an advertisement must not wait for
/// a disk.
///
/// # Errors
/// The system call that failed; that needs CAP_IPC_LOCK, or a large enough RLIMIT_MEMLOCK.
pub fn lock_memory() -> io::Result<()> {
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    Ok(mlockall(
        MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault,
    )?)
}

/// Puts the calling thread ahead of all that is not real-time, at the lowest real-time priority: an advertisement that
/// is late on a busy machine is a failover. What the thread starts is ordinary again.
///
/// # Errors
/// The system call that failed; that needs CAP_SYS_NICE.
#[allow(
    unsafe_code,
    reason = "sched_setscheduler(2) has no safe wrapper among our dependencies"
)]
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
