//! The lab: a network of namespaces in which `lbd` meets real clients, real servers and real Keepalived.
//!
//! ```text
//!            client 10.0.0.200
//!               │
//!   ┌───────────┴──────────── switch (a bridge) ─────────────────────┐
//!   │            │              │                │                   │
//! director1   director2        rs1              rs2                 rs3
//! 10.0.0.1    10.0.0.2         10.0.0.11        10.0.0.12           10.0.0.13     nginx :80, responder :7
//!   └── VIP 10.0.0.100 ──┘     └──────────── VIP 10.0.0.100 on lo ────────┘
//! ```
//!
//! [`Lab::new`] lays it out, and [`Topology`] what differs from it; [`Director`] runs `lbd`, [`Keepalived`] what it is
//! compared with; [`Client`], [`Probe`], [`Session`], [`Connections`], [`Load`] and [`ArpWatch`] are how a client sees
//! it all; [`Filter`], [`Claim`] and [`Wire`] are what gets in the way. `lbd` is driven only as its users drive it: by
//! its command line, its configuration file, signals and `lbd status --json`.
//!
//! Nothing here waits for a fixed time: [`wait::until`] looks at a condition until a deadline.

mod arp;
mod binaries;
mod claim;
mod client;
mod clients;
mod configuration;
mod connections;
pub mod dataplane;
mod director;
mod filter;
mod keepalived;
mod keepalived_conf;
mod layout;
mod load;
mod namespace;
mod node;
mod notify;
pub mod packet;
mod path;
mod port;
mod probe;
mod process;
mod real_server;
mod session;
mod status;
mod teardown;
mod topology;
pub mod wait;
mod wire;

pub use arp::{ArpReport, ArpWatch};
pub use binaries::find as find_binary;
pub use claim::Claim;
pub use client::{Client, Fetched};
pub use clients::{Clients, Seen};
pub use configuration::{Configuration, virtual_server};
pub use connections::{Connections, Exchanged};
pub use director::Director;
pub use filter::{Filter, Hook};
pub use keepalived::Keepalived;
pub use layout::Lab;
pub use load::{Load, LoadReport};
pub use namespace::{Namespace, run};
pub use node::{Interface, Node};
pub use notify::NotifySocket;
pub use port::occupy;
pub use probe::{Gap, Probe, ProbeReport};
pub use process::{Lifetime, Process, Signal};
pub use real_server::{FURTHER_PORTS, RealServer};
pub use session::{Session, SessionReport};
pub use status::{Problem, Status};
pub use teardown::teardown;
pub use topology::{Link, SWITCH, Topology};
pub use wire::Wire;

use std::net::{Ipv4Addr, Ipv6Addr};

/// The virtual address that the directors share by VRRP.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

/// A virtual address without VRRP: the client has a route to it by way of the first director.
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x6c62, 0, 1, 0, 0, 0, 0x100);

/// The port of the responders: UDP and TCP, the echo service's (RFC 862).
pub const ECHO: u16 = 7;
