//! Who may use the virtual services.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ipnet::IpNet;

/// The lists in `[dataplane]`. Where prefixes overlap, the longest one of an address counts, in whichever list it is;
/// what is in both is blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLists {
    /// Whose packets reach no service.
    pub block: BTreeSet<IpNet>,
    /// Who alone may begin connections; empty: everybody.
    pub allow: BTreeSet<IpNet>,
    /// Where more are that are blocked.
    pub block_file: Option<PathBuf>,
    /// Where more are that are allowed.
    pub allow_file: Option<PathBuf>,
}
