//! The XDP program and its maps as the daemon holds them. Nothing outside this folder names aya.
//!
//! Opening gives three parts with one owner each: [`Leases`] and [`Attachments`] go to the VRRP loop, whose business
//! is the moment of a failover; [`Tables`] goes to the director loop, which keeps the forwarding maps.

mod address_filter;
mod attachments;
mod bpffs;
mod episodes;
mod error;
mod flow_clock;
mod flows;
mod leases;
mod link;
mod loads;
mod lost;
mod map_pins;
mod mapped;
mod open_maps;
mod outlook;
mod pins;
mod statistics;
mod tables;
mod trace;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use aya::maps::Map;
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use lb_common::{FlowClock, maps};

pub use attachments::Attachments;
pub use error::Error;
pub use flows::FlowTable;
pub use leases::Leases;
pub use loads::Loads;
pub use lost::Lost;
pub use map_pins::MapPins;
pub use outlook::PinsPrivate;
pub use pins::Replaced;
pub use statistics::{Flows, Statistics};
pub use tables::Tables;
pub use trace::PacketTrace;

use open_maps::OpenMaps;
use pins::FlowSizes;

include!(concat!(env!("OUT_DIR"), "/ebpf_object.rs"));

/// The name of the program in the object.
const PROGRAM: &str = "lbd";

/// The opened data plane.
pub struct Dataplane {
    /// The right to the virtual addresses.
    pub leases: Leases,
    /// Where the program is attached.
    pub attachments: Attachments,
    /// The forwarding maps.
    pub tables: Tables,
    /// What the program counts.
    pub statistics: Statistics,
    /// What the program logs of packets, if it was asked to.
    pub trace: Option<PacketTrace>,
    /// Why pinned maps of an earlier daemon were not taken over, if there were such.
    pub replaced: Option<Replaced>,
    /// Why the pins do not outlive this daemon, if they do not.
    pub pins_private: Option<PinsPrivate>,
    /// The connections that are remembered.
    pub flows: Arc<FlowTable>,
    /// How many of them each real server has, where its scheduler counts them.
    pub loads: Loads,
    /// What keeps the maps pinned, and the pins this daemon's.
    pub map_pins: MapPins,
    /// Counts packets that are lost after the program has sent them off, or why that cannot be.
    pub lost: anyhow::Result<Lost>,
}

/// How the data plane is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions<'a> {
    /// Where maps and links are pinned. A bpffs is mounted there if it is on none.
    pub pin_dir: &'a Path,
    /// How many connections are to be remembered.
    pub flow_table_size: u32,
    /// Whether their addresses and ports are, too.
    pub flow_names: bool,
    /// For how long.
    pub flow_clock: FlowClock,
    /// Whether the program logs every packet.
    pub trace_packets: bool,
}

impl Dataplane {
    /// Loads the program and opens its maps: those that an earlier daemon pinned, where their layout is ours, else
    /// new ones, which are pinned.
    ///
    /// # Errors
    /// If the directory cannot be used, the object is missing, or the kernel refuses it.
    pub fn open(options: OpenOptions<'_>) -> Result<Self, Error> {
        if OBJECT.is_empty() {
            return Err(Error::NoObject);
        }
        let OpenOptions {
            pin_dir,
            flow_table_size,
            flow_names,
            flow_clock,
            trace_packets,
        } = options;
        let unusable = |source| Error::PinDirectory {
            path: pin_dir.to_owned(),
            source,
        };
        let mounted = bpffs::ensure(pin_dir)?;
        let lock = lock(pin_dir)?;
        let pins_private = outlook::of(pin_dir, mounted);
        let sizes = FlowSizes::of(flow_table_size, flow_names);
        let layout = pins::layout(sizes);
        let replaced = pins::remove_foreign(pin_dir, &layout).map_err(unusable)?;
        let flow_secret = pins::flow_secret(pin_dir).map_err(Error::Secret)?;

        let (flow_mask, write_names) = (sizes.buckets - 1, u32::from(flow_names));
        let trace = u32::from(trace_packets);
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries(maps::FLOWS.name, sizes.buckets)
            .map_max_entries(maps::FLOW_NAMES.name, sizes.names)
            .override_global(maps::FLOW_MASK, &flow_mask, true)
            .override_global(maps::FLOW_SECRET, &flow_secret, true)
            .override_global(maps::WRITE_NAMES, &write_names, true)
            .override_global(maps::TRACE_PACKETS, &trace, true);
        for map in &layout {
            loader.map_pin_path(map.name, pins::map_path(pin_dir, map.name));
        }
        let mut ebpf = loader.load(OBJECT)?;
        // Before the maps are taken: the program refers to them by their open descriptors.
        let program: &mut Xdp = ebpf
            .program_mut(PROGRAM)
            .ok_or(Error::Missing("program `lbd`"))?
            .try_into()
            .map_err(Error::from)?;
        program.load()?;
        let identifier = program.info()?.id();
        let open = OpenMaps::of(&ebpf, &layout)?;
        pins::mark(take(&mut ebpf, maps::META)?, flow_secret)?;
        let flows = Arc::new(FlowTable::open(&open, sizes)?);
        flows.set_clock(flow_clock).map_err(Error::Grace)?;
        let loads = Loads::open(&open)?;
        let statistics = Statistics::open(&open, Arc::clone(&flows))?;

        let trace = if trace_packets {
            Some(PacketTrace::open(&mut ebpf)?)
        } else {
            None
        };
        let leases = Leases::open(&take(&mut ebpf, maps::LEASES)?)?;
        let tables = Tables::open(&mut ebpf)?;
        let lost = Lost::open(&mut ebpf, identifier);
        let attachments = Attachments::open(ebpf, pins::links_directory(pin_dir));
        Ok(Self {
            leases,
            attachments,
            tables,
            statistics,
            trace,
            replaced,
            pins_private,
            flows,
            loads,
            map_pins: MapPins::new(pin_dir.to_owned(), open, lock),
            lost,
        })
    }
}

/// Makes the pins in `directory` ours. Two daemons that wrote the same maps would undo each other's work.
fn lock(directory: &Path) -> Result<File, Error> {
    let failed = |source| Error::PinDirectory {
        path: directory.to_owned(),
        source,
    };
    let file = File::open(directory).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: directory.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn take<K, V>(ebpf: &mut Ebpf, map: maps::Map<K, V>) -> Result<Map, Error> {
    ebpf.take_map(map.name).ok_or(Error::Missing(map.name))
}

#[cfg(test)]
mod tests {
    use super::{Error, lock};

    #[test]
    fn a_directory_of_pins_has_one_daemon_at_a_time() {
        let directory = std::env::temp_dir().join(format!("lbd-pins-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory of our own");
        let first = lock(&directory).expect("nobody has it");
        assert!(matches!(lock(&directory), Err(Error::InUse { .. })));
        drop(first);
        assert!(lock(&directory).is_ok());
        std::fs::remove_dir(&directory).expect("it is empty");
    }
}
