//! Debian's kernel, from its package, which is unpacked and not installed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{announce, run};

/// The package that depends on the newest kernel.
const NEWEST: &str = "linux-image-amd64";

/// An unpacked kernel.
pub(super) struct Kernel {
    root: PathBuf,
    version: String,
}

impl Kernel {
    /// The newest kernel of this machine's distribution, in `directory`; what is there already is taken.
    pub(super) fn fetch(directory: &Path) -> Result<Self> {
        if let Some(kernel) = Self::unpacked(directory) {
            return Ok(kernel);
        }
        let output = Command::new("apt-cache")
            .args(["depends", NEWEST])
            .output()
            .context("cannot run apt-cache: the guest needs a kernel of Debian's")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let package = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: "))
            .with_context(|| format!("apt-cache knows no kernel behind {NEWEST}"))?;
        announce(&format!("Fetching {package}"));
        let download = directory.join("download");
        fs::create_dir_all(&download)?;
        run(Command::new("apt-get")
            .args(["-qq", "-o", "APT::Sandbox::User=root", "download", package])
            .current_dir(&download))?;
        let archive = fs::read_dir(&download)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get has downloaded nothing")?;
        let draft = directory.join("kernel.draft");
        drop(fs::remove_dir_all(&draft));
        run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&draft))?;
        fs::rename(&draft, directory.join("kernel"))?;
        fs::remove_dir_all(&download)?;
        let kernel = Self::unpacked(directory).context("the package holds no kernel")?;
        run(Command::new("depmod")
            .arg("--basedir")
            .arg(&kernel.root)
            .arg(&kernel.version))?;
        Ok(kernel)
    }

    fn unpacked(directory: &Path) -> Option<Self> {
        let root = directory.join("kernel");
        let modules = fs::read_dir(root.join("lib/modules")).ok()?;
        let version = modules.flatten().next()?.file_name().into_string().ok()?;
        Some(Self { root, version })
    }

    /// Its version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// What is booted.
    pub(super) fn image(&self) -> PathBuf {
        self.root.join(format!("boot/vmlinuz-{}", self.version))
    }

    /// The files of the modules `names` and of those that they need, in the order in which they can be loaded.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let folder = self.root.join("lib/modules").join(&self.version);
        let text = fs::read_to_string(folder.join("modules.dep")).context("depmod has made no list")?;
        // kernel/net/8021q/8021q.ko: kernel/net/802/mrp.ko kernel/net/802/garp.ko kernel/net/llc/llc.ko
        let needs: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let mut files: Vec<&str> = Vec::new();
        for name in names {
            let file_name = format!("/{name}.ko");
            let module = needs.keys().find(|path| path.ends_with(&file_name));
            let module = module.with_context(|| format!("Linux {} has no module {name}", self.version))?;
            // The last is needed first; the list is complete.
            for file in needs[module].split_whitespace().rev().chain([*module]) {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        let files: Vec<PathBuf> = files.into_iter().map(|file| folder.join(file)).collect();
        ensure!(
            files.iter().all(|file| file.exists()),
            "modules are missing: {files:?}"
        );
        Ok(files)
    }
}
