//! The tier `guest`: tests on another kernel, with what this one may lack.
//!
//! A virtual machine with Debian's kernel (6.1: VLAN devices, no kernel that tells what an interface can do for XDP) and
//! real drivers with native XDP and offloads (virtio-net, e1000e). Its root file system is made of programs of this
//! machine and lives in memory; the test binary `guest` runs in it as the only thing there is. Software emulation by
//! QEMU: no virtualisation is needed, and some patience.

mod archive;
mod image;
mod kernel;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{self, Tool, announce, cargo, workspace};
use image::Image;
use kernel::Kernel;

/// What is needed to make and run the machine.
const TOOLS: [Tool; 5] = [
    Tool::new("qemu-system-x86_64", "qemu-system-x86"),
    Tool::new("busybox", "busybox-static"),
    Tool::new("depmod", "kmod"),
    Tool::new("dpkg-deb", "dpkg"),
    Tool::new("strip", "binutils"),
];

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

/// What the guest says last, before its tests' exit status.
const END: &str = "LBD-GUEST-EXIT ";

/// A guest that hangs is ended: in seconds, several times what it takes.
const TIMEOUT: &str = "900";

/// A variable of the environment with names of tests: only those are run then, or those whose names contain one.
const FILTERS: &str = "LBD_GUEST_TESTS";

/// Runs the tests of the guest.
pub(crate) fn run_tier() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the guest is an x86-64 machine, and its programs are this machine's: it cannot be built here");
    }
    shell::install(&TOOLS)?;
    let directory = workspace().join("target/guest");
    let kernel = Kernel::fetch(&directory)?;
    let test = test_binary()?;
    let filters = std::env::var(FILTERS).unwrap_or_default();
    let image = build_image(&directory, &kernel, &test, &filters)?;
    announce(&format!("Booting the guest (Linux {})", kernel.version()));
    let status = boot(&kernel, &image)?;
    ensure!(
        status == 0,
        "the tests in the guest failed with exit status {status}"
    );
    Ok(())
}

/// Where the compiled tests are.
fn test_binary() -> Result<PathBuf> {
    let output = cargo(["test", "--package", "lb-tests", "--test", "guest", "--no-run"])
        .output()
        .context("cannot run cargo")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the guest's tests do not build:\n{text}");
    // Executable tests/guest.rs (target/debug/deps/guest-0123456789abcdef)
    let path = text
        .lines()
        .filter(|line| line.contains("Executable"))
        .find_map(|line| line.split_once('(')?.1.strip_suffix(')'));
    let path = path.with_context(|| format!("cargo does not say where the tests are:\n{text}"))?;
    Ok(workspace().join(path))
}

fn build_image(directory: &Path, kernel: &Kernel, test: &Path, filters: &str) -> Result<PathBuf> {
    announce("Putting the guest's file system together");
    let mut image = Image::new(directory.join("scratch"))?;
    for folder in [
        "/dev",
        "/proc",
        "/sys",
        "/run/netns",
        "/tmp",
        "/etc",
        "/var/lib/nginx",
        "/var/log/nginx",
    ] {
        image.directory(folder);
    }
    image.file(
        "/etc/passwd",
        "root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
    );
    image.file("/etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n");
    image.program("busybox", "/bin/busybox")?;
    for program in PROGRAMS {
        image.program(program, &format!("/bin/{program}"))?;
    }
    // The lab looks for the daemon and the responder beside its test.
    let built = test
        .parent()
        .and_then(Path::parent)
        .context("the tests have a folder")?;
    for (path, name) in [
        (test.to_owned(), "test"),
        (built.join("lbd"), "lbd"),
        (built.join("responder"), "responder"),
    ] {
        image.stripped(&path, &format!("/lbd/{name}"))?;
    }
    let mut loading = String::new();
    for (number, module) in kernel.modules(&MODULES)?.iter().enumerate() {
        let place = format!("/modules/{number}.ko");
        image.copy(module, &place)?;
        loading += &format!("insmod {place}\n");
    }
    image.executable("/init", &init(&loading, filters));
    let path = directory.join("initramfs");
    image.write(&path)?;
    Ok(path)
}

/// The first process of the guest: loads modules, runs the tests, says how they went, and switches the machine off.
fn init(loading: &str, filters: &str) -> String {
    format!(
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
    )
}

/// Runs the machine, prints what it says, and returns the exit status of its tests.
fn boot(kernel: &Kernel, image: &Path) -> Result<i32> {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", TIMEOUT, "qemu-system-x86_64"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"])
        .args(["-m", "2048", "-smp", "2", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(image)
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on tsc=reliable no_timer_check nokaslr",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for (hub, driver) in [(0, VIRTIO), (1, "e1000e")] {
        for side in 0..2 {
            command
                .args(["-netdev", &format!("hubport,id=port{hub}{side},hubid={hub}")])
                .args([
                    "-device",
                    &format!("{driver},netdev=port{hub}{side},mac=02:6c:62:00:0{hub}:0{side}"),
                ]);
        }
    }
    let mut machine = command.spawn().context("cannot run QEMU")?;
    let output = machine.stdout.take().expect("it was piped above");
    let mut status = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the guest says")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        match line.strip_prefix(END) {
            Some(code) => status = code.parse().ok(),
            None => println!("{line}"),
        }
    }
    let ended = machine.wait()?;
    status.with_context(|| format!("the guest did not finish: QEMU ended with {ended}"))
}

/// Two cables between two NICs each. Native XDP in virtio-net does not stand what the host would merge for it.
const VIRTIO: &str = "virtio-net-pci,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off,\
                      csum=off,rx_queue_size=1024";
