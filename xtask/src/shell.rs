//! Running other programs: announced, timed, and with one clear sentence when something is missing.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// Says what comes next, on standard error, so that standard output stays the command's own.
pub(crate) fn announce(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("\x1b[1;36m==>\x1b[0m \x1b[1m{what}\x1b[0m");
    } else {
        eprintln!("==> {what}");
    }
}

/// A `cargo` of the toolchain that runs this, at the workspace's root.
pub(crate) fn cargo<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    command
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed with {status}", describe(command));
    Ok(())
}

/// The command as a person would type it.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words: Vec<_> = [program]
        .into_iter()
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    format!("`{}`", words.join(" "))
}

/// Refuses to go on as anybody but root: namespaces, XDP and raw sockets need it.
pub(crate) fn require_root(what: &str) -> Result<()> {
    let output = Command::new("id").arg("-u").output().context("cannot run id")?;
    ensure!(
        output.stdout.trim_ascii() == b"0",
        "{what} needs root: it makes network namespaces and loads XDP programs"
    );
    Ok(())
}

/// A program and the Debian package that it comes from.
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

impl Tool {
    /// The program `program` of the package `package`.
    pub(crate) const fn new(program: &'static str, package: &'static str) -> Self {
        Self { program, package }
    }
}

/// What the lab consists of besides `lbd`.
pub(crate) const LAB: [Tool; 11] = [
    Tool::new("ip", "iproute2"),
    Tool::new("ethtool", "ethtool"),
    Tool::new("nginx", "nginx-light"),
    Tool::new("curl", "curl"),
    Tool::new("keepalived", "keepalived"),
    Tool::new("dnsmasq", "dnsmasq-base"),
    Tool::new("bpftool", "bpftool"),
    Tool::new("nft", "nftables"),
    Tool::new("kill", "procps"),
    Tool::new("umount", "mount"),
    Tool::new("nsenter", "util-linux"),
];

/// Installs the packages of those `tools` that are missing.
pub(crate) fn install(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&str> = tools
        .iter()
        .filter(|tool| !is_installed(tool.program))
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_installed("apt-get") {
        bail!("please install {names}: there is no apt-get here to do it with");
    }
    announce(&format!("Installing {names} by apt-get"));
    apt_install(&missing)
}

/// Installs Debian packages, whose services stay stopped.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    run(&mut apt_get(&["update"]))?;
    // A package must not start its servers on the machine: the lab starts its own, in namespaces.
    let policy = Policy::refuse_starts()?;
    run(apt_get(&["install", "--yes", "--no-install-recommends"]).args(packages))?;
    drop(policy);
    Ok(())
}

/// An `apt-get` that asks nothing and says little.
pub(crate) fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
        .args(arguments);
    command
}

/// Whether `program` is in the path, or where Debian puts an administrator's programs.
pub(crate) fn is_installed(program: &str) -> bool {
    find_program(program).is_some()
}

/// Where `program` is: in the path, or where Debian puts an administrator's programs.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// While it exists, packages that are installed start no services: Debian's `policy-rc.d`.
struct Policy {
    path: Option<PathBuf>,
}

impl Policy {
    fn refuse_starts() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        // An administrator's own policy stands.
        if path.exists() {
            return Ok(Self { path: None });
        }
        std::fs::write(&path, "#!/bin/sh\nexit 101\n").context("cannot write /usr/sbin/policy-rc.d")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { path: Some(path) })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If it can't be removed, the administrator sees it at the next installation; nothing else to do.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Builds the eBPF object, if it isn't built.
pub(crate) fn build_ebpf() -> Result<()> {
    let xtask = std::env::current_exe().context("cannot tell where xtask is")?;
    run(Command::new(xtask).arg("build-ebpf"))
}

/// Builds the daemon, the tests and the lab's own programs.
pub(crate) fn build_everything() -> Result<()> {
    run(&mut cargo([
        "build",
        "--workspace",
        "--exclude",
        "lb-ebpf",
        "--all-targets",
    ]))
}
