//! Health checks as they touch the network: one file per kind, each `(target, parameters) -> outcome`.

mod source;
pub mod tcp;

pub use source::Sources;
