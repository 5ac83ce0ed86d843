//! The room `io` against the real kernel, in network namespaces. Needs root.

mod addresses;
mod announce;
mod events;
mod links;
mod namespace;
mod probe;
mod resolver;
mod vrrp_socket;
