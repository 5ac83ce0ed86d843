//! What an operator should know now.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Something that is not as it should be. It is in the status for as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem.
    pub code: ProblemCode,
    /// What has it: the name of a virtual router, an interface, a service, a directory.
    pub subject: String,
    /// What is wrong, and what helps, for a person.
    pub message: String,
    /// When it began.
    pub since: Timestamp,
}

/// The kinds of problems. Other programs know them by these words, which never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The pins will not outlive the daemon: they are in a private mount namespace. The subject is `pin_dir`.
    PinsPrivate,
}
