//! Debian's kernel, from its package, which is unpacked and not installed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{announce, apt_get, run};

/// An unpacked kernel.
pub(super) struct Kernel {
    root: PathBuf,
    version: String,
}

impl Kernel {
    /// The newest kernel of `series` (6.1, 6.12) that a repository of this machine offers, in `directory`; what is
    /// there already is taken.
    pub(super) fn fetch(directory: &Path, series: &str) -> Result<Self> {
        let root = directory.join(format!("linux-{series}"));
        if let Some(kernel) = Self::unpacked(&root) {
            return Ok(kernel);
        }
        let package = match offered(series)? {
            Some(package) => package,
            None => {
                // It may only be that nobody has asked yet.
                run(&mut apt_get(&["update"]))?;
                offered(series)?.with_context(|| {
                    format!("no repository of this machine offers a kernel of Linux {series}")
                })?
            }
        };
        announce(&format!("Fetching {package}"));
        let download = directory.join("download");
        // A part of what was fetched last time would be taken for what is fetched now.
        drop(fs::remove_dir_all(&download));
        fs::create_dir_all(&download)?;
        run(Command::new("apt-get")
            .args(["-qq", "-o", "APT::Sandbox::User=root", "download", &package])
            .current_dir(&download))?;
        let archive = fs::read_dir(&download)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get has downloaded nothing")?;
        let draft = directory.join("linux.draft");
        drop(fs::remove_dir_all(&draft));
        run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&draft))?;
        fs::remove_dir_all(&download)?;
        let unpacked = Self::unpacked(&draft).context("the package holds no kernel")?;
        run(Command::new("depmod")
            .arg("--basedir")
            .arg(&draft)
            .arg(&unpacked.version))?;
        fs::rename(&draft, &root)?;
        Ok(Self { root, ..unpacked })
    }

    fn unpacked(root: &Path) -> Option<Self> {
        let modules = fs::read_dir(root.join("lib/modules")).ok()?;
        let version = modules.flatten().next()?.file_name().into_string().ok()?;
        Some(Self {
            root: root.to_owned(),
            version,
        })
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

/// The package of the newest kernel of `series`, if there is one.
fn offered(series: &str) -> Result<Option<String>> {
    let output = Command::new("apt-cache")
        .args(["search", "--names-only", &format!("^linux-image-{series}[.]")])
        .output()
        .context("cannot run apt-cache: the guest needs a kernel of Debian's")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(newest(series, &text).map(str::to_owned))
}

/// The newest kernel of `series` among what apt-cache has found: not those for clouds or for real time.
fn newest<'a>(series: &str, found: &'a str) -> Option<&'a str> {
    let version = |package: &str| {
        let version = package
            .strip_prefix("linux-image-")?
            .strip_prefix(series)?
            .strip_prefix('.')?
            .strip_suffix("-amd64")?;
        let is_plain = !["cloud", "rt"].iter().any(|flavour| version.ends_with(flavour));
        // 0-56, 117+deb12
        let numbers = version.split(|character: char| !character.is_ascii_digit());
        is_plain.then(|| {
            numbers
                .filter_map(|number| number.parse().ok())
                .collect::<Vec<u32>>()
        })
    };
    let packages = found.lines().filter_map(|line| line.split_whitespace().next());
    packages
        .filter_map(|package| Some((version(package)?, package)))
        .max()
        .map(|(_, package)| package)
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_kernel_is_that_with_the_highest_numbers() {
        let found = "linux-image-6.1.0-9-amd64 - Linux 6.1 for 64-bit PCs (signed)\n\
                     linux-image-6.1.0-56-amd64 - Linux 6.1 for 64-bit PCs (signed)\n\
                     linux-image-6.1.0-57-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)\n\
                     linux-image-6.1.0-57-rt-amd64 - Linux 6.1 for 64-bit PCs, PREEMPT_RT (signed)\n\
                     linux-image-6.1.0-58-amd64-dbg - Debug symbols\n\
                     linux-image-6.12.99+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)\n\
                     linux-image-6.12.117+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)\n\
                     linux-image-6.12-amd64 - Linux for 64-bit PCs (meta-package)\n";
        assert_eq!(newest("6.1", found), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(newest("6.12", found), Some("linux-image-6.12.117+deb12-amd64"));
        assert_eq!(newest("6.6", found), None);
    }
}
