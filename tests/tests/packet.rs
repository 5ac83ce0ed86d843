//! Tier 1: the XDP program itself, in the kernel, one packet at a time. Each packet has one verdict; what else changes
//! (two link-layer addresses, counters, flows) is compared byte for byte.
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::type_complexity, reason = "tables of cases say what they hold")]

#[path = "packet/access.rs"]
mod access;
#[path = "packet/advertisements.rs"]
mod advertisements;
#[path = "packet/answers.rs"]
mod answers;
#[path = "packet/counting.rs"]
mod counting;
#[path = "packet/episodes.rs"]
mod episodes;
#[path = "packet/floods.rs"]
mod floods;
#[path = "packet/flows.rs"]
mod flows;
#[path = "packet/fragments.rs"]
mod fragments;
#[path = "packet/frames.rs"]
mod frames;
#[path = "packet/headers.rs"]
mod headers;
#[path = "packet/icmp.rs"]
mod icmp;
#[path = "packet/local.rs"]
mod local;
#[path = "packet/object.rs"]
mod object;
#[path = "packet/policy.rs"]
mod policy;
#[path = "packet/ports.rs"]
mod ports;
#[path = "packet/resets.rs"]
mod resets;
#[path = "packet/schedule.rs"]
mod schedule;
#[path = "packet/sctp.rs"]
mod sctp;
#[path = "packet/tunnels.rs"]
mod tunnels;
#[path = "packet/unreachable.rs"]
mod unreachable;
#[path = "packet/verifier.rs"]
mod verifier;
#[path = "packet/world.rs"]
mod world;
