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
    /// The pins are gone: maps and links will not outlive the daemon. The subject is `pin_dir`.
    PinsMissing,
    /// Another node is master of the virtual router at the same time. The subject is its name.
    TwoMasters,
    /// Another machine answers for a virtual address. The subject is the address.
    AddressConflict,
    /// Advertisements do not leave this node. The subject is the name of the virtual router.
    AdvertsNotSent,
    /// Another router of the virtual router is configured otherwise. The subject is its name.
    AdvertMismatch,
    /// Something else keeps a virtual router out of the election. The subject is its name.
    NotInElection,
    /// No real server of a virtual service takes new connections. The subject is the service.
    NoSchedule,
    /// Nothing can be sent to a real server. The subject is its address.
    Unresolved,
    /// Packets are lost after they were sent off. The subject is the interface that they were to leave by.
    PacketsLost,
    /// The maps have no room for all that is configured. The subject is what is left out.
    NoRoom,
    /// A virtual service has more new connections than are remembered. The subject is the service.
    NotRemembered,
    /// The maps cannot be written. The subject is what was to be written.
    NotWritten,
    /// The last reload was refused: the file is not what is in force. The subject is the file.
    ReloadRefused,
}

impl ProblemCode {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PinsPrivate => "pins_private",
            Self::PinsMissing => "pins_missing",
            Self::TwoMasters => "two_masters",
            Self::AddressConflict => "address_conflict",
            Self::AdvertsNotSent => "adverts_not_sent",
            Self::AdvertMismatch => "advert_mismatch",
            Self::NotInElection => "not_in_election",
            Self::NoSchedule => "no_schedule",
            Self::Unresolved => "unresolved",
            Self::PacketsLost => "packets_lost",
            Self::NoRoom => "no_room",
            Self::NotRemembered => "not_remembered",
            Self::NotWritten => "not_written",
            Self::ReloadRefused => "reload_refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs_read_the_same_word() {
        for code in [
            ProblemCode::PinsPrivate,
            ProblemCode::PinsMissing,
            ProblemCode::TwoMasters,
            ProblemCode::AddressConflict,
            ProblemCode::AdvertsNotSent,
            ProblemCode::AdvertMismatch,
            ProblemCode::NotInElection,
            ProblemCode::NoSchedule,
            ProblemCode::Unresolved,
            ProblemCode::PacketsLost,
            ProblemCode::NoRoom,
            ProblemCode::NotRemembered,
            ProblemCode::NotWritten,
            ProblemCode::ReloadRefused,
        ] {
            let json = serde_json::to_string(&code).expect("a word");
            assert_eq!(json, format!("\"{}\"", code.name()));
        }
    }
}
