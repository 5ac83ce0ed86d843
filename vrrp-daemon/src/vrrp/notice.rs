//! What can be different about another router, and how that is told.

use std::fmt;
use std::net::IpAddr;

use crate::model::{Interval, Version};

/// A router whose advertisements are not as ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The source of the advertisement.
    pub from: IpAddr,
    /// What is different about it.
    pub discrepancy: Discrepancy,
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.discrepancy.ignores() {
            true => "ignoring advertisements",
            false => "advertisement",
        };
        write!(formatter, "{verb} from {}: {}", self.from, self.discrepancy)
    }
}

/// What can be different about another router's advertisements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discrepancy {
    /// It comes from our own address: a second router has it, or the network reflects what we send. Ignored.
    OwnAddress,
    /// It speaks the other version. Ignored.
    Version {
        /// The version that it speaks.
        theirs: Version,
    },
    /// It has another password, none where we have one, or one where we have none. Ignored.
    Password,
    /// It advertises at another interval: ignored in version 2, as by Keepalived (RFC 3768, section 7.1), and adopted
    /// by the backups in version 3.
    Interval {
        /// The version of both.
        version: Version,
        /// Its interval.
        theirs: Interval,
        /// Our interval.
        ours: Interval,
    },
    /// It advertises other addresses. Accepted, as by Keepalived since 2.3.3.
    Addresses {
        /// Its addresses, in ascending order.
        theirs: Vec<IpAddr>,
    },
}

impl Discrepancy {
    /// The advertisements are ignored for it.
    #[must_use]
    pub fn ignores(&self) -> bool {
        match self {
            Self::OwnAddress | Self::Version { .. } | Self::Password => true,
            Self::Interval { version, .. } => *version == Version::V2,
            Self::Addresses { .. } => false,
        }
    }
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnAddress => formatter.write_str("that is our own address"),
            Self::Version { theirs } => write!(formatter, "version {}, not ours", theirs.number()),
            Self::Password => formatter.write_str("the authentication is not ours"),
            Self::Interval { theirs, ours, .. } => write!(
                formatter,
                "interval {:?}, ours is {:?}",
                theirs.duration(),
                ours.duration()
            ),
            Self::Addresses { theirs } => {
                formatter.write_str("its virtual addresses are not ours:")?;
                theirs
                    .iter()
                    .try_for_each(|address| write!(formatter, " {address}"))
            }
        }
    }
}
