//! The kernel's links, addresses, routes and neighbours, by rtnetlink(7).
//!
//! [`Netlink`] asks and orders, [`Events`] tells what changed, and the [`Resolver`] uses both to know how each real
//! server is reached. Requests and notices have a socket each: notices that overflow their socket could otherwise take
//! the answer to a request with them, and the request would wait for ever.

mod addresses;
mod events;
mod links;
mod neighbours;
mod netdev;
mod resolver;
mod routes;
mod xdp;

use std::io;

use rtnetlink::Handle;

use super::limits::Remedied;

pub use addresses::InterfaceAddress;
pub use addresses::OwnAddress;
pub use events::{Event, Events, Topic};
pub use links::{Build, Link, OtherEnd};
pub use neighbours::Neighbour;
pub use netdev::{XdpFeatures, xdp_act};
pub use resolver::{Observed, Resolution, Resolver, Unreachable};
pub use xdp::XdpProgram;

/// Why the kernel could not be asked, or would not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {}", Remedied(.0))]
    Open(io::Error),
    /// The kernel refused.
    #[error("cannot {request}: {cause}")]
    Refused {
        /// What it was asked for: a verb and its object.
        request: String,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// The socket failed for good; a new one must be opened.
    #[error("the netlink socket closed")]
    Closed,
}

impl Error {
    /// The error of `request`, a verb and its object.
    fn of(request: impl Into<String>, error: rtnetlink::Error) -> Self {
        if error == rtnetlink::Error::RequestFailed {
            return Self::Closed;
        }
        Self::Refused {
            request: request.into(),
            cause: match errno(&error) {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::other(error),
            },
        }
    }
}

/// The error number in `error`, if it is the kernel's answer.
fn errno(error: &rtnetlink::Error) -> Option<i32> {
    if let rtnetlink::Error::NetlinkError(message) = error {
        Some(message.raw_code().abs())
    } else {
        None
    }
}

/// Questions and orders to the kernel, about the network namespace that it was opened in.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens a netlink socket in the calling thread's network namespace, served by a task of the current runtime.
    ///
    /// # Errors
    /// [`Error::Open`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn new() -> Result<Self, Error> {
        let (connection, handle, unasked) = rtnetlink::new_connection().map_err(Error::Open)?;
        // This socket is in no multicast group: nothing comes unasked, and the task ends with the last handle.
        drop(unasked);
        tokio::spawn(connection);
        Ok(Self { handle })
    }
}
