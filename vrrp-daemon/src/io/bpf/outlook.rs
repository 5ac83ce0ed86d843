//! Whether pins outlive the daemon: a bpffs lives as long as it is mounted somewhere, and what is mounted in a private
//! mount namespace (`ip netns exec`, a container, `PrivateMounts=`) goes with the last process in there.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process;

use nix::sys::stat::{major, minor};

/// Why pins are lost when the daemon dies, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinsPrivate {
    /// Where the maps and links are pinned.
    pub pin_dir: PathBuf,
    /// Where the bpffs is mounted that they are on.
    mount_point: PathBuf,
    /// The rest of this host has a bpffs there too, which is hidden here.
    hides_another: bool,
}

impl fmt::Display for PinsPrivate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pin_dir, mount_point) = (self.pin_dir.display(), self.mount_point.display());
        write!(
            formatter,
            "the pins in {pin_dir} go when this daemon dies, and forwarding with them: only this mount namespace has the \
             bpffs at {mount_point}"
        )?;
        if self.hides_another {
            write!(
                formatter,
                ", which hides the host's: start lbd where that can be seen (`nsenter --net=/run/netns/NAME lbd run`, \
                 not `ip netns exec NAME lbd run`)"
            )
        } else {
            write!(
                formatter,
                ": mount one that everyone sees, `nsenter --target 1 --mount mount -t bpf bpf {mount_point}`, and start \
                 lbd where that can be seen (not by `ip netns exec`)"
            )
        }
    }
}

/// Whether the pins in `pin_dir` are lost when this process dies. `mounted` says whether this process has mounted the
/// bpffs that they are on. Where there is no telling, they are not.
pub(super) fn of(pin_dir: &Path, mounted: bool) -> Option<PinsPrivate> {
    let device = fs::metadata(pin_dir).ok()?.dev();
    let ours = fs::read_to_string("/proc/self/mountinfo").ok()?;
    // Of what lives as long as this process, nothing is learnt. Neither of what may not be seen (`ProtectProc=`).
    let first = match process::id() {
        1 => None,
        _ => fs::read_to_string("/proc/1/mountinfo").ok(),
    };
    let device = format!("{}:{}", major(device), minor(device));
    judge(pin_dir, &device, &ours, first.as_deref(), mounted)
}

/// As [`of`], from the mounts that this process sees, and those that the first process sees, in the format of
/// /proc/PID/mountinfo (`proc_pid_mountinfo(5)`).
fn judge(
    pin_dir: &Path,
    device: &str,
    ours: &str,
    first: Option<&str>,
    mounted: bool,
) -> Option<PinsPrivate> {
    let outlives = match first {
        Some(first) => mounts(first).any(|mount| mount.device == device),
        None => !mounted,
    };
    if outlives {
        return None;
    }
    let mount_point = mounts(ours)
        .filter(|mount| mount.device == device && pin_dir.starts_with(&mount.point))
        .map(|mount| mount.point)
        .last()
        .unwrap_or_else(|| pin_dir.to_owned());
    let hides_another =
        mounts(first.unwrap_or_default()).any(|mount| mount.is_bpffs && mount.point == mount_point);
    Some(PinsPrivate {
        pin_dir: pin_dir.to_owned(),
        mount_point,
        hides_another,
    })
}

/// A line of mountinfo.
struct Mount {
    /// The file system, as `major:minor`.
    device: String,
    point: PathBuf,
    is_bpffs: bool,
}

fn mounts(table: &str) -> impl Iterator<Item = Mount> {
    table.lines().filter_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(2);
        let (device, _root, point) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Mount {
            device: device.to_owned(),
            // Blanks in it are escaped; a directory for pins that has some is at worst not named exactly.
            point: point.into(),
            is_bpffs: kind.starts_with("bpf "),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "\
23 27 0:22 / /sys rw,relatime shared:7 - sysfs sysfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
43 23 0:39 / /sys/fs/bpf rw,nosuid,nodev,noexec,relatime shared:9 - bpf bpf rw,mode=700
";
    const WITHOUT_BPFFS: &str = "\
23 27 0:22 / /sys rw,relatime shared:7 - sysfs sysfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
";
    /// What `ip netns exec` makes of it: another /sys, and on it a bpffs of our own.
    const NETNS_EXEC: &str = "\
45 44 254:0 / / rw,relatime master:1 - ext4 /dev/vda rw
48 45 0:41 / /sys rw,relatime - sysfs pe1 rw
49 48 0:40 / /sys/fs/bpf rw,relatime - bpf bpf rw
";
    /// A unit with mounts of its own, of which it got the bpffs from the host.
    const UNIT: &str = "\
81 80 254:0 / / rw,relatime shared:20 master:1 - ext4 /dev/vda rw
82 81 0:22 / /sys rw,relatime shared:21 master:7 - sysfs sysfs rw
83 82 0:39 / /sys/fs/bpf rw,nosuid,nodev,noexec,relatime shared:22 master:9 - bpf bpf rw,mode=700
";

    fn pins() -> &'static Path {
        Path::new("/sys/fs/bpf/lbd")
    }

    #[test]
    fn a_bpffs_that_the_host_has_as_well_keeps_its_pins() {
        for ours in [HOST, UNIT] {
            assert_eq!(judge(pins(), "0:39", ours, Some(HOST), false), None);
            assert_eq!(judge(pins(), "0:39", ours, None, false), None, "not ours to know");
        }
    }

    #[test]
    fn one_that_only_we_have_loses_them_and_the_message_says_what_helps() {
        let hidden = judge(pins(), "0:40", NETNS_EXEC, Some(HOST), true).unwrap();
        assert!(hidden.hides_another);
        assert!(hidden.to_string().contains("nsenter --net="), "{hidden}");

        let absent = judge(pins(), "0:40", NETNS_EXEC, Some(WITHOUT_BPFFS), false).unwrap();
        assert!(!absent.hides_another);
        let command = "`nsenter --target 1 --mount mount -t bpf bpf /sys/fs/bpf`";
        assert!(absent.to_string().contains(command), "{absent}");
    }

    #[test]
    fn of_one_that_we_have_mounted_ourselves_the_host_need_not_be_asked() {
        assert!(judge(pins(), "0:40", NETNS_EXEC, None, true).is_some());
    }
}
