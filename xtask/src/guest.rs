//! The tiers `guest`, `systemd` and `vm`: tests in a virtual machine, with what this one may lack.
//!
//! It has Debian's kernel (6.1: VLAN devices, no kernel that tells what an interface can do for XDP) and real drivers
//! with native XDP and offloads (virtio-net, e1000e). Its root file system lives in memory. For `guest` it is made of
//! programs of this machine, and the tests are the only thing that runs; for `systemd`, Debian's systemd starts the
//! shipped unit, which must not be tried on a machine that others use; for `vm`, the packet tests of this machine run
//! once more, on each of [`KERNELS`]. Software emulation by QEMU: no virtualisation is needed, and some patience.

mod archive;
mod contents;
mod image;
mod kernel;
mod packages;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{self, Tool, announce, cargo, run, workspace};
use contents::{Contents, Suite};
use kernel::Kernel;

/// What is needed to make and run the machine.
const TOOLS: [Tool; 5] = [
    Tool::new("qemu-system-x86_64", "qemu-system-x86"),
    Tool::new("busybox", "busybox-static"),
    Tool::new("depmod", "kmod"),
    Tool::new("dpkg-deb", "dpkg"),
    Tool::new("strip", "binutils"),
];

/// Debian's kernels that the packet tests run on, by what their versions begin with. The first one is also that of the
/// other tiers.
pub(crate) const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// What the guest says last, before its tests' exit status.
const END: &str = "LBD-GUEST-EXIT ";

/// A guest that hangs is ended: in seconds, several times what it takes.
const TIMEOUT: &str = "900";

/// A variable of the environment with names of tests: only those are run then, or those whose names contain one.
const FILTERS: &str = "LBD_GUEST_TESTS";

/// Runs the tests of the tier `guest`.
pub(crate) fn run_bare() -> Result<()> {
    run_tests(KERNELS[0], &contents::LAB, "", |contents| contents.tests_alone())
}

/// Runs the tests of the tier `systemd`.
pub(crate) fn run_systemd() -> Result<()> {
    run_tests(
        KERNELS[0],
        &contents::SYSTEMD,
        contents::SYSTEMD_ARGUMENTS,
        |contents| contents.systemd(),
    )
}

/// Runs the packet tests on the newest kernel of `series`.
pub(crate) fn run_packet(series: &str) -> Result<()> {
    let kept = kept()?;
    run_tests(series, &contents::PACKET, "", |contents| {
        Contents {
            kept: kept.as_deref(),
            ..*contents
        }
        .tests_alone()
    })
}

/// Has the packet tests write down what this machine's kernel keeps of the program, if its verifier takes nothing away
/// that is needed (Linux 6.5).
fn kept() -> Result<Option<PathBuf>> {
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
    let mut numbers = release
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or_default());
    let version = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    if version < (6, 5) {
        announce(&format!(
            "What Linux {} keeps of the program is no measure for others",
            release.trim()
        ));
        return Ok(None);
    }
    let path = workspace().join("target/guest/kept");
    let mut test = Command::new(test_binary(contents::PACKET.name)?);
    run(test.arg("verifier::").env("LBD_WRITE_KEPT", &path))?;
    Ok(Some(path))
}

/// Runs the tests of `suite` on a kernel of `series`, in a machine with the file system that `fill` makes; `arguments`
/// are for the kernel.
fn run_tests(
    series: &str,
    suite: &Suite,
    arguments: &str,
    fill: impl FnOnce(&Contents<'_>) -> Result<PathBuf>,
) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the guest is an x86-64 machine, and its programs are this machine's: it cannot be built here");
    }
    shell::install(&TOOLS)?;
    let directory = workspace().join("target/guest");
    let kernel = Kernel::fetch(&directory, series)?;
    let test = test_binary(suite.name)?;
    announce("Putting the guest's file system together");
    let image = fill(&Contents {
        suite,
        directory: &directory,
        kernel: &kernel,
        test: &test,
        filters: &std::env::var(FILTERS).unwrap_or_default(),
        kept: None,
    })?;
    announce(&format!("Booting the guest (Linux {})", kernel.version()));
    let status = boot(&kernel, &image, arguments)?;
    ensure!(
        status == 0,
        "the tests in the guest failed with exit status {status}"
    );
    Ok(())
}

/// Where the compiled tests are.
fn test_binary(name: &str) -> Result<PathBuf> {
    let output = cargo(["test", "--package", "lb-tests", "--test", name, "--no-run"])
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

/// An emulated processor clears memory word by word, and the kernel would do it twice.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0 random.trust_cpu=on \
                                tsc=reliable no_timer_check nokaslr";

/// Without the instructions that move and clear strings of bytes, which the emulation does byte by byte: the kernel takes
/// those for words instead, and verifies a program three times as fast.
const PROCESSOR: &str = "max,erms=off,fsrm=off";

/// Runs the machine, prints what it says, and returns the exit status of its tests.
fn boot(kernel: &Kernel, image: &Path, arguments: &str) -> Result<i32> {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", TIMEOUT, "qemu-system-x86_64"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args([
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=multi,tb-size=512",
            "-cpu",
            PROCESSOR,
        ])
        .args(["-m", "2048", "-smp", "2", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(image)
        .args(["-append", &format!("{KERNEL_ARGUMENTS} {arguments}")])
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
