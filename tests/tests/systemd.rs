//! The shipped unit under a real systemd.
//!
//! `cargo xtask test systemd` runs these in a virtual machine where Debian's systemd is the first process and `lbd` is
//! installed as `cargo xtask install` does it. They are ignored everywhere else: they rule over services.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{Configuration, Status, run, wait};
use serde_json::Value;

/// Software emulation takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = "/etc/lbd/lbd.toml";

/// What a test sets otherwise than the unit.
const DROP_IN: &str = "/run/systemd/system/lbd.service.d/test.conf";

/// The service `lbd`, until it is dropped.
struct Service;

impl Service {
    /// Starts it, and returns when systemd says that it has started. `drop_in` is for its section `[Service]`.
    fn start(configuration: &Configuration, drop_in: &str) -> Result<Self> {
        let service = Self::prepare(configuration, drop_in)?;
        systemctl(&["start", "lbd"])?;
        Ok(service)
    }

    /// All but the start.
    fn prepare(configuration: &Configuration, drop_in: &str) -> Result<Self> {
        run(Command::new("ip").args(["link", "add", "vrrp0", "type", "veth", "peer", "vrrp1"]))?;
        // From here on it is cleared away.
        let service = Self;
        for device in ["vrrp0", "vrrp1"] {
            run(Command::new("ip").args(["link", "set", device, "up"]))?;
        }
        run(Command::new("ip").args(["address", "add", "10.0.0.1/24", "dev", "vrrp0"]))?;
        configure(configuration)?;
        fs::create_dir_all(DROP_IN.trim_end_matches("/test.conf"))?;
        fs::write(DROP_IN, format!("[Service]\n{drop_in}\n"))?;
        systemctl(&["daemon-reload"])?;
        Ok(service)
    }

    /// A property as systemd shows it.
    fn property(&self, name: &str) -> Result<String> {
        let shown = systemctl(&["show", "--property", name, "--value", "lbd"])?;
        Ok(shown.trim().to_owned())
    }

    /// Waits until a property is as it should be.
    fn wait_for(&self, name: &str, mut fits: impl FnMut(&str) -> bool) -> Result<String> {
        wait::until(&format!("{name} is as it should be"), PATIENCE, || {
            self.property(name).ok().filter(|value| fits(value))
        })
        .with_context(|| self.log().unwrap_or_default())
    }

    fn becomes_master(&self) -> Result<()> {
        self.wait_for("StatusText", |text| text == "VI_1 is master")
            .map(drop)
    }

    /// What the journal has of it: severities as syslog(3) counts them, and messages.
    fn journal(&self) -> Result<Vec<(String, String)>> {
        run(Command::new("journalctl").arg("--sync"))?;
        let id = self.property("InvocationID")?;
        let lines =
            run(Command::new("journalctl").args(["--output=json", &format!("_SYSTEMD_INVOCATION_ID={id}")]))?;
        let entries = lines.lines().map(|line| -> Result<_> {
            let entry: Value = serde_json::from_str(line)?;
            let field = |name| entry[name].as_str().unwrap_or_default().to_owned();
            Ok((field("PRIORITY"), field("MESSAGE")))
        });
        entries.collect()
    }

    /// The severities of the messages with `words`.
    fn severities(&self, words: &str) -> Result<Vec<String>> {
        let found = self.journal()?.into_iter();
        let found = found.filter(|(_, message)| message.contains(words));
        Ok(found.map(|(severity, _)| severity).collect())
    }

    /// All that the journal has, for a test that fails.
    fn log(&self) -> Result<String> {
        run(Command::new("journalctl").args(["--boot", "--unit=lbd", "--no-pager"]))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The test has failed by now, or these go well.
        systemctl(&["stop", "lbd"]).ok();
        systemctl(&["reset-failed", "lbd"]).ok();
        fs::remove_file(DROP_IN).ok();
        run(Command::new("ip").args(["link", "delete", "vrrp0"])).ok();
    }
}

fn systemctl(arguments: &[&str]) -> Result<String> {
    run(Command::new("systemctl").args(arguments))
}

fn status() -> Result<Status> {
    let text = run(Command::new("/usr/local/bin/lbd").args(["status", "--json"]))?;
    Ok(Status(serde_json::from_str(&text)?))
}

/// A virtual router that becomes master at once, with this interval.
fn configuration(advert_int: &str) -> Configuration {
    let base = toml::toml! {
        [node]
        router_id = "guest"

        [dataplane]
        interfaces = ["vrrp0"]
        flow_table_size = 1024

        [[vrrp_instance]]
        name = "VI_1"
        interface = "vrrp0"
        virtual_router_id = 51
        version = 3
        priority = 255
        virtual_ipaddress = ["10.0.0.100/24"]
    };
    Configuration(base).with("vrrp_instance[0].advert_int", advert_int)
}

fn configure(configuration: &Configuration) -> Result<()> {
    fs::create_dir_all("/etc/lbd")?;
    fs::write(CONFIGURATION, configuration.0.to_string()).context("cannot write the configuration")
}

#[test]
#[ignore = "needs a systemd of its own: cargo xtask test systemd"]
fn the_unit_is_active_once_the_daemon_answers() -> Result<()> {
    let service = Service::prepare(&configuration("1s"), "")?;
    systemctl(&["start", "--no-block", "lbd"])?;
    let mut seen = Vec::new();
    service.wait_for("ActiveState", |state| {
        seen.push(state.to_owned());
        state == "active"
    })?;
    // Nothing is waited for.
    let status = status()?;
    ensure!(seen.iter().any(|state| state == "activating"), "{seen:?}");
    ensure!(status.text("vrrp_instances[0].name") == "VI_1");
    ensure!(systemctl(&["is-active", "lbd"])?.trim() == "active");
    service.becomes_master()?;
    // Maps and links are in the bpffs that systemd mounts: they outlive the daemon.
    ensure!(fs::exists("/sys/fs/bpf/lbd/maps/SERVICES")?);
    ensure!(self::status()?.problems().is_empty(), "{:#}", self::status()?.0);
    for (property, value) in [
        ("Type", "notify"),
        ("WatchdogUSec", "30s"),
        ("TimeoutStopUSec", "30s"),
        ("NRestarts", "0"),
    ] {
        let shown = service.property(property)?;
        ensure!(shown == value, "{property} is {shown}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a systemd of its own: cargo xtask test systemd"]
fn a_reload_is_seen_and_severities_reach_the_journal() -> Result<()> {
    let mut configuration = configuration("1s");
    let service = Service::start(&configuration, "")?;
    service.becomes_master()?;
    let process = service.property("MainPID")?;
    let changed = || service.property("StateChangeTimestampMonotonic");

    configuration.set("vrrp_instance[0].advert_int", "2s");
    configure(&configuration)?;
    systemctl(&["reload", "lbd"])?;
    let interval = status()?.at("vrrp_instances[0].advert_interval_seconds").as_f64();
    ensure!(interval == Some(2.0), "{interval:?}");

    // Who asks the daemon itself is seen by systemd as well, because the daemon says so.
    let before = changed()?;
    systemctl(&["kill", "--signal=HUP", "--kill-whom=main", "lbd"])?;
    service.wait_for("StateChangeTimestampMonotonic", |now| now != before)?;
    service.wait_for("ActiveState", |state| state == "active")?;

    fs::write(CONFIGURATION, "nonsense = 1\n")?;
    ensure!(systemctl(&["reload", "lbd"]).is_err(), "such a file is refused");
    ensure!(service.property("ActiveState")? == "active");
    ensure!(service.property("MainPID")? == process, "it is the same daemon");
    // The daemon and the command that systemd runs both say so.
    ensure!(
        service.severities("to=master")? == ["6"],
        "{:#?}",
        service.journal()?
    );
    ensure!(
        service.severities("no key `nonsense`")? == ["3", "3"],
        "{:#?}",
        service.journal()?
    );
    Ok(())
}

#[test]
#[ignore = "needs a systemd of its own: cargo xtask test systemd"]
fn a_daemon_that_hangs_is_started_again() -> Result<()> {
    let service = Service::start(&configuration("1s"), "WatchdogSec=5s")?;
    service.becomes_master()?;
    let process = service.property("MainPID")?;
    systemctl(&["kill", "--signal=STOP", "--kill-whom=main", "lbd"])?;
    service.wait_for("NRestarts", |restarts| restarts == "1")?;
    service.wait_for("ActiveState", |state| state == "active")?;
    ensure!(service.property("MainPID")? != process);
    ensure!(service.log()?.contains("Watchdog timeout"), "{}", service.log()?);
    service.becomes_master()
}

#[test]
#[ignore = "needs a systemd of its own: cargo xtask test systemd"]
fn a_stop_waits_for_the_handover() -> Result<()> {
    let service = Service::start(&configuration("8s"), "TimeoutStopSec=2s")?;
    service.becomes_master()?;
    let start = Instant::now();
    systemctl(&["stop", "lbd"])?;
    let took = start.elapsed();
    // Nobody succeeds it: it forwards for as long as a successor would have waited.
    ensure!(took > Duration::from_secs(4), "{took:?}: {}", service.log()?);
    ensure!(service.property("Result")? == "success", "{}", service.log()?);
    ensure!(service.property("ExecMainStatus")? == "0", "{}", service.log()?);
    ensure!(
        !run(Command::new("ip").args(["address", "show"]))?.contains("10.0.0.100"),
        "the address is gone"
    );
    Ok(())
}
