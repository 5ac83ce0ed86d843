//! The daemon: two event loops, each on its own thread, and what starts and stops them.
//!
//! * The VRRP loop (`vrrp_loop.rs`) owns what must happen at once, in one order, at a failover: the VRRP sockets, the
//!   virtual addresses, the leases and the program's links.
//! * The director loop (`director_loop.rs`) owns the forwarding maps, the health checks, the neighbours and the control
//!   socket.
//!
//! They share two levels (`channel.rs`): what the VRRP loop is to do, and what has become of it. A long reload or a
//! thousand probes never delay an advertisement. Beside them, `sweeper.rs` forgets connections that are over.

mod chain;
mod channel;
mod director_loop;
mod host;
mod listeners;
mod losses;
mod manager;
mod news;
mod open_files;
mod probes;
mod programs;
mod requests;
mod signals;
mod silence;
mod sweeper;
mod vrrp_loop;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use lb_common::maps;
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::api::{Problem, ProblemCode};
use crate::config::Loaded;
use crate::director::{Director, Interfaces, NetworkInterface, flow_clock};
use crate::io::bpf::{Dataplane, OpenOptions};
use crate::io::clock;
use crate::io::control::ControlSocket;
use crate::io::limits;
use crate::io::netlink::{Events, Link, Netlink, Resolver, Topic};
use crate::io::service_manager::ServiceManager;
use crate::model::LeaseSlot;
use director_loop::DirectorLoop;
use probes::Probes;
use programs::Programs;
use signals::{OtherSignals, Signals};
use silence::Silence;
use sweeper::Sweeper;
use vrrp_loop::VrrpLoop;

/// The file of `state_dir` that SIGUSR1 has the status written to.
const STATUS_FILE: &str = "status.json";

/// What follows the control socket's name in that of the file beside it where it is written down which interfaces had
/// `arp_ignore` 0.
const SILENCE_SUFFIX: &str = ".arp_ignore";

/// How long the end waits for news to be told.
const LAST_NEWS: Duration = Duration::from_secs(1);

/// How the daemon is started.
#[derive(Debug)]
pub struct Options {
    /// The configuration file, read again at a reload.
    pub config_path: PathBuf,
    /// What was read from it.
    pub loaded: Loaded,
    /// Log a line for every packet.
    pub trace_packets: bool,
}

/// Runs the daemon in the calling thread's network namespace until it is told to stop.
///
/// # Errors
/// If it cannot start, or something that it cannot do without has failed.
pub fn run(options: Options) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(start_and_run(options));
    result.map_err(|error| match limits::remedy(error.as_ref()) {
        Some(remedy) => anyhow!("{error:#}: {remedy}"),
        None => error,
    })
}

async fn start_and_run(options: Options) -> anyhow::Result<()> {
    let Options {
        config_path,
        loaded,
        trace_packets,
    } = options;
    let configuration = loaded.configuration;
    let (manager, [pulse, vrrp_pulse]) = ServiceManager::find(["director", "VRRP"])
        .context("cannot start a thread for the service manager")?;
    let signals = Signals::listen().context("cannot listen to signals")?;
    let other_signals = OtherSignals::listen().context("cannot listen to signals")?;
    clock::require_kernels_boot_clock()?;
    refuse_without_capabilities()?;
    // Before all that changes anything: a second daemon ends here, before it touches the first one's pins.
    let control = ControlSocket::bind(&configuration.node.control_socket)?;
    let dump = configuration.node.state_dir.join(STATUS_FILE);
    let mut silence_path = configuration.node.control_socket.clone().into_os_string();
    silence_path.push(SILENCE_SUFFIX);
    tokio::spawn(other_signals.attend(control.caller(), dump));

    let (checks_at_once, complaint) = open_files::allow(&configuration);
    if let Some(complaint) = complaint {
        warn!("{complaint}");
    }
    if let Err(error) = limits::lock_memory() {
        info!(%error, "cannot lock the memory: under memory pressure, advertisements may be late (CAP_IPC_LOCK helps)");
    }
    let netlink = Netlink::new()?;
    // Before the state is read: no change falls between.
    let kernel = Events::subscribe(&[Topic::Links, Topic::Addresses, Topic::Neighbours])?;
    let interfaces = by_name(netlink.links().await?);

    let Dataplane {
        mut leases,
        attachments,
        tables,
        statistics,
        trace,
        replaced,
        pins_private,
        flows,
        loads,
        map_pins,
        lost,
    } = Dataplane::open(OpenOptions {
        pin_dir: &configuration.node.pin_dir,
        flow_table_size: configuration.dataplane.flow_table_size,
        flow_names: configuration.dataplane.flow_names,
        flow_clock: flow_clock(configuration.dataplane.flow_timeouts),
        trace_packets,
    })?;
    if let Some(reason) = replaced {
        warn!(%reason, "replacing the pinned maps of an earlier daemon: their connections are forgotten");
    }
    let pins_private = pins_private.map(|reason| Problem {
        code: ProblemCode::PinsPrivate,
        subject: reason.pin_dir.display().to_string(),
        message: reason.to_string(),
        since: SystemTime::now().into(),
    });
    if let Some(problem) = &pins_private {
        warn!("{}", problem.message);
    }
    if let Some(trace) = trace {
        tokio::spawn(async move {
            if let Err(error) = trace.copy().await {
                warn!(%error, "cannot read what the program logs");
            }
        });
    }
    let director = Director::new(configuration, interfaces, tables.read()?, Instant::now())?;
    // What an earlier daemon held for virtual routers that are configured no more is nobody's.
    let lease_slots = director.lease_slots();
    let assigned: Vec<LeaseSlot> = director
        .configuration()
        .vrrp_instances
        .iter()
        .filter_map(|instance| lease_slots.slot(instance))
        .collect();
    for slot in (0..maps::LEASES.capacity)
        .map(LeaseSlot::new)
        .filter(|slot| lease_slots.fresh().contains(slot) || !assigned.contains(slot))
    {
        leases.vacate(slot);
    }

    let state_dir = director.configuration().node.state_dir.clone();
    let (news, received) = news::channel();
    let spreading = tokio::spawn(received.spread());
    let (assignment, assigned) = watch::channel(director.assignment().clone());
    let (reporter, report) = watch::channel(channel::Report::default());
    tokio::spawn(manager::inform(manager.clone(), assigned.clone(), report.clone()));
    let losses = losses::LossesNow::default();
    match lost {
        Ok(lost) => drop(tokio::spawn(losses.clone().watch(
            lost,
            assigned.clone(),
            netlink.clone(),
        ))),
        Err(error) => info!(
            error = format!("{error:#}"),
            "packets that are lost on their way out are not counted: the kernel does not tell"
        ),
    }
    let sweeper = Sweeper::start(Arc::clone(&flows), loads).context("cannot start the thread that sweeps")?;
    let mut director = DirectorLoop {
        director,
        config_path,
        started: Instant::now(),
        loaded_at: SystemTime::now(),
        refused_reload: None,
        resolver: Resolver::new(netlink.clone()),
        netlink,
        kernel,
        tables,
        map_pins,
        flows,
        statistics,
        probes: Probes::new(checks_at_once),
        sweeper,
        assignment,
        report,
        control,
        news,
        problems: pins_private.into_iter().collect(),
        losses,
        manager,
        pulse,
    };
    // Before an election is won: the tables are warm when packets come.
    director.prepare().await?;

    let news = director.news.clone();
    let silence = Silence::new(silence_path.into());
    let programs = Programs::new(attachments, &state_dir).context("cannot take over the pinned links")?;
    let vrrp = std::thread::Builder::new()
        .name("vrrp".to_owned())
        .spawn(move || VrrpLoop::run(leases, programs, silence, assigned, reporter, news, vrrp_pulse))
        .context("cannot start the VRRP thread")?;
    info!(version = env!("CARGO_PKG_VERSION"), "started");
    let result = director.run(signals).await;
    if vrrp.is_finished() || result.is_ok() {
        vrrp.join()
            .map_err(|_| anyhow!("the VRRP loop panicked"))?
            .context("the VRRP loop failed")?;
    }
    // All that happened is told, unless the VRRP loop is stuck and goes on holding its end.
    if timeout(LAST_NEWS, spreading).await.is_err() {
        warn!("some of what happened last is not told");
    }
    result?;
    info!("stopped");
    Ok(())
}

/// What the kernel would refuse later, it is asked for now.
fn refuse_without_capabilities() -> anyhow::Result<()> {
    let missing = limits::missing_capabilities().context("cannot tell which capabilities lbd has")?;
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    bail!(
        "missing here: {}: start lbd as root, or give it what its unit lbd.service lists in CapabilityBoundingSet",
        missing.join(", ")
    )
}

/// The interfaces as the director knows them.
fn by_name(links: Vec<Link>) -> Interfaces {
    let tagged: BTreeSet<u32> = links
        .iter()
        .filter(|link| link.build.tag.is_some())
        .map(|link| link.index)
        .collect();
    links
        .into_iter()
        .map(|link| {
            let build = link.build;
            let vlan = build.lower.zip(build.tag.map(|tag| tag.id));
            let interface = NetworkInterface {
                index: link.index,
                mac: link.mac,
                up: link.up,
                vlan: vlan.filter(|(below, _)| !tagged.contains(below)),
            };
            (link.name, interface)
        })
        .collect()
}
