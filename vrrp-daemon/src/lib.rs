//! `lbd`: a highly available layer-4 load balancer.
//!
//! Rooms that decide know no socket, clock, kernel or map: [`model`], [`config`], [`vrrp`], [`health`], [`director`],
//! [`interfaces`];
//! [`agenda`] tells their containers which of many machines to look at.
//! Rooms that do decide nothing: [`io`] touches the world, [`daemon`] wires the two together in two event loops,
//! [`api`] is what they say over the control socket, [`cli`] the commands. `ARCHITECTURE.md` is the map of the house.

pub mod agenda;
pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod director;
pub mod health;
pub mod interfaces;
pub mod io;
pub mod model;
pub mod vrrp;
