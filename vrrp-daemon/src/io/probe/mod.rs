//! Health checks as they touch the network: one file per kind, each `(target, parameters) -> outcome`.

pub mod tcp;
