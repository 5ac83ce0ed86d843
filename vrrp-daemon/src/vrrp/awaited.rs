//! What a node waits for before it preempts a master that is well.

use std::collections::BTreeSet;
use std::fmt;

/// What is not known of the real servers yet. While there is any of it, the node is *cold*: it could serve nobody, or
/// servers that have died meanwhile, and leaves a master that advertises alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// An interface by which real servers were reached has no link.
    Link {
        /// Its name.
        interface: String,
    },
    /// Health checks have had no outcome.
    Checks,
    /// Link-layer addresses are not known.
    Neighbours,
    /// The maps do not have all that is known.
    Maps,
}

impl fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { interface } => write!(formatter, "the link of {interface}"),
            Self::Checks => formatter.write_str("health checks"),
            Self::Neighbours => formatter.write_str("neighbours"),
            Self::Maps => formatter.write_str("the maps"),
        }
    }
}

impl Awaited {
    /// All of it in a row of words.
    #[must_use]
    pub fn list(awaited: &BTreeSet<Self>) -> String {
        let words: Vec<String> = awaited.iter().map(Self::to_string).collect();
        words.join(", ")
    }
}
