//! `cargo xtask build-ebpf`: the XDP program, from source to `target/bpf/lb-ebpf.o`.
//!
//! The kernel's target has no precompiled `core`, so that this needs a Rust compiler together with its library's
//! source, and a linker for BPF that is built with the compiler's version of LLVM. Both are found or fetched here.

mod object;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::shell::{announce, run, workspace};
use toolchain::Toolchain;

/// `bpfel`: little-endian, as every machine that lbd runs on.
const TARGET: &str = "bpfel-unknown-none";

/// Why each is there:
/// * `debuginfo` and `--btf`: map and type names for `bpftool`, source lines in the verifier's messages;
/// * `v3`: 32-bit jumps, and atomic fetch-and-add for the schedulers' cursors (kernel 5.12);
/// * `allows-misaligned-mem-access`: headers are read as they lie in the packet, not byte by byte;
/// * no `expand-memcpy-in-order`: else every move of a link-layer address becomes a call to a byte loop.
const RUSTFLAGS: [&str; 5] = [
    "-Cdebuginfo=2",
    "-Ctarget-cpu=v3",
    "-Clink-arg=--btf",
    "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    "-Clink-arg=--disable-expand-memcpy-in-order",
];

/// Build the XDP program, with everything that this needs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Build even if the object is newer than its sources.
    #[arg(long)]
    force: bool,
}

/// Where the object is.
pub(crate) fn object_path() -> PathBuf {
    workspace().join("target/bpf/lb-ebpf.o")
}

/// Where the object with the programs that only `cargo xtask bench` needs is.
pub(crate) fn floor_path() -> PathBuf {
    workspace().join("target/bpf/floor.o")
}

/// Runs the command.
pub(crate) fn run_build(arguments: &Arguments) -> Result<()> {
    let path = object_path();
    if !arguments.force && is_fresh(&path)? && is_fresh(&floor_path())? {
        eprintln!("{} is newer than its sources", path.display());
    } else {
        build()?;
    }
    print!("{}", object::describe(&path)?);
    Ok(())
}

fn build() -> Result<()> {
    let toolchain = Toolchain::find()?;
    let linker = toolchain.bpf_linker()?;
    announce(&format!(
        "Building the XDP program with {}",
        toolchain.description()
    ));
    let flags = RUSTFLAGS
        .iter()
        .map(|flag| (*flag).to_owned())
        .chain([format!("-Clinker={}", linker.display())])
        .collect::<Vec<_>>()
        .join("\x1f");
    let directory = workspace().join("target/ebpf");
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(workspace())
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        // Build scripts and macros are compiled for this machine as usual; nothing is known here of its wrappers.
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .args(["build", "--package", "lb-ebpf", "--profile", "ebpf"])
        .args(["--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(&directory);
    run(&mut cargo)?;
    let built = directory.join(TARGET).join("ebpf");
    replace(&built.join("lb-ebpf"), &object_path())?;
    replace(&built.join("floor"), &floor_path())
}

/// Whether the object is newer than everything that it is made of.
fn is_fresh(object: &Path) -> Result<bool> {
    let Ok(built) = fs::metadata(object).and_then(|metadata| metadata.modified()) else {
        return Ok(false);
    };
    let root = workspace();
    for input in [
        "lb-ebpf",
        "lb-common",
        "xtask/src/build_ebpf.rs",
        "xtask/src/build_ebpf",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        if newest(&root.join(input))? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When `path`, or the last file below it, was modified.
fn newest(path: &Path) -> Result<SystemTime> {
    let read = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).with_context(read)?;
    let mut newest = metadata.modified().with_context(read)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).with_context(read)? {
            newest = newest.max(self::newest(&entry.with_context(read)?.path())?);
        }
    }
    Ok(newest)
}

/// Puts a copy of `source` at `destination` in one step: whoever reads meanwhile sees the old file or the new one.
fn replace(source: &Path, destination: &Path) -> Result<()> {
    let directory = destination.parent().expect("both objects have a folder");
    let draft = destination.with_extension("draft");
    fs::create_dir_all(directory)
        .and_then(|()| fs::copy(source, &draft))
        .and_then(|_bytes| fs::rename(&draft, destination))
        .with_context(|| format!("cannot put {} at {}", source.display(), destination.display()))
}
