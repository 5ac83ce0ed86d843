//! The file system that pins live on.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Where every distribution mounts a bpffs at boot.
const CUSTOMARY: &str = "/sys/fs/bpf";

/// Makes sure that `pin_dir` exists, lies on a bpffs, and has the directories `maps` and `links`. Mounts a bpffs at
/// `/sys/fs/bpf` for a directory below that, else at `pin_dir` itself. Returns whether it has mounted one.
pub(super) fn ensure(pin_dir: &Path) -> io::Result<bool> {
    let customary = Path::new(CUSTOMARY);
    let mut mounted = false;
    if pin_dir.starts_with(customary) && !is_bpffs(customary)? {
        mount_bpffs(customary)?;
        mounted = true;
    }
    fs::create_dir_all(pin_dir)?;
    if !is_bpffs(pin_dir)? {
        mount_bpffs(pin_dir)?;
        mounted = true;
    }
    fs::create_dir_all(pin_dir.join("maps"))?;
    fs::create_dir_all(pin_dir.join("links"))?;
    Ok(mounted)
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.filesystem_type() == BPF_FS_MAGIC)
}

fn mount_bpffs(target: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("bpf"), target, Some("bpf"), flags, Some("mode=0700"))?)
}
