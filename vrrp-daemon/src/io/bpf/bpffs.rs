//! The file system that pins live on.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::Error;

/// Where every distribution mounts a bpffs at boot.
const CUSTOMARY: &str = "/sys/fs/bpf";

/// Makes sure that `pin_dir` exists, lies on a bpffs, and has the directories `maps` and `links`. Mounts a bpffs at
/// `/sys/fs/bpf` for a directory below that, else at `pin_dir` itself. Returns whether it has mounted one.
pub(super) fn ensure(pin_dir: &Path) -> Result<bool, Error> {
    let unusable = |source| Error::PinDirectory {
        path: pin_dir.to_owned(),
        source,
    };
    let customary = Path::new(CUSTOMARY);
    let mut mounted = false;
    if pin_dir.starts_with(customary) && !is_bpffs(customary).map_err(unusable)? {
        mount_bpffs(customary)?;
        mounted = true;
    }
    fs::create_dir_all(pin_dir).map_err(unusable)?;
    if !is_bpffs(pin_dir).map_err(unusable)? {
        mount_bpffs(pin_dir)?;
        mounted = true;
    }
    fs::create_dir_all(pin_dir.join("maps")).map_err(unusable)?;
    fs::create_dir_all(pin_dir.join("links")).map_err(unusable)?;
    Ok(mounted)
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.filesystem_type() == BPF_FS_MAGIC)
}

fn mount_bpffs(target: &Path) -> Result<(), Error> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), target, Some("bpf"), flags, Some("mode=0700")).map_err(|error| Error::Mount {
        path: target.to_owned(),
        source: error.into(),
    })
}
