//! Touches the world and decides nothing.

pub mod control;
