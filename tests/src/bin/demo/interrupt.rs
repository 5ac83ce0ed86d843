//! Ctrl-C in the middle of the demo: the network goes, whatever the demo was waiting for.

#![allow(unsafe_code, reason = "the standard library knows no signals")]

use std::io;
use std::mem::MaybeUninit;

/// From now on, SIGINT and SIGTERM remove the lab `name` and end this process.
///
/// To be called while there is one thread: the others inherit that they don't take these signals.
pub(crate) fn tear_down_when_interrupted(name: &'static str) -> io::Result<()> {
    let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that it is given, and the others only add to it.
    let signals = unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGINT);
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGTERM);
        signals.assume_init()
    };
    // SAFETY: the set is initialised; the old mask isn't asked for. (A spawned program starts with no signal blocked.)
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    std::thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: both point to live values of the right types.
        if unsafe { libc::sigwait(&raw const signals, &raw mut signal) } == 0 {
            eprintln!("\nInterrupted: removing the network.");
            lab::teardown(name);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
