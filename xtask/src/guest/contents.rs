//! What is in the guest's file system.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::END;
use super::image::Image;
use super::kernel::Kernel;
use super::packages;
use crate::{build_ebpf, install};

/// What the tests run in the guest.
const PROGRAMS: [&str; 6] = ["ip", "ethtool", "nginx", "curl", "bpftool", "nsenter"];

/// The modules that the tests need, beside what those need.
const MODULES: [&str; 7] = [
    "veth",
    "bridge",
    "8021q",
    "macvlan",
    "virtio_pci",
    "virtio_net",
    "e1000e",
];

/// What the kernel that starts systemd is told besides: the tests are all that is wanted, and if systemd fails, the
/// machine ends instead of standing still. The timestamp counter of an emulated processor is measured while the kernel
/// boots, three times too slow on a machine that is busy just then: watchdogs need a clock that is right.
pub(super) const SYSTEMD_ARGUMENTS: &str = "systemd.unit=tests.service systemd.show_status=0 systemd.crash_reboot=1 \
     clocksource=hpet";

/// What systemd comes with and nobody reads here, and what it would make units of without being asked.
const LEFT_OUT: [&str; 5] = [
    "/usr/share/doc",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/bash-completion",
    "/lib/systemd/system-generators",
];

/// What a file system is made from.
pub(super) struct Contents<'a> {
    /// The tier.
    pub(super) name: &'a str,
    /// Where it is made.
    pub(super) directory: &'a Path,
    /// What loads it.
    pub(super) kernel: &'a Kernel,
    /// The compiled tests.
    pub(super) test: &'a Path,
    /// The names of those that are to be run, or nothing for all of them.
    pub(super) filters: &'a str,
}

impl Contents<'_> {
    /// The first process loads modules, runs the tests, says how they went, and switches the machine off.
    pub(super) fn tests_alone(&self) -> Result<PathBuf> {
        let mut image = self.image()?;
        for folder in ["/run/netns", "/etc", "/var/lib/nginx", "/var/log/nginx"] {
            image.directory(folder);
        }
        for program in PROGRAMS {
            image.program(program, &format!("/bin/{program}"))?;
        }
        let loading = self.add_modules(&mut image)?;
        let filters = self.filters;
        image.executable(
            "/init",
            &format!(
                "#!/bin/busybox sh\n\
                 export PATH=/bin:/sbin TMPDIR=/tmp RUST_BACKTRACE=0\n\
                 /bin/busybox --install -s /bin\n\
                 mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
                 mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; mkdir -p /run/netns\n\
                 mount -t bpf bpf /sys/fs/bpf; mount -t tracefs trace /sys/kernel/tracing\n\
                 exec </dev/null >/dev/ttyS0 2>&1\n\
                 {loading}\
                 ip link set lo up\n\
                 /lbd/test --ignored --nocapture --test-threads 1 {filters}\n\
                 echo \"{END}$?\"\n\
                 poweroff -f\n"
            ),
        );
        self.write(image)
    }

    /// The first process loads modules and becomes systemd; a unit of its own runs the tests, says how they went, and
    /// switches the machine off. `lbd` is where `cargo xtask install` puts it, and so is its unit.
    pub(super) fn systemd(&self) -> Result<PathBuf> {
        let root = packages::unpack("systemd", &self.directory.join("systemd"))?;
        let mut image = self.image()?;
        image.tree(&root, &LEFT_OUT)?;
        image.program("ip", "/bin/ip")?;
        image.stripped(&self.built()?.join("lbd"), install::BINARY)?;
        image.file(install::UNIT, &install::unit(Path::new(install::BINARY))?);
        // Without one, systemd would set the machine up for its first boot.
        image.file("/etc/machine-id", "6c62646c62646c62646c62646c62646c\n");
        let filters = self.filters;
        image.file(
            "/etc/systemd/system/tests.service",
            &format!(
                "[Service]\n\
                 Type=oneshot\n\
                 Environment=PATH=/usr/local/bin:/usr/bin:/usr/sbin TMPDIR=/tmp RUST_BACKTRACE=0\n\
                 ExecStart=/lbd/test --ignored --nocapture --test-threads 1 {filters}\n\
                 ExecStopPost=/bin/busybox sh -c 'echo {END}$EXIT_STATUS; busybox poweroff -f'\n\
                 StandardOutput=file:/dev/ttyS0\n\
                 StandardError=file:/dev/ttyS0\n\
                 TimeoutStartSec=infinity\n"
            ),
        );
        let loading = self.add_modules(&mut image)?;
        image.executable(
            "/init",
            &format!(
                "#!/bin/busybox sh\n\
                 export PATH=/bin\n\
                 {loading}\
                 exec /lib/systemd/systemd\n"
            ),
        );
        self.write(image)
    }

    /// What both have.
    fn image(&self) -> Result<Image> {
        let mut image = Image::new(self.directory.join("scratch"))?;
        for folder in ["/dev", "/proc", "/sys", "/run", "/tmp"] {
            image.directory(folder);
        }
        image.file(
            "/etc/passwd",
            "root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
        );
        image.file("/etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n");
        image.program("busybox", "/bin/busybox")?;
        // The lab looks for the daemon and the responder beside its test.
        let built = self.built()?;
        for (path, name) in [
            (self.test.to_owned(), "test"),
            (built.join("lbd"), "lbd"),
            (built.join("responder"), "responder"),
        ] {
            image.stripped(&path, &format!("/lbd/{name}"))?;
        }
        image.copy(&build_ebpf::object_path(), "/bpf/lb-ebpf.o")?;
        Ok(image)
    }

    /// Where cargo puts what it builds.
    fn built(&self) -> Result<&Path> {
        let built = self.test.parent().and_then(Path::parent);
        built.context("the tests have a folder")
    }

    /// Adds the kernel's modules, and returns the script that loads them.
    fn add_modules(&self, image: &mut Image) -> Result<String> {
        let mut loading = String::new();
        for (number, module) in self.kernel.modules(&MODULES)?.iter().enumerate() {
            let place = format!("/modules/{number}.ko");
            image.copy(module, &place)?;
            loading += &format!("busybox insmod {place}\n");
        }
        Ok(loading)
    }

    fn write(&self, image: Image) -> Result<PathBuf> {
        let path = self.directory.join(format!("{}.initramfs", self.name));
        image.write(&path)?;
        Ok(path)
    }
}
