//! The room that does: every contact with the kernel and the network, and not one decision.
//!
//! A socket belongs to the network namespace of the thread that made it. Everything here is made by the thread that
//! uses it and is polled on that thread's own runtime, so that a whole daemon can run in any namespace.

pub mod arp;
pub mod arp_ignore;
pub mod batch;
pub mod bpf;
pub mod clock;
pub mod control;
pub mod dump;
pub mod ethtool;
pub mod grace;
pub mod ledger;
pub mod limits;
mod link_groups;
pub mod netlink;
pub mod probe;
pub mod random;
pub mod rtnl;
pub mod service_manager;
pub mod vrrp_socket;
