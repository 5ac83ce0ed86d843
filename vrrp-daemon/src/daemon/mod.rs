//! To come.

use std::path::PathBuf;

use crate::config::Loaded;

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file that the configuration came from, read again on reload.
    pub config_path: PathBuf,
    /// The configuration.
    pub loaded: Loaded,
    /// Have the XDP program log what it does with packets.
    pub trace_packets: bool,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What kept it from starting, or from going on.
pub fn run(options: Options) -> anyhow::Result<()> {
    drop(options);
    anyhow::bail!("to come")
}
