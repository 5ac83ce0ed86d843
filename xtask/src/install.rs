//! `cargo xtask install`: the binary, a systemd unit and a sample configuration on this machine, or below `--destdir`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::{self, announce, cargo, run, workspace};

/// Where the systemd unit goes.
pub(crate) const UNIT: &str = "/etc/systemd/system/lbd.service";

/// Where the unit that is shipped has the binary.
pub(crate) const BINARY: &str = "/usr/local/bin/lbd";

/// Install lbd: the binary, a systemd unit, a sample configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the binary goes: PREFIX/bin/lbd.
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
    /// Put everything below this directory instead of /, as packagers do.
    #[arg(long, default_value = "/")]
    destdir: PathBuf,
}

/// Runs the command.
pub(crate) fn run_install(arguments: &Arguments) -> Result<()> {
    shell::build_ebpf()?;
    announce("Building the daemon for release");
    run(&mut cargo(["build", "--release", "--package", "vrrp-daemon"]))?;

    let below = |path: &Path| arguments.destdir.join(path.strip_prefix("/").unwrap_or(path));
    let binary = arguments.prefix.join("bin/lbd");
    place(
        &fs::read(workspace().join("target/release/lbd"))?,
        &below(&binary),
        0o755,
    )?;
    place(unit(&binary)?.as_bytes(), &below(Path::new(UNIT)), 0o644)?;
    let configuration = below(Path::new("/etc/lbd/lbd.toml"));
    if configuration.exists() {
        println!("kept      {} (it is yours)", configuration.display());
    } else {
        // The password of VRRP version 2 is in it.
        place(
            &fs::read(workspace().join("packaging/lbd.toml"))?,
            &configuration,
            0o600,
        )?;
    }
    println!(
        "\nNext: edit /etc/lbd/lbd.toml, then\n\
         \x20   lbd check-config\n\
         \x20   systemctl daemon-reload\n\
         \x20   systemctl enable --now lbd\n\
         \x20   lbd status"
    );
    Ok(())
}

/// The systemd unit for a daemon at `binary`.
pub(crate) fn unit(binary: &Path) -> Result<String> {
    let unit =
        fs::read_to_string(workspace().join("packaging/lbd.service")).context("the unit is not there")?;
    Ok(unit.replace(BINARY, &binary.to_string_lossy()))
}

/// Writes a file whole: a running daemon keeps the binary that it was started from.
fn place(contents: &[u8], path: &Path, mode: u32) -> Result<()> {
    let place = || {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = directory.join(name);
        fs::write(&temporary, contents)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))?;
        fs::rename(&temporary, path)
    };
    place().with_context(|| format!("cannot install {}", path.display()))?;
    println!("installed {}", path.display());
    Ok(())
}
