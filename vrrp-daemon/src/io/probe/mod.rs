//! Health checks as they touch the network: one file per kind, each `(target, parameters) -> outcome`.

mod source;
pub mod tcp;

use crate::model::CheckKind;
pub use source::Sources;
pub use tcp::ProbeError;

/// Tries `kind` once, from one of `sources`.
///
/// # Errors
/// Why the check did not pass, or could not be made.
pub async fn probe(kind: &CheckKind, sources: &Sources) -> Result<(), ProbeError> {
    match kind {
        CheckKind::Tcp {
            target,
            connect_timeout,
        } => tcp::probe(*target, *connect_timeout, sources).await,
    }
}
