//! Where the programs under test are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Finds the program `name` of this workspace: what the environment variable of that name in capitals says, or else
/// the one that Cargo has put beside the running test.
///
/// # Errors
/// It isn't built.
pub fn find(name: &str) -> Result<PathBuf> {
    let variable = name.to_uppercase();
    if let Some(path) = std::env::var_os(&variable) {
        return Ok(path.into());
    }
    let directory = directory()?;
    let path = directory.join(name);
    ensure!(
        path.exists(),
        "{} is not there: build it with `cargo build --workspace --exclude lb-ebpf`, or say ${variable}",
        path.display()
    );
    Ok(path)
}

/// Where cargo puts what it builds.
pub(crate) fn directory() -> Result<PathBuf> {
    let running = std::env::current_exe().context("cannot tell where this program is")?;
    let parent = running.parent().unwrap_or(Path::new("."));
    // target/debug/deps/failover-0123 or target/debug/demo
    let directory = if parent.ends_with("deps") {
        parent.parent().unwrap_or(parent)
    } else {
        parent
    };
    Ok(directory.to_owned())
}
