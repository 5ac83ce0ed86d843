//! Ctrl-C in the middle of the demo: the network goes, whatever the demo was waiting for.

#![allow(unsafe_code, reason = "the standard library knows no signals")]

use std::io::{self, Read};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the handler writes the number of the signal.
static NOTICE: AtomicI32 = AtomicI32::new(-1);

/// From now on, SIGINT and SIGTERM remove the lab `name` and end this process.
///
/// By handlers rather than a blocked mask: programs that are started here would inherit the mask, and not hear SIGTERM.
pub(crate) fn tear_down_when_interrupted(name: &'static str) -> io::Result<()> {
    let (mut notices, notice) = UnixStream::pair()?;
    notice.set_nonblocking(true)?;
    // Not closed: the handler may be called until the process ends.
    NOTICE.store(notice.into_raw_fd(), Ordering::Relaxed);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let handler = note as extern "C" fn(libc::c_int);
        // SAFETY: the handler does nothing but write(2), which is async-signal-safe.
        if unsafe { libc::signal(signal, handler as libc::sighandler_t) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    std::thread::spawn(move || {
        let mut signal = [0];
        if notices.read_exact(&mut signal).is_ok() {
            eprintln!("\nInterrupted: removing the network.");
            lab::teardown(name);
            std::process::exit(128 + i32::from(signal[0]));
        }
    });
    Ok(())
}

/// Passes the signal on to the thread that waits for it.
extern "C" fn note(signal: libc::c_int) {
    let byte = signal as u8;
    // SAFETY: write(2) of one byte that lives on this stack. If the socket is full, the thread has work already.
    unsafe { libc::write(NOTICE.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}
