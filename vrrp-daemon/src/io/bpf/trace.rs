//! What the program logs of packets when it is asked to (`lbd run --trace-packets`).

use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;
use lb_common::Verdict;
use log::{Log, Metadata, Record};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Error;

/// The program's log lines, on their way into the daemon's log.
pub struct PacketTrace {
    logger: EbpfLogger<Lines>,
}

impl PacketTrace {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let logger =
            EbpfLogger::init_with_logger(ebpf, Lines).map_err(|_| Error::Missing("map `AYA_LOGS`"))?;
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

/// Takes the program's lines, each of which begins with the number of a verdict.
struct Lines;

impl Log for Lines {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        tracing::info!("{}", readable(&record.args().to_string()));
    }

    fn flush(&self) {}
}

/// The line with words in place of the verdict's and of the protocol's numbers.
fn readable(line: &str) -> String {
    let Some((verdict, rest)) = line.split_once(' ').and_then(|(number, rest)| {
        let verdict = Verdict::ALL.get(number.parse::<usize>().ok()?)?;
        Some((verdict, rest))
    }) else {
        return line.to_owned();
    };
    let rest = rest
        .replacen(" protocol 6 ", " tcp ", 1)
        .replacen(" protocol 17 ", " udp ", 1)
        .replacen(" protocol 132 ", " sctp ", 1);
    format!("{} {rest}: {}", verdict.name(), verdict.explanation())
}

#[cfg(test)]
mod tests {
    use lb_common::Verdict;

    use super::readable;

    #[test]
    fn a_line_tells_the_verdict_in_words() {
        let line = |verdict: Verdict, rest: &str| readable(&format!("{} {rest}", verdict as u32));
        assert_eq!(
            line(
                Verdict::ForwardFlow,
                "interface 2 protocol 6 198.51.100.7 port 40000 > 10.0.0.3 port 80"
            ),
            "forward_flow interface 2 tcp 198.51.100.7 port 40000 > 10.0.0.3 port 80: a known connection"
        );
        assert_eq!(
            line(
                Verdict::PassNotOurs,
                "interface 2 protocol 1 198.51.100.7 > 10.0.0.9"
            ),
            "pass_not_ours interface 2 protocol 1 198.51.100.7 > 10.0.0.9: to none of our virtual addresses or services"
        );
    }

    #[test]
    fn a_line_that_is_no_verdict_stays_as_it_is() {
        for line in ["", "14", "999 interface 2", "something else"] {
            assert_eq!(readable(line), line);
        }
    }
}
