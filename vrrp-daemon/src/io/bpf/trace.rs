//! What the program logs of packets when it is asked to (`lbd run --trace-packets`).

use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Error;

/// The program's log lines, on their way into the daemon's log.
pub struct PacketTrace {
    logger: EbpfLogger<&'static dyn log::Log>,
}

impl PacketTrace {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let logger = EbpfLogger::init(ebpf).map_err(|_| Error::Missing("map `AYA_LOGS`"))?;
        Ok(Self { logger })
    }

    /// Copies lines for as long as it is polled. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the runtime cannot watch the ring buffer.
    pub async fn copy(self) -> io::Result<()> {
        #[allow(
            unsafe_code,
            reason = "only the caller of register can know what the file descriptor does"
        )]
        // SAFETY: the logger owns the ring buffer's descriptor, which stays open and the same as long as it lives, and
        // it lives in the AsyncFd from here on.
        let mut logger = unsafe { AsyncFd::register_with_interest(self.logger, Interest::READABLE) }?;
        loop {
            let mut guard = logger.readable_mut().await?;
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
    }
}
