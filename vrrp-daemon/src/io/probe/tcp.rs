//! The check that passes when a TCP connection opens.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time;

use crate::io::limits::Remedied;

use super::source::{NoSource, Sources, leave_port_open};

/// Why the check did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No answer in time.
    #[error("{target} did not answer within {}", humantime::format_duration(*.connect_timeout))]
    Timeout {
        /// The address and port that were tried.
        target: SocketAddr,
        /// How long was waited.
        connect_timeout: Duration,
    },
    /// Nothing listens there.
    #[error("{target} refused the connection")]
    Refused {
        /// The address and port that were tried.
        target: SocketAddr,
    },
    /// The machine does not answer ARP or neighbour discovery, or a router says that it cannot reach it.
    #[error("{target} is unreachable")]
    Unreachable {
        /// The address and port that were tried.
        target: SocketAddr,
    },
    /// This machine's routing table leads nowhere, or its interface is down.
    #[error("there is no route to {target}")]
    NoRoute {
        /// The address and port that were tried.
        target: SocketAddr,
    },
    /// This machine has nothing but a virtual address to check from, and the target would answer that to itself.
    #[error(
        "there is no address to check {target} from but the virtual address {source_address}: give this node one of \
         its own in that network"
    )]
    OnlyVirtual {
        /// The address and port that were to be tried.
        target: SocketAddr,
        /// The virtual address.
        source_address: IpAddr,
    },
    /// The connection failed otherwise.
    #[error("the connection to {target} failed: {cause}")]
    Failed {
        /// The address and port that were tried.
        target: SocketAddr,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// The check could not even begin, which says nothing about the target: out of file descriptors, ports or memory.
    #[error("cannot check {target}: {}", Remedied(.cause))]
    NotMade {
        /// The address and port that were to be tried.
        target: SocketAddr,
        /// The kernel's answer.
        cause: io::Error,
    },
}

/// Opens a TCP connection to `target`, from one of `sources`, and aborts it.
///
/// The abort (a RST, by SO_LINGER of zero) keeps connections in TIME_WAIT from piling up: thousands of real servers
/// that are checked every few seconds would otherwise hold a hundred thousand of them here.
///
/// # Errors
/// The connection did not open within `connect_timeout`.
pub async fn probe(
    target: SocketAddr,
    connect_timeout: Duration,
    sources: &Sources,
) -> Result<(), ProbeError> {
    let not_made = |cause| ProbeError::NotMade { target, cause };
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(not_made)?;
    socket.set_zero_linger().map_err(not_made)?;
    match sources.choose(target).await {
        Ok(source) => {
            leave_port_open(&socket).map_err(not_made)?;
            socket.bind(source).map_err(not_made)?;
        }
        // Connecting says the same, in the kernel's words for it.
        Err(NoSource::NoRoute) => {}
        Err(NoSource::OnlyVirtual(source_address)) => {
            return Err(ProbeError::OnlyVirtual {
                target,
                source_address,
            });
        }
        Err(NoSource::Failed(cause)) => return Err(not_made(cause)),
    }
    match time::timeout(connect_timeout, socket.connect(target)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(cause)) => Err(classify(target, cause)),
        Err(_) => Err(ProbeError::Timeout {
            target,
            connect_timeout,
        }),
    }
}

fn classify(target: SocketAddr, cause: io::Error) -> ProbeError {
    match cause.raw_os_error() {
        Some(libc::ECONNREFUSED) => ProbeError::Refused { target },
        Some(libc::EHOSTUNREACH) => ProbeError::Unreachable { target },
        Some(libc::ENETUNREACH | libc::ENETDOWN) => ProbeError::NoRoute { target },
        Some(libc::EADDRNOTAVAIL | libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => {
            ProbeError::NotMade { target, cause }
        }
        Some(_) | None => ProbeError::Failed { target, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_without_a_file_to_have_says_what_helps() {
        let error = ProbeError::NotMade {
            target: ([10, 0, 0, 11], 80).into(),
            cause: io::Error::from_raw_os_error(libc::EMFILE),
        };
        let said = error.to_string();
        assert!(
            said.starts_with("cannot check 10.0.0.11:80: Too many open files"),
            "{said}"
        );
        assert!(said.contains("`LimitNOFILE=`"), "{said}");
    }
}
