//! The compiler and the linker for BPF.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{announce, apt_install, cargo, is_installed, run, workspace};

/// The linker's version; it knows the versions 21 to 23 of LLVM.
const BPF_LINKER: &str = "0.13.0";
const LLVM_VERSIONS: std::ops::RangeInclusive<u32> = 21..=23;

/// Where Debian's own compiler is.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
/// Debian's newest compiler, its cargo, and its library's source, which match each other.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];

/// A compiler that comes with its library's source.
pub(super) struct Toolchain {
    source: Source,
    version: String,
    llvm: u32,
}

enum Source {
    /// A toolchain of rustup's, by its name.
    Rustup(String),
    /// The distribution's.
    Debian,
}

impl Toolchain {
    /// Looks for one: rustup's with `rust-src`, else Debian's, which is installed if it isn't there.
    pub(super) fn find() -> Result<Self> {
        for name in rustup_toolchains() {
            if let Some(toolchain) = Self::probe(Source::Rustup(name)) {
                return Ok(toolchain);
            }
        }
        if let Some(toolchain) = Self::probe(Source::Debian) {
            return Ok(toolchain);
        }
        if is_installed("apt-get") {
            let packages = DEBIAN_PACKAGES.join(" ");
            announce(&format!(
                "No Rust toolchain here has its library's source: installing {packages} by apt-get"
            ));
            apt_install(&DEBIAN_PACKAGES)?;
            if let Some(toolchain) = Self::probe(Source::Debian) {
                return Ok(toolchain);
            }
        }
        bail!(
            "building for BPF needs a Rust compiler with its library's source: run `rustup toolchain install nightly \
             --component rust-src`, or install {} on Debian",
            DEBIAN_PACKAGES.join(", ")
        )
    }

    /// The toolchain, if it is there, has its library's source, and an LLVM that the linker knows.
    fn probe(source: Source) -> Option<Self> {
        let rustc = |argument: &str| {
            let output = source.rustc().args(argument.split(' ')).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            output.status.success().then_some(text)
        };
        let sysroot = rustc("--print sysroot")?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
        if !library.exists() {
            return None;
        }
        let version = rustc("-vV")?;
        let llvm = version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))?
            .split('.')
            .next()?
            .parse()
            .ok()?;
        LLVM_VERSIONS.contains(&llvm).then(|| Self {
            version: version.lines().next().unwrap_or_default().to_owned(),
            llvm,
            source,
        })
    }

    /// For people.
    pub(super) fn description(&self) -> String {
        match &self.source {
            Source::Rustup(name) => format!("rustup's {name} ({})", self.version),
            Source::Debian => format!("Debian's {}", self.version),
        }
    }

    /// The toolchain's `cargo`, allowed to build `core`.
    pub(super) fn cargo(&self) -> Command {
        let mut command = match &self.source {
            Source::Rustup(name) => {
                let mut command = Command::new("rustup");
                command.args(["run", name, "cargo"]).env_remove("RUSTC");
                command
            }
            Source::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                command.env("RUSTC", DEBIAN_RUSTC);
                command
            }
        };
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN");
        command
    }

    /// The linker for this toolchain's LLVM, built once into `target/tools`.
    pub(super) fn bpf_linker(&self) -> Result<PathBuf> {
        let root = workspace().join("target/tools");
        let linker = root.join("bin/bpf-linker");
        let feature = format!("llvm-{}", self.llvm);
        // What cargo notes of its installations: `"bpf-linker 0.13.0 (…)":{…,"features":["llvm-22"],…}`.
        let installed = fs::read_to_string(root.join(".crates2.json")).unwrap_or_default();
        let matches = installed.contains(&format!("\"bpf-linker {BPF_LINKER} "))
            && installed.contains(&format!("\"{feature}\""));
        if matches && linker.exists() {
            return Ok(linker);
        }
        let prefix = self.llvm_prefix()?;
        announce(&format!(
            "Building bpf-linker {BPF_LINKER} for LLVM {} into {} (once; about a minute)",
            self.llvm,
            root.display()
        ));
        let mut install = cargo([
            "install",
            "bpf-linker",
            "--version",
            BPF_LINKER,
            "--locked",
            "--force",
            "--no-default-features",
            "--features",
            feature.as_str(),
            "--root",
        ]);
        install
            .arg(&root)
            .env("LLVM_PREFIX", &prefix)
            .env(format!("LLVM_SYS_{}1_PREFIX", self.llvm), &prefix);
        run(&mut install)?;
        Ok(linker)
    }

    /// Where this toolchain's version of LLVM is, for linking against; it is installed if it isn't there.
    fn llvm_prefix(&self) -> Result<PathBuf> {
        let prefix = PathBuf::from(format!("/usr/lib/llvm-{}", self.llvm));
        let config = prefix.join("bin/llvm-config");
        let packages = [
            format!("llvm-{}-dev", self.llvm),
            format!("libpolly-{}-dev", self.llvm),
        ];
        if !config.exists() && is_installed("apt-get") {
            announce(&format!("Installing {} by apt-get", packages.join(" ")));
            apt_install(&packages.each_ref().map(String::as_str))?;
        }
        if !config.exists() {
            bail!(
                "building bpf-linker needs LLVM {}: install {} (https://apt.llvm.org has every version)",
                self.llvm,
                packages.join(" and ")
            );
        }
        Ok(prefix)
    }
}

impl Source {
    fn rustc(&self) -> Command {
        match self {
            Self::Rustup(name) => {
                let mut command = Command::new("rustup");
                command.args(["run", name, "rustc"]);
                command
            }
            Self::Debian => Command::new(DEBIAN_RUSTC),
        }
    }
}

/// The names of rustup's toolchains, nightly ones first: they are meant for this.
fn rustup_toolchains() -> Vec<String> {
    let listed = Command::new("rustup")
        .args(["toolchain", "list"])
        .output()
        .context("no rustup")
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let mut names: Vec<String> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    names.sort_by_key(|name| !name.starts_with("nightly"));
    names
}
