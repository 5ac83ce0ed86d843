//! The daemon as a process: its log, its signals, its service manager, its start on a host that is not as it should be.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{Configuration, Director, Lab, Signal, VIP, find_binary, run, wait};
use nix::sys::ptrace;
use nix::sys::signal::{Signal::SIGHUP, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(10);

/// What a pipe holds that nobody reads, on Linux.
const PIPE: usize = 65_536;

/// Stops `director` and starts it again with this standard error, of which no handle remains here.
fn log_to(director: &mut Director<'_>, stderr: impl Into<OwnedFd>) -> Result<()> {
    director.stop()?;
    director.stderr = Some(stderr.into());
    director.restart()?;
    director.stderr = None;
    Ok(())
}

/// A backup whose log goes to `stderr` takes over from a master that dies, and stops when it is told to.
fn takes_over_logging_to(stderr: impl Into<OwnedFd>) -> Result<()> {
    let lab = Lab::new()?;
    let (mut master, mut backup) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    log_to(&mut backup, stderr)?;
    backup.wait_for("it is backup, all servers up", PATIENCE, |status| {
        status.is_backup() && status.all_up()
    })?;
    master.kill()?;
    backup.becomes_master()?;
    let fetched = lab.client.curl((VIP, 80).into(), 6)?;
    assert_eq!(fetched.failed(), 0, "{}", fetched.complaints);
    backup.stop()
}

#[test]
fn a_takeover_does_not_depend_on_a_log_that_cannot_be_written() -> Result<()> {
    takes_over_logging_to(File::options().write(true).open("/dev/full")?)
}

#[test]
fn a_takeover_does_not_depend_on_a_log_whose_reader_has_gone() -> Result<()> {
    let (reader, writer) = io::pipe()?;
    drop(reader);
    takes_over_logging_to(writer)
}

#[test]
fn a_takeover_does_not_depend_on_a_log_that_nobody_reads() -> Result<()> {
    let (_reader, mut writer) = io::pipe()?;
    writer.write_all(&[b'\n'; PIPE])?;
    takes_over_logging_to(writer)
}

/// A file system with room for one page.
fn small_disk(lab: &Lab) -> Result<std::path::PathBuf> {
    let directory = lab.directory.join("small");
    fs::create_dir(&directory)?;
    // The lab's teardown unmounts it.
    run(Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8k", "tmpfs"])
        .arg(&directory))?;
    Ok(directory)
}

#[test]
fn lines_that_a_full_disk_did_not_take_are_counted_and_said_later() -> Result<()> {
    let lab = Lab::new()?;
    let disk = small_disk(&lab)?;
    let log = disk.join("lbd.log");
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let file = File::options().create(true).append(true).open(&log)?;
    log_to(&mut director, file)?;
    director.becomes_master()?;

    let ballast = disk.join("ballast");
    let filled = fs::write(&ballast, [0; 16_384]);
    assert!(filled.is_err(), "there is no room left");
    let before = fs::read_to_string(&log)?;
    let socket = director.socket().to_string_lossy().into_owned();
    // What is in the last page of the log's file still fits.
    for _ in 0..60 {
        director.lbd(&["reload", "--socket", &socket])?;
    }
    fs::remove_file(&ballast)?;
    director.lbd(&["reload", "--socket", &socket])?;
    let text = wait::until("the loss is said", PATIENCE, || {
        fs::read_to_string(&log)
            .ok()
            .filter(|text| text.contains("lost here"))
    })?;
    assert!(text.len() > before.len());
    assert!(text.contains(" lines were lost here"), "{text}");
    director.stop()
}

#[test]
fn the_journal_sees_severities_and_no_times() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let (mut reader, writer) = io::pipe()?;
    let pipe = fs::metadata(format!("/proc/self/fd/{}", writer.as_raw_fd()))?;
    let stream = format!("{}:{}", pipe.dev(), pipe.ino());
    director.environment = vec![("JOURNAL_STREAM", stream)];
    log_to(&mut director, writer)?;
    let socket = director.socket().to_string_lossy().into_owned();
    director.write_configuration_text("nonsense\n")?;
    let refused = director.lbd(&["reload", "--socket", &socket])?;
    assert_eq!(refused.status.code(), Some(1));
    director.stop()?;
    let mut log = String::new();
    reader.read_to_string(&mut log)?;
    assert!(log.contains("<6>started version="), "{log}");
    assert!(log.contains("<3>reload refused"), "{log}");
    for line in log.lines() {
        let text = line.strip_prefix("<3>").or_else(|| line.strip_prefix("<6>"));
        let text = text.or_else(|| line.strip_prefix("<4>"));
        let text = text.with_context(|| format!("no severity: {line:?}"))?;
        assert!(!text.starts_with("20"), "a time: {line}");
    }
    Ok(())
}

#[test]
fn no_signal_but_those_that_stop_it_ends_a_director() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let before = director.becomes_master()?;
    let id = director.process().context("it runs")?.id().to_string();
    // 34: the first real-time signal.
    for signal in [
        "USR1", "USR2", "QUIT", "ALRM", "PIPE", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "XCPU", "XFSZ",
        "34", "64", "URG", "WINCH", "CHLD",
    ] {
        run(Command::new("kill").args(["-s", signal, &id]))?;
        let status = director
            .status()
            .with_context(|| format!("SIG{signal} has ended it"))?;
        assert!(status.is_master(), "after SIG{signal}");
    }
    assert_eq!(director.status()?.transitions(), before.transitions());
    wait::until("it says what it makes of SIGQUIT", PATIENCE, || {
        director.log().ok()?.contains("signal=3").then_some(())
    })?;
    director.stop()
}

#[test]
fn sigusr1_has_the_status_written_to_a_file() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    director.becomes_master()?;
    let file = lab.directory.join(&director.node.name).join("state/status.json");
    let id = director.process().context("it runs")?.id().to_string();
    for signal in ["USR1", "USR2"] {
        run(Command::new("kill").args(["-s", signal, &id]))?;
        let text = wait::until("the status is written", PATIENCE, || {
            fs::read_to_string(&file).ok()
        })?;
        let written: serde_json::Value = serde_json::from_str(&text)?;
        assert_eq!(written["vrrp_instances"][0]["state"], "master");
        assert_eq!(fs::metadata(&file)?.mode() & 0o777, 0o640);
        fs::remove_file(&file)?;
    }
    // A place where nothing can be written is said, and nothing else.
    fs::remove_dir(file.parent().context("it has a directory")?)?;
    fs::write(file.parent().context("it has a directory")?, "in the way")?;
    director.signal(Signal::HangUp)?;
    run(Command::new("kill").args(["-s", "USR1", &id]))?;
    wait::until("it says so", PATIENCE, || {
        director
            .log()
            .ok()?
            .contains("cannot write the status")
            .then_some(())
    })?;
    assert!(director.status()?.is_master());
    director.stop()
}

#[test]
fn pins_in_a_private_mount_namespace_are_a_problem_that_is_said() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    director.wrapper = ["unshare", "--mount", "--propagation", "private"].into();
    director.restart()?;
    let problems = director.becomes_master()?.problems();
    let [problem] = &problems[..] else {
        bail!("not one problem: {problems:?}");
    };
    let pins = lab.directory.join(&director.node.name).join("pins");
    assert_eq!(problem.code, "pins_private");
    assert_eq!(problem.subject, pins.display().to_string());
    let command = format!("nsenter --target 1 --mount mount -t bpf bpf {}`", pins.display());
    assert!(problem.message.contains(&command), "{problem:?}");
    assert!(director.log()?.contains(&problem.message), "{}", director.log()?);

    // What the message says helps.
    director.stop()?;
    run(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&pins))?;
    director.restart()?;
    assert!(director.becomes_master()?.problems().is_empty());
    director.stop()
}

/// What listens where a service manager would.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Listens, and has `director` told so when it starts. The `watchdog` is one that ends who is silent that long.
    fn of(director: &mut Director<'_>, lab: &Lab, watchdog: Duration) -> Result<Self> {
        let path = lab.directory.join("notify");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        director.environment = vec![
            ("NOTIFY_SOCKET", path.display().to_string()),
            ("WATCHDOG_USEC", watchdog.as_micros().to_string()),
        ];
        Ok(Self {
            socket,
            heard: Vec::new(),
        })
    }

    /// The next message with `word` in it. Those before it count as heard.
    fn hears(&mut self, word: &str) -> Result<String> {
        let mut buffer = [0; 4096];
        wait::until(&format!("the service manager hears {word}"), PATIENCE, || {
            let length = self.socket.recv(&mut buffer).ok()?;
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.push(message.clone());
            message
                .lines()
                .any(|line| line.starts_with(word))
                .then_some(message)
        })
        .with_context(|| format!("{:?}", self.heard))
    }

    /// What comes within `period`.
    fn listen(&mut self, period: Duration) -> Vec<String> {
        let mut buffer = [0; 4096];
        let by = Instant::now() + period;
        let mut heard = Vec::new();
        while Instant::now() < by {
            if let Ok(length) = self.socket.recv(&mut buffer) {
                heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        }
        heard
    }
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_stop() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let mut manager = Manager::of(&mut director, &lab, Duration::from_secs(30))?;
    director.restart()?;
    manager.hears("READY=1")?;
    manager.hears("STATUS=VI_1 is master")?;
    director.signal(Signal::HangUp)?;
    let reloading = manager.hears("RELOADING=1")?;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hears("READY=1")?;
    director.stop()?;
    let stopping = manager.hears("STOPPING=1")?;
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC="), "{stopping}");
    Ok(())
}

#[test]
fn a_handover_gets_the_time_that_its_interval_needs() -> Result<()> {
    let lab = Lab::new()?;
    let mut configuration = Configuration::new(&lab, 255);
    configuration.set("vrrp_instance[0].advert_int", "40s");
    let mut director = Director::prepare(&lab, &lab.directors[0], configuration)?;
    let mut manager = Manager::of(&mut director, &lab, Duration::from_secs(30))?;
    director.restart()?;
    director.becomes_master()?;
    director.signal(Signal::Terminate)?;
    let stopping = manager.hears("STOPPING=1")?;
    let extended = stopping
        .lines()
        .find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="))
        .context("no extension")?;
    assert!(extended.parse::<u64>()? > 50_000_000, "{stopping}");
    director.kill()
}

/// A thread of the daemon that stands still while this lives.
struct Hang(Pid);

impl Hang {
    /// Stops the thread of `director` that is called `name`.
    fn of(director: &Director<'_>, name: &str) -> Result<Self> {
        let id = director.process().context("it runs")?.id();
        let threads = fs::read_dir(format!("/proc/{id}/task"))?;
        for thread in threads {
            let thread = thread?;
            if fs::read_to_string(thread.path().join("comm"))?.trim() == name {
                let thread = Pid::from_raw(thread.file_name().to_string_lossy().parse()?);
                ptrace::seize(thread, ptrace::Options::empty())?;
                let hang = Self(thread);
                ptrace::interrupt(thread)?;
                waitpid(thread, Some(WaitPidFlag::__WALL))?;
                return Ok(hang);
            }
        }
        bail!("no thread {name}")
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        // It fails for one that has ended, and nothing is left to do.
        ptrace::detach(self.0, None).ok();
    }
}

#[test]
fn the_watchdog_is_not_started_before_the_daemon_is_ready() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    // Far less than a start takes.
    let mut manager = Manager::of(&mut director, &lab, Duration::from_millis(20))?;
    director.restart()?;
    manager.hears("READY=1")?;
    let early = manager.heard.iter().any(|message| message.contains("WATCHDOG=1"));
    assert!(!early, "{:?}", manager.heard);
    director.stop()
}

#[test]
fn a_loop_that_hangs_takes_away_the_sign_of_life() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let watchdog = Duration::from_secs(2);
    let mut manager = Manager::of(&mut director, &lab, watchdog)?;
    director.restart()?;
    director.becomes_master()?;
    // The main thread, whose name is the program's, has the director loop.
    for thread in ["vrrp", "lbd"] {
        manager.hears("WATCHDOG=1")?;
        let hang = Hang::of(&director, thread)?;
        // What was on its way, and what half an interval still allows.
        manager.listen(watchdog);
        let heard = manager.listen(watchdog);
        assert!(
            !heard.iter().any(|message| message.contains("WATCHDOG=1")),
            "{thread} hangs unnoticed: {heard:?}"
        );
        drop(hang);
        manager.hears("WATCHDOG=1")?;
    }
    let log = director.log()?;
    for name in ["VRRP", "director"] {
        assert!(log.contains(&format!("the {name} loop does not turn")), "{log}");
    }
    director.stop()
}

#[test]
fn a_quiet_daemon_shows_that_it_lives() -> Result<()> {
    let lab = Lab::new()?;
    let mut configuration = Configuration::new(&lab, 100);
    configuration.set("vrrp_instance[0].advert_int", "40s");
    configuration.remove("virtual_server");
    let mut director = Director::prepare(&lab, &lab.directors[0], configuration)?;
    // By itself, its VRRP loop has something to do each ten seconds. A loop may come late by a quarter of the
    // watchdog's interval: long enough for a busy machine.
    let watchdog = Duration::from_secs(12);
    let mut manager = Manager::of(&mut director, &lab, watchdog)?;
    director.restart()?;
    let mut last = None;
    for _ in 0..5 {
        manager.hears("WATCHDOG=1")?;
        let pause = last.replace(Instant::now()).map(|last| last.elapsed());
        ensure!(pause < Some(watchdog), "no sign for {pause:?}");
    }
    ensure!(!director.log()?.contains("does not turn"), "{}", director.log()?);
    Ok(())
}

#[test]
fn systemd_understands_the_unit() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/lbd.service"))?;
    let lbd = find_binary("lbd")?;
    let path = directory.path().join("lbd.service");
    fs::write(&path, unit.replace("/usr/local/bin/lbd", &lbd.to_string_lossy()))?;
    let verdict = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .output()?;
    let complaints = String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success(), "{complaints}");
    assert!(!complaints.contains("lbd.service"), "{complaints}");
    for line in [
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=30",
        "StartLimitIntervalSec=0",
    ] {
        assert!(unit.lines().any(|other| other == line), "no {line}");
    }
    Ok(())
}

#[test]
fn an_interface_that_comes_after_the_start_is_joined() -> Result<()> {
    let lab = Lab::new()?;
    let [node, _] = lab.pair();
    node.delete("eth0")?;
    let mut director = Director::prepare(&lab, node, Configuration::new(&lab, 150))?;
    director.restart()?;
    let status = director.status()?;
    assert_eq!(status.text("vrrp_instances[0].state"), "init");
    assert!(
        director
            .log()?
            .contains("there is no interface `eth0` on this host")
    );

    lab.create_interface(node, "eth0")?;
    node.await_carrier("eth0")?;
    director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    let status = director.status()?;
    assert_eq!(status.at("dataplane.interfaces[0].attached"), true);
    let fetched = lab.client.curl((VIP, 80).into(), 6)?;
    assert_eq!(fetched.failed(), 0, "{}", fetched.complaints);
    director.stop()
}

#[test]
fn a_reload_may_name_an_interface_that_is_still_to_come() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    director.becomes_master()?;
    director.configuration.set("vrrp_instance[0].interface", "later0");
    director.write_configuration()?;
    let path = director.configuration_path().to_string_lossy().into_owned();
    let reload = director.lbd(&["reload", "-c", &path])?;
    assert_eq!(reload.status.code(), Some(0));
    let said = String::from_utf8_lossy(&reload.stdout);
    assert!(
        said.contains("there is no interface `later0` on this host"),
        "{said}"
    );
    director.wait_for("it waits for the interface", PATIENCE, |status| {
        status.text("vrrp_instances[0].state") == "init"
    })?;
    director.node.rename("eth0", "later0")?;
    director.becomes_master()?;
    director.stop()
}

/// What `lbd run` with the configuration of `director` says when it ends at once, run by `wrapper`.
fn refusal(director: &Director<'_>, wrapper: &[&str]) -> Result<String> {
    let mut command = director.node.namespace.command("timeout");
    let path = director.configuration_path();
    command.arg("20").args(wrapper).arg(find_binary("lbd")?);
    let output = command.args(["run", "-c"]).arg(path).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{:?}: {said}", output.status);
    ensure!(said.trim().lines().count() == 1, "not one line: {said}");
    Ok(said)
}

#[test]
fn without_its_capabilities_it_says_which() -> Result<()> {
    let lab = Lab::new()?;
    let director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    for (bounds, lacks) in [
        (
            "--bounding-set=-net_admin",
            "lbd: missing here: CAP_NET_ADMIN: start lbd as root",
        ),
        (
            "--bounding-set=-net_raw",
            "lbd: missing here: CAP_NET_RAW: start lbd as root",
        ),
        (
            "--bounding-set=-bpf,-sys_admin",
            "lbd: missing here: CAP_BPF: start lbd as root",
        ),
        (
            "--reuid=65534",
            "lbd: missing here: CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON: start lbd as root",
        ),
    ] {
        let said = refusal(&director, &["setpriv", bounds])?;
        assert!(said.starts_with(lacks), "{said}");
    }
    Ok(())
}

#[test]
fn a_place_that_cannot_be_used_is_named_with_its_key() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let good = director.configuration.clone();
    let file = lab.directory.join("file");
    fs::write(&file, "in the way")?;
    let read_only = lab.directory.join("read-only");
    fs::create_dir(&read_only)?;
    run(Command::new("mount")
        .args(["-t", "tmpfs", "-o", "ro", "tmpfs"])
        .arg(&read_only))?;
    let below = |directory: &Path| directory.join("below").to_string_lossy().into_owned();
    for (key, path, reason) in [
        ("pin_dir", below(&file), "Not a directory"),
        ("pin_dir", below(&read_only), "Read-only file system"),
        ("control_socket", below(&file), "Not a directory"),
        ("control_socket", below(&read_only), "Read-only file system"),
    ] {
        director.configuration = good.clone();
        director.configuration.set(&format!("node.{key}"), path.as_str());
        director.write_configuration()?;
        let said = refusal(&director, &[])?;
        for expected in [path.as_str(), &format!("`{key}` in [node]"), reason] {
            assert!(said.contains(expected), "no {expected}: {said}");
        }
    }
    // Without the right to mount.
    director.configuration = good;
    director.write_configuration()?;
    let said = refusal(&director, &["setpriv", "--bounding-set=-sys_admin"])?;
    let pins = lab.directory.join(&director.node.name).join("pins");
    let remedy = format!(
        "mount it before lbd starts, `mount -t bpf bpf {}`",
        pins.display()
    );
    assert!(said.contains(&remedy), "{said}");
    Ok(())
}

#[test]
fn a_second_daemon_is_told_of_the_first() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let said = refusal(&director, &[])?;
    assert!(said.contains("another daemon answers on"), "{said}");
    assert!(said.contains("`control_socket`"), "{said}");
    let other = lab.directory.join("other.sock").to_string_lossy().into_owned();
    director.configuration.set("node.control_socket", other);
    director.write_configuration()?;
    let said = refusal(&director, &[])?;
    assert!(said.contains("another daemon uses"), "{said}");
    assert!(said.contains("`pin_dir`"), "{said}");
    Ok(())
}

#[test]
fn a_signal_that_comes_while_it_starts_is_heeded_once_it_runs() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    // As soon as its socket is there: loading the program takes longer than that.
    let socket = director.socket();
    let watcher = std::thread::spawn(move || {
        let stream = wait::until("it begins", PATIENCE, || UnixStream::connect(&socket).ok())?;
        let daemon = getsockopt(&stream, PeerCredentials)?.pid();
        kill(Pid::from_raw(daemon), SIGHUP).context("it has ended")
    });
    director.restart()?;
    watcher.join().expect("it does not panic")?;
    wait::until("it reloads", PATIENCE, || {
        director.log().ok()?.contains("is in force").then_some(())
    })?;
    director.becomes_master()?;
    director.stop()
}

/// The limits of open files that a daemon runs under: the soft one and the hard one.
fn open_files(director: &Director<'_>) -> Result<(String, String)> {
    let process = director.process().context("lbd isn't running")?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id()))?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let mut words = line.context("no limit of open files")?.split_whitespace().skip(3);
    let mut next = || words.next().map(str::to_owned).context("two limits");
    Ok((next()?, next()?))
}

/// Whether this process may raise its hard limits.
fn may_raise_limits() -> Result<bool> {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64:64", "prlimit", "--nofile=65:65", "true"]);
    Ok(command.output()?.status.success())
}

#[test]
fn as_many_open_files_as_are_needed_are_allowed_or_it_is_said_what_helps() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    director.wrapper = vec!["prlimit", "--nofile=128:1000"];
    director.restart()?;
    assert_eq!(
        open_files(&director)?,
        ("1000".to_owned(), "1000".to_owned()),
        "all that it may have"
    );
    assert!(!director.log()?.contains("LimitNOFILE="), "{}", director.log()?);
    director.stop()?;

    director.wrapper = vec![
        "setpriv",
        "--bounding-set=-sys_resource",
        "prlimit",
        "--nofile=128:200",
    ];
    director.restart()?;
    assert_eq!(open_files(&director)?, ("200".to_owned(), "200".to_owned()));
    let complaints = director.complaints()?;
    let complaint = complaints
        .iter()
        .find(|line| line.contains("lbd may have 200 open files"));
    let complaint = complaint.with_context(|| format!("{complaints:?}"))?;
    assert!(
        complaint.contains("`LimitNOFILE=`") && complaint.contains("`ulimit -n`"),
        "{complaint}"
    );
    director.stop()?;

    if may_raise_limits()? {
        director.wrapper = vec!["prlimit", "--nofile=128:200"];
        director.restart()?;
        let (soft, hard) = open_files(&director)?;
        assert_eq!(soft, hard);
        assert!(soft.parse::<u64>()? > 256, "{soft}");
    }
    Ok(())
}

#[test]
fn checks_leave_open_files_to_the_program_and_to_commands() -> Result<()> {
    let lab = Lab::new()?;
    let mut configuration = Configuration::new(&lab, 150);
    // None of them answers, so that all of their checks are under way at once.
    for host in 101..251 {
        let address = format!("10.0.0.{host}");
        let check = toml::toml! { connect_timeout = "5s" };
        let mut absent = toml::Table::new();
        absent.insert("address".to_owned(), address.into());
        absent.insert("tcp_check".to_owned(), check.into());
        configuration.push("virtual_server[0].real_server", absent);
    }
    let mut director = Director::prepare(&lab, &lab.directors[0], configuration)?;
    director.wrapper = vec![
        "setpriv",
        "--bounding-set=-sys_resource",
        "prlimit",
        "--nofile=128:128",
    ];
    director.restart()?;
    // Its program, which needs files as well, is on the interface.
    director.becomes_master()?;
    let servers = &lab.real_servers;
    director.wait_for("the real servers are up", Duration::from_secs(30), |status| {
        servers.iter().all(|server| {
            let address = server.node.address.into();
            status.real_server_state("tcp", (VIP, 80).into(), address) == "up"
        })
    })?;
    let log = director.log()?;
    assert!(!log.contains("Too many open files"), "{log}");
    Ok(())
}
