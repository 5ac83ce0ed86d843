//! Tier 1: the XDP program itself, in the kernel, one packet at a time. Each packet has one verdict; what else changes
//! (two link-layer addresses, counters, flows) is compared byte for byte.
#![allow(missing_docs, reason = "a test's name is its documentation")]

#[path = "packet/answers.rs"]
mod answers;
#[path = "packet/flows.rs"]
mod flows;
#[path = "packet/fragments.rs"]
mod fragments;
#[path = "packet/headers.rs"]
mod headers;
#[path = "packet/icmp.rs"]
mod icmp;
#[path = "packet/object.rs"]
mod object;
#[path = "packet/resets.rs"]
mod resets;
#[path = "packet/schedule.rs"]
mod schedule;
#[path = "packet/world.rs"]
mod world;
