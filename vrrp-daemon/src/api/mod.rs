//! What the daemon and its commands say to each other over the control socket.
//!
//! One request per connection: the client writes a [`Request`] as one line of JSON, the daemon answers with a
//! [`Response`] as one line of JSON and closes. These are the only types of the daemon that derive `Serialize`;
//! `lbd status --json` prints [`Status`] as it is, so its fields may grow in number but never change their names.

mod status;
mod timestamp;

use serde::{Deserialize, Serialize};

pub use status::{
    AttachedMode, DataplaneStatus, InstanceState, InstanceStatus, InterfaceStatus, LastCheck,
    RealServerState, RealServerStatus, Status, VirtualServerState, VirtualServerStatus,
};
pub use timestamp::Timestamp;

/// What a command asks of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Report what the daemon is doing. Answered with [`Response::Status`].
    Status,
    /// Read the configuration file again and carry it out. Answered with [`Response::Done`] or
    /// [`Response::Refused`].
    Reload,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// What the daemon is doing.
    Status(Box<Status>),
    /// What was asked is done.
    Done {
        /// What a person should know about it (perhaps several lines); may be empty.
        message: String,
    },
    /// What was asked was not done, and nothing has changed.
    Refused {
        /// Why, for a person; perhaps several lines.
        message: String,
    },
}
