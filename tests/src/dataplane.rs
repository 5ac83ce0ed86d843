//! The XDP program in the kernel, attached to nothing: `BPF_PROG_TEST_RUN` sends it packets one by one.

use std::path::PathBuf;
use std::time::Duration;

use crate::binaries;
use anyhow::{Context, Result, ensure};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues, ProgramArray, RingBuf};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use lb_common::{
    Address, AddressEntry, Counters, Flow, IndexedService, Interface, Lease, Real, Service, ServiceKey,
    Verdict, VirtualRouterEntry, VirtualRouterKey,
    maps::{self, Map},
};

/// The interface that test packets arrive on: the namespace's `lo`.
pub const INGRESS: u32 = 1;

/// The program's action: `enum xdp_action` of `linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `XDP_DROP`
    Drop,
    /// `XDP_PASS`
    Pass,
    /// `XDP_TX`
    Transmit,
    /// `XDP_REDIRECT`
    Redirect,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The one verdict that was counted.
    pub verdict: Verdict,
    /// What the program returned.
    pub action: Action,
    /// The frame as the program left it.
    pub frame: Vec<u8>,
}

/// The loaded program with maps of its own.
pub struct Dataplane {
    ebpf: Ebpf,
    program: &'static str,
}

/// Where `cargo xtask build-ebpf` puts the object `name`.
///
/// # Errors
/// It isn't built.
pub fn object(name: &str) -> Result<PathBuf> {
    let path = binaries::directory()?.join("../bpf").join(name);
    ensure!(
        path.exists(),
        "{} is not there: build it with `cargo xtask build-ebpf`",
        path.display()
    );
    Ok(path)
}

impl Dataplane {
    /// Loads the program, with tables of this many entries for established connections, and for all others.
    ///
    /// # Errors
    /// It isn't built, or the kernel refuses it.
    pub fn load(flows: u32, nascent: u32) -> Result<Self> {
        Self::load_with(&mut EbpfLoader::new(), flows, nascent)
    }

    /// The same, with a log line for each packet.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_traced(flows: u32, nascent: u32) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.override_global("TRACE_PACKETS", &1_u32, true);
        Self::load_with(&mut loader, flows, nascent)
    }

    /// The log lines since the last call, as `aya-log` encodes them.
    ///
    /// # Panics
    /// The program has no log.
    pub fn log_lines(&mut self) -> Vec<Vec<u8>> {
        let map = self.ebpf.map_mut("AYA_LOGS").expect("the object has a log");
        let mut lines = RingBuf::try_from(map).expect("the log is a ring buffer");
        let mut read = Vec::new();
        while let Some(line) = lines.next() {
            read.push(line.to_vec());
        }
        read
    }

    fn load_with(loader: &mut EbpfLoader<'_>, flows: u32, nascent: u32) -> Result<Self> {
        for table in [maps::FLOWS4.name, maps::FLOWS6.name] {
            loader.map_max_entries(table, flows);
        }
        for table in [
            maps::NASCENT4.name,
            maps::NASCENT6.name,
            maps::DATAGRAMS4.name,
            maps::DATAGRAMS6.name,
            maps::CLOSING4.name,
            maps::CLOSING6.name,
        ] {
            loader.map_max_entries(table, nascent);
        }
        let ebpf = loader
            .load_file(object("lb-ebpf.o")?)
            .context("cannot load lb-ebpf.o")?;
        Self::start(ebpf, "lbd")
    }

    /// Loads one of the programs that `lbd` is compared with.
    ///
    /// # Errors
    /// It isn't built, or the kernel refuses it.
    pub fn load_floor(program: &'static str) -> Result<Self> {
        let ebpf = EbpfLoader::new()
            .load_file(object("floor.o")?)
            .context("cannot load floor.o")?;
        Self::start(ebpf, program)
    }

    /// Loads the program that makes each repetition of an IPv4 packet another client's (as many as `clients`, a power
    /// of two) and hands it to `next`. Send packets to what is returned.
    ///
    /// # Errors
    /// It isn't built, or the kernel refuses it.
    pub fn load_varying(clients: u32, next: &mut Self) -> Result<Self> {
        Self::load_before("vary", clients, next)
    }

    /// Loads the program that gives each repetition of a packet back the hop that the last one took, and hands it to
    /// `next`. Send packets to what is returned.
    ///
    /// # Errors
    /// It isn't built, or the kernel refuses it.
    pub fn load_rewinding(next: &mut Self) -> Result<Self> {
        Self::load_before("rewind", 1, next)
    }

    fn load_before(program: &'static str, clients: u32, next: &mut Self) -> Result<Self> {
        let mask = clients - 1;
        let ebpf = EbpfLoader::new()
            .override_global("FLOOR_CLIENTS", &mask, true)
            .load_file(object("floor.o")?)
            .context("cannot load floor.o")?;
        let mut before = Self::start(ebpf, program)?;
        let map = before.ebpf.map_mut("FLOOR_NEXT").context("no FLOOR_NEXT")?;
        ProgramArray::try_from(map)?.set(0, next.program().fd()?, 0)?;
        Ok(before)
    }

    fn start(mut ebpf: Ebpf, program: &'static str) -> Result<Self> {
        let xdp: &mut Xdp = ebpf
            .program_mut(program)
            .with_context(|| format!("no program {program}"))?
            .try_into()?;
        xdp.load()
            .with_context(|| format!("the kernel refuses {program}"))?;
        Ok(Self { ebpf, program })
    }

    fn program(&mut self) -> &mut Xdp {
        self.ebpf
            .program_mut(self.program)
            .and_then(|program| program.try_into().ok())
            .expect("the program was there when it was loaded")
    }

    /// How many instructions the kernel has followed to verify the program (Linux 5.16).
    ///
    /// # Panics
    /// The kernel does not tell.
    pub fn verified_instructions(&mut self) -> u32 {
        let information = self.program().info().expect("the program is loaded");
        information
            .verified_instruction_count()
            .expect("the kernel tells")
    }

    /// Sends a packet.
    ///
    /// # Panics
    /// The kernel refuses, or the program counted anything but one verdict.
    pub fn send(&mut self, frame: &[u8]) -> Fate {
        let before = self.verdicts();
        let (action, frame) = self.run(frame);
        let after = self.verdicts();
        let counted: Vec<Verdict> = Verdict::ALL
            .into_iter()
            .filter(|verdict| after[*verdict as usize] != before[*verdict as usize])
            .collect();
        let [verdict] = counted[..] else {
            panic!("one packet, and these verdicts: {counted:?}");
        };
        assert_eq!(after[verdict as usize], before[verdict as usize] + 1);
        Fate {
            verdict,
            action,
            frame,
        }
    }

    /// Sends a packet, without looking at what is counted.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn run(&mut self, frame: &[u8]) -> (Action, Vec<u8>) {
        let mut out = vec![0; frame.len() + 256];
        let result = self
            .program()
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut out),
                ..TestRunOptions::new()
            })
            .expect("BPF_PROG_TEST_RUN");
        out.truncate(result.data_size_out as usize);
        let action = match result.return_value {
            1 => Action::Drop,
            2 => Action::Pass,
            3 => Action::Transmit,
            4 => Action::Redirect,
            other => panic!("the program returned {other}"),
        };
        (action, out)
    }

    /// How long the program takes for the packet, on average of `repeat` times.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn time(&mut self, frame: &[u8], repeat: u32) -> Duration {
        self.program()
            .test_run(TestRunOptions {
                data_in: Some(frame),
                repeat,
                ..TestRunOptions::new()
            })
            .expect("BPF_PROG_TEST_RUN")
            .duration
    }

    fn array<V: Pod>(&mut self, map: Map<u32, V>) -> Array<&mut MapData, V> {
        let map = self.ebpf.map_mut(map.name).expect("the object has the map");
        Array::try_from(map).expect("the map holds this")
    }

    /// A hash table of the program.
    ///
    /// # Panics
    /// The program has no such table.
    pub fn table<K: Pod, V: Pod>(&mut self, map: Map<K, V>) -> HashMap<&mut MapData, K, V> {
        let map = self.ebpf.map_mut(map.name).expect("the object has the map");
        HashMap::try_from(map).expect("the map holds this")
    }

    fn per_cpu<V: Pod>(&mut self, map: Map<u32, V>, index: u32) -> PerCpuValues<V> {
        let map = self.ebpf.map(map.name).expect("the object has the map");
        let array: PerCpuArray<_, V> = PerCpuArray::try_from(map).expect("the map holds this");
        array.get(&index, 0).expect("the index is below the capacity")
    }

    /// How often each verdict was counted.
    pub fn verdicts(&mut self) -> Vec<u64> {
        (0..Verdict::COUNT)
            .map(|index| self.per_cpu(maps::VERDICTS, index).iter().sum())
            .collect()
    }

    fn counters(&mut self, map: Map<u32, Counters>, index: u32) -> Counters {
        let mut sum = Counters::default();
        for counters in self.per_cpu(map, index).iter() {
            sum.connections += counters.connections;
            sum.packets += counters.packets;
            sum.bytes += counters.bytes;
        }
        sum
    }

    /// What was counted of the service at `index`.
    pub fn service_counters(&mut self, index: u32) -> Counters {
        self.counters(maps::SERVICE_STATS, index)
    }

    /// What was counted of the real server at `slot`.
    pub fn real_counters(&mut self, slot: u32) -> Counters {
        self.counters(maps::REAL_STATS, slot)
    }

    /// Writes a real server.
    ///
    /// # Panics
    /// The kernel refuses; so for all that follow.
    pub fn put_real(&mut self, slot: u32, real: Real) {
        self.array(maps::REALS).set(slot, real, 0).expect("REALS");
    }

    /// The real server at `slot`.
    pub fn real(&mut self, slot: u32) -> Real {
        self.array(maps::REALS).get(&slot, 0).expect("REALS")
    }

    /// Writes a service and its schedule.
    pub fn put_service(&mut self, key: ServiceKey, service: Service, ring: &[u32]) {
        for (position, slot) in (service.ring_offset..).zip(ring) {
            self.array(maps::RINGS).set(position, *slot, 0).expect("RINGS");
        }
        let indexed = IndexedService {
            key,
            lease: service.lease,
            _reserved: 0,
        };
        self.array(maps::SERVICE_INDEX)
            .set(service.index, indexed, 0)
            .expect("SERVICE_INDEX");
        self.table(maps::SERVICES)
            .insert(key, service, 0)
            .expect("SERVICES");
    }

    /// Writes a lease.
    pub fn put_lease(&mut self, slot: u32, lease: Lease) {
        self.array(maps::LEASES).set(slot, lease, 0).expect("LEASES");
    }

    /// The lease at `slot`.
    pub fn lease(&mut self, slot: u32) -> Lease {
        self.array(maps::LEASES).get(&slot, 0).expect("LEASES")
    }

    /// Says that a lease guards an address.
    pub fn put_address(&mut self, address: Address, lease: u32) {
        let (word, bit) = (address.filter_bit() / u64::BITS, address.filter_bit() % u64::BITS);
        let mut filter = self.array(maps::ADDRESS_FILTER);
        let present = filter.get(&word, 0).expect("ADDRESS_FILTER");
        filter.set(word, present | 1 << bit, 0).expect("ADDRESS_FILTER");
        self.table(maps::ADDRESSES)
            .insert(address, AddressEntry { lease }, 0)
            .expect("ADDRESSES");
    }

    /// Writes a virtual router.
    pub fn put_virtual_router(&mut self, key: VirtualRouterKey, entry: VirtualRouterEntry) {
        self.table(maps::VIRTUAL_ROUTERS)
            .insert(key, entry, 0)
            .expect("VIRTUAL_ROUTERS");
    }

    /// Writes an interface of the data plane.
    pub fn put_interface(&mut self, index: u32, interface: Interface) {
        self.array(maps::INTERFACES)
            .set(index, interface, 0)
            .expect("INTERFACES");
    }

    /// The entry of a flow table.
    pub fn flow<K: Pod>(&mut self, table: Map<K, Flow>, key: K) -> Option<Flow> {
        self.table(table).get(&key, 0).ok()
    }

    /// Changes the entry of a flow table.
    pub fn put_flow<K: Pod>(&mut self, table: Map<K, Flow>, key: K, flow: Flow) {
        self.table(table).insert(key, flow, 0).expect("a flow table");
    }
}

/// Nanoseconds of `CLOCK_BOOTTIME`: the clock of the maps.
#[must_use]
#[allow(
    unsafe_code,
    reason = "the standard library does not give this clock as a number"
)]
pub fn boot_now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes the structure that we own.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    assert_eq!(result, 0, "every Linux has this clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
