//! The XDP program in the kernel, attached to nothing: `BPF_PROG_TEST_RUN` sends it packets one by one.

mod loaded;

use std::path::PathBuf;

use self::loaded::Loaded;
use crate::binaries;
use anyhow::{Context, Result, ensure};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues, RingBuf};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use lb_common::{
    Address, AddressEntry, Allowance, Connection, Counters, Episode, FlowBucket, FlowClock, FlowName,
    FlowSecret, FlowWord, IndexedService, Interface, Lease, Load, Peer, Places, Policy, PortsOwner, Prefix,
    Real, RingWord, SECOND, Service, ServiceKey, ServicePorts, TunnelSourceKey, Verdict, VirtualRouterEntry,
    VirtualRouterKey, WORDS_PER_BUCKET, flow_buckets,
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
    ebpf: Loaded,
}

/// The program of the object that packets go to.
const PROGRAM: &str = "lbd";

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
    /// Loads the program, with a table for this many connections.
    ///
    /// # Errors
    /// It isn't built, or the kernel refuses it.
    pub fn load(connections: u32) -> Result<Self> {
        Self::load_with(connections, 0, true)
    }

    /// The same, with a log line for each packet.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_traced(connections: u32) -> Result<Self> {
        Self::load_with(connections, 1, true)
    }

    /// Like [`Self::load`], without names of connections.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_nameless(connections: u32) -> Result<Self> {
        Self::load_with(connections, 0, false)
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

    fn load_with(connections: u32, trace: u32, has_names: bool) -> Result<Self> {
        let buckets = flow_buckets(connections);
        let load = || load(buckets, trace, has_names);
        let mut dataplane = Self {
            ebpf: if trace == 0 && has_names {
                Loaded::shared(buckets, load)?
            } else {
                Loaded::alone(load()?)
            },
        };
        dataplane
            .array(maps::FLOW_CLOCK)
            .set(0, FlowClock::default(), 0)
            .context("FLOW_CLOCK")?;
        Ok(dataplane)
    }

    fn program(&mut self) -> &mut Xdp {
        self.ebpf
            .program_mut(PROGRAM)
            .and_then(|program| program.try_into().ok())
            .expect("the program was there when it was loaded")
    }

    /// The program, for another one to hand packets to.
    ///
    /// # Errors
    /// None: it is loaded.
    pub fn program_fd(&mut self) -> Result<&ProgramFd> {
        self.program().fd().context("the program is loaded")
    }

    /// The number that the kernel knows the program by.
    ///
    /// # Panics
    /// The kernel does not tell.
    pub fn program_id(&mut self) -> u32 {
        self.program().info().expect("the program is loaded").id()
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

    /// How many connections were counted of the real server at `slot`.
    pub fn load_of(&mut self, slot: u32) -> Load {
        self.array(maps::LOADS).get(&slot, 0).expect("LOADS")
    }

    /// Writes how many that are.
    pub fn put_load(&mut self, slot: u32, load: Load) {
        self.array(maps::LOADS).set(slot, load, 0).expect("LOADS");
    }

    /// All words of the table that are in use.
    pub fn flows(&mut self) -> Vec<FlowWord> {
        let buckets = self.buckets();
        let all = buckets.iter().flat_map(|bucket| bucket.expect("FLOWS").words);
        all.filter(|word| *word != FlowWord::EMPTY).collect()
    }

    /// Writes a service and its schedule.
    pub fn put_service(&mut self, key: ServiceKey, service: Service, ring: &[u32]) {
        for (index, slots) in
            (service.ring_offset / RingWord::SLOTS..).zip(ring.chunks(RingWord::SLOTS as usize))
        {
            let word = RingWord::of(slots.iter().map(|slot| *slot as u16));
            self.array(maps::RINGS).set(index, word, 0).expect("RINGS");
        }
        let indexed = IndexedService {
            key,
            lease: service.lease,
            new_flow_limit: service.new_flow_limit,
        };
        self.array(maps::SERVICE_INDEX)
            .set(service.index, indexed, 0)
            .expect("SERVICE_INDEX");
        self.table(maps::SERVICES)
            .insert(key, service, 0)
            .expect("SERVICES");
    }

    /// Writes the policy: bits of [`lb_common::policy_flags`].
    pub fn put_policy(&mut self, flags: u32) {
        let policy = Policy { flags, _reserved: 0 };
        self.array(maps::POLICY).set(0, policy, 0).expect("POLICY");
    }

    /// Says whose the ports are that have the first `bits` bits in common with `port`, under `key`'s address and
    /// protocol.
    pub fn put_ports(&mut self, key: ServiceKey, bits: u32, owner: PortsOwner) {
        let map = self
            .ebpf
            .map_mut(maps::SERVICE_PORTS.name)
            .expect("the object has the map");
        let ports = ServicePorts {
            address: key.address,
            protocol: (key.protocol as u16).to_be_bytes(),
            port: key.port.to_be_bytes(),
        };
        let mut map: LpmTrie<_, ServicePorts, PortsOwner> =
            LpmTrie::try_from(map).expect("the map holds this");
        map.insert(&Key::new(ServicePorts::EVERY_PORT + bits, ports), owner, 0)
            .expect("SERVICE_PORTS");
    }

    /// When the service at `index` had more new connections than are remembered.
    pub fn episode(&mut self, index: u32) -> Episode {
        self.array(maps::EPISODES).get(&index, 0).expect("EPISODES")
    }

    /// Has the last episode of the service at `index` end at `until` (nanoseconds of `CLOCK_BOOTTIME`).
    pub fn put_episode(&mut self, index: u32, until: u64) {
        let episode = Episode {
            until,
            ..self.episode(index)
        };
        self.array(maps::EPISODES)
            .set(index, episode, 0)
            .expect("EPISODES");
    }

    /// Has the service at `index` begin an episode with what comes next: as if more than its limit had come.
    pub fn use_up_new_flows(&mut self, index: u32) {
        let episode = Episode {
            allowance: Allowance {
                paid_until: boot_now() + 60 * SECOND,
            },
            ..self.episode(index)
        };
        self.array(maps::EPISODES)
            .set(index, episode, 0)
            .expect("EPISODES");
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

    /// Writes where tunnels begin.
    pub fn put_tunnel_source(&mut self, key: TunnelSourceKey, source: Address) {
        self.table(maps::TUNNEL_SOURCES)
            .insert(key, source, 0)
            .expect("TUNNEL_SOURCES");
    }

    /// Writes another real server of a service that this node is a real server of.
    pub fn put_peer(&mut self, peer: Peer) {
        self.table(maps::PEERS).insert(peer, 0, 0).expect("PEERS");
    }

    /// Says what the addresses of a prefix may do.
    pub fn put_access(&mut self, prefix: Prefix, access: u32) {
        let map = self
            .ebpf
            .map_mut(maps::ACCESS.name)
            .expect("the object has the map");
        let mut trie: LpmTrie<_, Address, u32> = LpmTrie::try_from(map).expect("the map holds this");
        let key = Key::new(prefix.length, prefix.address);
        trie.insert(&key, access, 0).expect("ACCESS");
    }

    /// How many connections the table has words for.
    pub fn words(&mut self) -> u32 {
        self.buckets().len() * WORDS_PER_BUCKET as u32
    }

    fn buckets(&mut self) -> Array<&mut MapData, FlowBucket> {
        self.array(maps::FLOWS)
    }

    /// The places of a connection in the table.
    pub fn places(&mut self, key: &impl Connection) -> Places {
        let mask = self.buckets().len() - 1;
        Places::new(key.hash(&FLOW_SECRET), mask)
    }

    /// What is remembered of a connection: the bucket, the way in it, and the word.
    pub fn find_flow(&mut self, key: &impl Connection) -> Option<(u32, usize, FlowWord)> {
        let places = self.places(key);
        let buckets = self.buckets();
        [
            (places.first, places.first_tag),
            (places.second, places.second_tag),
        ]
        .into_iter()
        .find_map(|(bucket, tag)| {
            let words = buckets.get(&bucket, 0).expect("FLOWS").words;
            let way = words.iter().position(|word| word.tag() == tag)?;
            Some((bucket, way, words[way]))
        })
    }

    /// What is remembered of a connection.
    pub fn flow(&mut self, key: &impl Connection) -> Option<FlowWord> {
        self.find_flow(key).map(|(_, _, word)| word)
    }

    /// Remembers a connection as `state`, with the real server in `slot`, as if a packet had come at `seen_at`
    /// (nanoseconds of `CLOCK_BOOTTIME`); in the place that it has, or in the first free one of its first bucket.
    pub fn put_flow(&mut self, key: &impl Connection, state: u64, slot: u32, seen_at: u64) {
        let places = self.places(key);
        let seen = FlowClock::default().of(state).at(seen_at);
        let found = self.find_flow(key);
        let mut buckets = self.buckets();
        let (index, way, tag) = found.map_or_else(
            || {
                let words = buckets.get(&places.first, 0).expect("FLOWS").words;
                let free = words.iter().position(|word| *word == FlowWord::EMPTY);
                (places.first, free.expect("a free word"), places.first_tag)
            },
            |(index, way, word)| (index, way, word.tag()),
        );
        let mut bucket = buckets.get(&index, 0).expect("FLOWS");
        bucket.words[way] = FlowWord::new(tag, state, seen, slot);
        buckets.set(index, bucket, 0).expect("FLOWS");
    }

    /// The name that was written for a connection.
    pub fn flow_name(&mut self, key: &impl Connection) -> Option<FlowName> {
        let (bucket, way, _) = self.find_flow(key)?;
        let slot = bucket * WORDS_PER_BUCKET as u32 + way as u32;
        Some(self.array(maps::FLOW_NAMES).get(&slot, 0).expect("FLOW_NAMES"))
    }
}

/// Loads the object, for a table of that many buckets.
fn load(buckets: u32, trace: u32, has_names: bool) -> Result<Ebpf> {
    let names = if has_names {
        buckets * WORDS_PER_BUCKET as u32
    } else {
        1
    };
    let mask = buckets - 1;
    let mut ebpf = EbpfLoader::new()
        .map_max_entries(maps::FLOWS.name, buckets)
        .map_max_entries(maps::FLOW_NAMES.name, names)
        .override_global(maps::FLOW_MASK, &mask, true)
        .override_global(maps::FLOW_SECRET, &FLOW_SECRET, true)
        .override_global(maps::WRITE_NAMES, &u32::from(has_names), true)
        .override_global(maps::TRACE_PACKETS, &trace, true)
        .load_file(object("lb-ebpf.o")?)
        .context("cannot load lb-ebpf.o")?;
    let program: &mut Xdp = ebpf
        .program_mut(PROGRAM)
        .with_context(|| format!("no program {PROGRAM}"))?
        .try_into()?;
    program
        .load()
        .with_context(|| format!("the kernel refuses {PROGRAM}"))?;
    Ok(ebpf)
}

/// What connections are hashed with here.
pub const FLOW_SECRET: FlowSecret = FlowSecret {
    words: [
        0x243f_6a88,
        0x85a3_08d3,
        0x1319_8a2e,
        0x0370_7344,
        0xa409_3822,
        0x299f_31d0,
        0x082e_fa98,
        0xec4e_6c89,
        0x4528_21e6,
        0x38d0_1377,
    ],
};

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
