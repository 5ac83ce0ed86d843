//! Who answers for an address: an ARP request every few milliseconds, and the MAC addresses in the replies.
//!
//! ARP has no sequence numbers. Each request asks in the name of another address of a pool instead, to which its
//! replies are directed, so that a request answered by two nodes is told from two requests answered by one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{Node, Wire, wait};

/// The addresses asked for in turn are 10.0.0.128 to 10.0.0.191: nobody has them.
const POOL_START: u8 = 128;
const POOL_SIZE: usize = 64;

/// After so many replies in a row from one node, nobody else answers.
const ALONE: usize = 5;

/// A running watch.
#[derive(Debug)]
pub struct ArpWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    report: Mutex<ArpReport>,
    /// Who sent the last replies, and how many without another's in between.
    streak: Mutex<([u8; 6], usize)>,
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArpReport {
    /// Requests sent.
    pub requests: usize,
    /// Requests that two nodes or more answered.
    pub answered_by_two: usize,
    /// How many replies each MAC address sent.
    pub replies: BTreeMap<[u8; 6], usize>,
    /// Who answered alone, in the order of the requests; each change once.
    pub succession: Vec<[u8; 6]>,
}

impl ArpWatch {
    /// Starts to ask every `period` who has `address`.
    ///
    /// # Errors
    /// There is no packet socket to be had.
    pub fn start(from: &impl AsRef<Node>, address: Ipv4Addr, period: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let node = from.as_ref();
        let own = node.mac;
        let wire = Wire::open(node, "eth0", libc::ETH_P_ARP)?;
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || watch(&wire, own, address, period, &shared)
        });
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Who answered so far. A request is judged when its address comes up again, after 64 others.
    #[must_use]
    pub fn so_far(&self) -> ArpReport {
        locked(&self.shared.report).clone()
    }

    /// Waits until `node` answers, and nobody else.
    ///
    /// # Errors
    /// It doesn't within ten seconds.
    pub fn sees(&self, node: &Node) -> Result<()> {
        wait::until(
            &format!("{} answers for the address", node.name),
            Duration::from_secs(10),
            || {
                let (mac, replies) = *locked(&self.shared.streak);
                (mac == node.mac && replies >= ALONE).then_some(())
            },
        )
    }

    /// Stops and says who answered.
    ///
    /// # Errors
    /// The socket failed.
    pub fn finish(mut self) -> Result<ArpReport> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it is finished once")?;
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("the ARP watch panicked"))??;
        Ok(self.so_far())
    }
}

impl Drop for ArpWatch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(wire: &Wire, own: [u8; 6], address: Ipv4Addr, period: Duration, shared: &Shared) -> io::Result<()> {
    let mut answered: Vec<BTreeSet<[u8; 6]>> = vec![BTreeSet::new(); POOL_SIZE];
    let mut next = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            let slot = {
                let mut report = locked(&shared.report);
                let slot = report.requests % POOL_SIZE;
                conclude(&mut report, &mut answered[slot]);
                report.requests += 1;
                slot
            };
            wire.send(&request(own, address, slot))?;
            next += period;
        }
        if let Some((slot, mac)) = wire.next(next).and_then(|frame| reply(&frame, address)) {
            *locked(&shared.report).replies.entry(mac).or_default() += 1;
            answered[slot].insert(mac);
            let mut streak = locked(&shared.streak);
            *streak = if streak.0 == mac {
                (mac, streak.1 + 1)
            } else {
                (mac, 1)
            };
        }
    }
    // The oldest first.
    let mut report = locked(&shared.report);
    for offset in 0..POOL_SIZE {
        let slot = (report.requests + offset) % POOL_SIZE;
        conclude(&mut report, &mut answered[slot]);
    }
    Ok(())
}

/// A report is whole between any two statements here: a panic elsewhere doesn't spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts who answered the request that used a slot of the pool before, and clears the slot.
fn conclude(report: &mut ArpReport, answered: &mut BTreeSet<[u8; 6]>) {
    let answered = std::mem::take(answered);
    if answered.len() > 1 {
        report.answered_by_two += 1;
    } else if let Some(mac) = answered.first()
        && report.succession.last() != Some(mac)
    {
        report.succession.push(*mac);
    }
}

/// A broadcast ARP request for `address`, in the name of address `slot` of the pool.
fn request(own: [u8; 6], address: Ipv4Addr, slot: usize) -> Vec<u8> {
    let sender = pool_address(slot);
    [
        [0xff; 6].as_slice(),
        &own,
        &[0x08, 0x06],
        // Ethernet, IPv4, 6 and 4 bytes long, request
        &[0, 1, 0x08, 0, 6, 4, 0, 1],
        &own,
        &sender.octets(),
        &[0; 6],
        &address.octets(),
    ]
    .concat()
}

fn pool_address(slot: usize) -> Ipv4Addr {
    let host = POOL_START + u8::try_from(slot).expect("the pool is smaller than a byte");
    Ipv4Addr::new(10, 0, 0, host)
}

/// If `frame` is a reply about `address` to the pool: to which slot, and from which MAC address.
fn reply(frame: &[u8], address: Ipv4Addr) -> Option<(usize, [u8; 6])> {
    // operation, sender's MAC and IP address, target's IP address
    let (operation, mac, sender, target) = (
        frame.get(20..22)?,
        frame.get(22..28)?,
        frame.get(28..32)?,
        frame.get(38..42)?,
    );
    if operation != [0, 2] || sender != address.octets() || target[..3] != [10, 0, 0] {
        return None;
    }
    let slot = usize::from(target[3].checked_sub(POOL_START)?);
    (slot < POOL_SIZE).then_some((slot, mac.try_into().ok()?))
}
