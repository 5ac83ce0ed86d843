//! Connections, and the table that remembers them.
//!
//! A connection is known by a keyed [hash](Connection) of its addresses, ports and protocol. That names two
//! [buckets](Places) of the map `FLOWS`, each a cache line of eight [words](FlowWord), and the [tag](FlowWord::tag) by
//! which a word says that it is this connection's. A word has all that a packet needs: whether the connection is
//! established, when it was last seen, and the slot of its real server. It is read with one load and changed with one
//! compare-and-swap, so that nothing tears.
//!
//! Two choices with eight words each fill a table to six tenths before anything is refused (Mitzenmacher, "The power of
//! two choices in randomized load balancing", 2001). Addresses and ports are in an array beside it ([`FlowName`]), for
//! people and for other directors; the program only writes them.

mod clock;
mod connection;
mod name;
mod places;
mod word;

pub use clock::{FlowClock, FlowTime};
pub use connection::{Connection, FlowKey, FlowKey4, FlowKey6, FlowSecret, PLACEMENT_KEY, spread};
pub use name::FlowName;
pub use places::{Places, flow_buckets};
pub use word::{FlowBucket, FlowWord, WORDS_PER_BUCKET, flow_state};
