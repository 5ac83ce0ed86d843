//! What is in the guest's file system.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::END;
use super::image::Image;
use super::kernel::Kernel;
use super::packages;
use crate::{build_ebpf, install};

/// Tests that run in the guest, and what they need there.
pub(super) struct Suite {
    /// The test binary of the package `lb-tests`.
    pub(super) name: &'static str,
    /// Programs of this workspace.
    built: &'static [&'static str],
    /// Programs of this machine.
    programs: &'static [&'static str],
    /// Modules of the kernel, beside what those need.
    modules: &'static [&'static str],
    /// What the test binary is told.
    arguments: &'static str,
}

/// A lab in the guest.
pub(super) const LAB: Suite = Suite {
    name: "guest",
    built: &["lbd", "responder"],
    programs: &["ip", "ethtool", "nginx", "curl", "bpftool", "nsenter"],
    modules: &MODULES,
    arguments: "--ignored --nocapture --test-threads 1",
};

/// The same with systemd, whose package brings its programs.
pub(super) const SYSTEMD: Suite = Suite {
    name: "systemd",
    built: &["lbd", "responder"],
    programs: &["ip"],
    modules: &MODULES,
    arguments: "--ignored --nocapture --test-threads 1",
};

/// The packet tests need nothing but the kernel, which takes seconds to load the program here: left out are those that
/// load it most often or send the most packets.
pub(super) const PACKET: Suite = Suite {
    name: "packet",
    built: &[],
    programs: &["bpftool"],
    modules: &[],
    arguments: "--test-threads 2 \
         --skip floods::a_flood_that_fits_into_the_table_costs_nobody_a_connection \
         --skip floods::a_flood_larger_than_the_table_refuses_new_connections \
         --skip headers::a_packet_cut_short_anywhere_is_malformed_and_never_forwarded \
         --skip headers::packets_of_a_service_change_nothing_but_a_hop_and_two_link_layer_addresses \
         --skip answers::a_lease_decides_who_answers_and_who_forwards \
         --skip resets::an_unknown_connection_is_reset_at_its_own_sequence_number",
};

/// What the lab and the cables are made of.
const MODULES: [&str; 12] = [
    "veth",
    "bridge",
    "8021q",
    "macvlan",
    "virtio_pci",
    "virtio_net",
    "e1000e",
    "ipip",
    "sit",
    "ip6_tunnel",
    "fou",
    "fou6",
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
    /// What it is for.
    pub(super) suite: &'a Suite,
    /// Where it is made.
    pub(super) directory: &'a Path,
    /// What loads it.
    pub(super) kernel: &'a Kernel,
    /// The compiled tests.
    pub(super) test: &'a Path,
    /// The names of those that are to be run, or nothing for all of them.
    pub(super) filters: &'a str,
    /// What the kernel of this machine has kept of the program, if that is to be compared.
    pub(super) kept: Option<&'a Path>,
}

impl Contents<'_> {
    /// The first process loads modules, runs the tests, says how they went, and switches the machine off.
    pub(super) fn tests_alone(&self) -> Result<PathBuf> {
        let mut image = self.image()?;
        for folder in ["/run/netns", "/etc", "/var/lib/nginx", "/var/log/nginx"] {
            image.directory(folder);
        }
        let loading = self.add_modules(&mut image)?;
        let filters = self.filters;
        let arguments = self.suite.arguments;
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
                 /lbd/test {arguments} {filters}\n\
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
        image.stripped(&self.built()?.join("lbd"), install::BINARY)?;
        image.file(install::UNIT, &install::unit(Path::new(install::BINARY))?);
        // Without one, systemd would set the machine up for its first boot.
        image.file("/etc/machine-id", "6c62646c62646c62646c62646c62646c\n");
        let filters = self.filters;
        let arguments = self.suite.arguments;
        image.file(
            "/etc/systemd/system/tests.service",
            &format!(
                "[Service]\n\
                 Type=oneshot\n\
                 Environment=PATH=/usr/local/bin:/usr/bin:/usr/sbin TMPDIR=/tmp RUST_BACKTRACE=0\n\
                 ExecStart=/lbd/test {arguments} {filters}\n\
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
        for program in ["busybox"].iter().chain(self.suite.programs) {
            image.program(program, &format!("/bin/{program}"))?;
        }
        image.stripped(self.test, "/lbd/test")?;
        // The lab looks for them beside its test.
        for name in self.suite.built {
            image.stripped(&self.built()?.join(name), &format!("/lbd/{name}"))?;
        }
        image.copy(&build_ebpf::object_path(), "/bpf/lb-ebpf.o")?;
        if let Some(kept) = self.kept {
            image.copy(kept, "/lbd/kept")?;
        }
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
        for (number, module) in self.kernel.modules(self.suite.modules)?.iter().enumerate() {
            let place = format!("/modules/{number}.ko");
            image.copy(module, &place)?;
            loading += &format!("busybox insmod {place}\n");
        }
        Ok(loading)
    }

    fn write(&self, image: Image) -> Result<PathBuf> {
        let path = self.directory.join(format!("{}.initramfs", self.suite.name));
        image.write(&path)?;
        Ok(path)
    }
}
