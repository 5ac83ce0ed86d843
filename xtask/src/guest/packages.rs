//! Debian's packages, which are unpacked and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{announce, run};

/// A root with `package` and all that it needs, in `directory`; what is there already is taken.
pub(super) fn unpack(package: &str, directory: &Path) -> Result<PathBuf> {
    let root = directory.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    announce(&format!("Fetching {package} and what it needs"));
    let download = directory.join("download");
    // apt-get wants that folder to be there.
    fs::create_dir_all(download.join("partial"))?;
    run(Command::new("apt-get")
        .args(["-qq", "--yes", "--no-install-recommends", "--download-only"])
        .args(["-o", "APT::Sandbox::User=root"])
        // As if nothing were installed: all that it needs is fetched.
        .args(["-o", "Dir::State::status=/dev/null"])
        .arg("-o")
        .arg(format!("Dir::Cache::archives={}", download.display()))
        .args(["install", package]))?;
    let draft = directory.join("draft");
    drop(fs::remove_dir_all(&draft));
    let mut count = 0;
    for entry in fs::read_dir(&download).with_context(|| format!("cannot read {}", download.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(path).arg(&draft))?;
            count += 1;
        }
    }
    ensure!(count > 0, "apt-get has downloaded nothing");
    fs::remove_dir_all(&download)?;
    fs::rename(&draft, &root)?;
    Ok(root)
}
