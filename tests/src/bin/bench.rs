//! What a packet costs: nanoseconds in the XDP program, beside what the least programs cost in the same run.
//!
//! `BPF_PROG_TEST_RUN` repeats each packet a million times in the kernel; the median of several such runs counts. What
//! it measures is a program whose instructions and data are in the cache: the difference between two programs, not
//! the cost of a packet from a wire. What `BPF_PROG_TEST_RUN` itself takes is the cost of a program that does nothing
//! (`XDP_TX` alone); the net figures are without it.

use std::time::Duration;

use anyhow::Result;
use lab::dataplane::{Dataplane, INGRESS, boot_now};
use lab::packet::{ACK, DIRECTOR_MAC, Packet, SYN};
use lb_common::{
    Address, Interface, Lease, Real, Service, ServiceKey, interface_flags, lease_state, protocol, real_flags,
};

/// How often each packet is repeated in one run.
const REPEAT: u32 = 1_000_000;
/// How many runs; the median counts.
const RUNS: usize = 7;
/// Connections that are known at once, in the measurement of a large table.
const CLIENTS: u32 = 1 << 16;

const VIP: [u8; 4] = [10, 0, 0, 100];
const VIP6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const LEASE: u32 = 0;

fn main() -> Result<()> {
    let packets = Packets::new()?;
    let mut rows = Vec::new();
    let mut alone = Dataplane::load_floor("transmit")?;
    let nothing = median(&mut alone, &packets.tcp4);
    let floor = median(&mut Dataplane::load_floor("track")?, &packets.tcp4);
    rows.push(("XDP_TX alone".to_owned(), nothing));
    rows.push(("floor: parse, one LRU hit, count, swap".to_owned(), floor));

    let mut dataplane = dataplane()?;
    for syn_or_datagram in [&packets.syn4, &packets.syn6, &packets.udp4] {
        dataplane.send(syn_or_datagram);
    }
    // What it costs to give a packet its hop back, or to make it another client's, and to hand it on, is taken off
    // again.
    let rewinding =
        median(&mut Dataplane::load_rewinding(&mut alone)?, &packets.tcp4).saturating_sub(nothing);
    let mut rewound = Dataplane::load_rewinding(&mut dataplane)?;
    for (name, packet) in [
        ("established TCP, IPv4", &packets.tcp4),
        ("established TCP, IPv6", &packets.tcp6),
        ("UDP, IPv4", &packets.udp4),
        ("not a virtual address, IPv4", &packets.elsewhere),
        ("ARP request for another", &packets.arp),
    ] {
        let cost = median(&mut rewound, packet).saturating_sub(rewinding);
        rows.push((name.to_owned(), cost));
    }
    let varying =
        median(&mut Dataplane::load_varying(CLIENTS, &mut alone)?, &packets.tcp4).saturating_sub(nothing);
    let mut clients = Dataplane::load_varying(CLIENTS, &mut dataplane)?;
    // Each client's first packet opens its connection, the next one establishes it.
    clients.time(&packets.syn4, CLIENTS);
    clients.time(&packets.tcp4, CLIENTS);
    let among_many = median(&mut clients, &packets.tcp4).saturating_sub(varying);
    rows.push((format!("one of {CLIENTS} established TCP, IPv4"), among_many));
    let mut flood = Dataplane::load_varying(1 << 24, &mut dataplane)?;
    let opening = median(&mut flood, &packets.syn4).saturating_sub(varying);
    rows.push(("new TCP connection, IPv4".to_owned(), opening));

    println!(
        "{:<40} {:>9}  {:>8}  {:>6}  {:>8}",
        "", "ns/packet", "to floor", "net ns", "to floor"
    );
    let net_of = |cost: Duration| cost.saturating_sub(nothing);
    for (name, cost) in &rows {
        println!(
            "{name:<40} {:>9}  {:>7.1}x  {:>6}  {:>7.1}x",
            cost.as_nanos(),
            cost.as_secs_f64() / floor.as_secs_f64(),
            net_of(*cost).as_nanos(),
            net_of(*cost).as_secs_f64() / net_of(floor).as_secs_f64()
        );
    }
    println!("\nnet: without what XDP_TX alone takes, which is BPF_PROG_TEST_RUN's own work");
    Ok(())
}

/// The packets that are measured.
struct Packets {
    syn4: Vec<u8>,
    tcp4: Vec<u8>,
    syn6: Vec<u8>,
    tcp6: Vec<u8>,
    udp4: Vec<u8>,
    elsewhere: Vec<u8>,
    arp: Vec<u8>,
}

impl Packets {
    fn new() -> Result<Self> {
        let client = "198.51.100.7:40000".parse()?;
        let client6 = "[2001:db8::7]:40000".parse()?;
        let service = "10.0.0.100:80".parse()?;
        let service6 = "[fd00::100]:80".parse()?;
        Ok(Self {
            syn4: Packet::tcp(client, service, SYN).build(),
            tcp4: Packet::tcp(client, service, ACK).build(),
            syn6: Packet::tcp(client6, service6, SYN).build(),
            tcp6: Packet::tcp(client6, service6, ACK).build(),
            udp4: Packet::udp(client, "10.0.0.100:53".parse()?)
                .payload(b"question")
                .build(),
            elsewhere: Packet::tcp(client, "10.0.0.1:22".parse()?, ACK).build(),
            arp: lab::packet::arp_request([10, 0, 0, 9], [10, 0, 0, 1]),
        })
    }
}

/// A master's data plane: a TCP service in IPv4 and in IPv6, a UDP service, three real servers each.
fn dataplane() -> Result<Dataplane> {
    let mut dataplane = Dataplane::load(1 << 20)?;
    // It lasts for hours: nobody renews it here.
    let lease = Lease {
        renewed_at: boot_now(),
        interval: 3600 * 1_000_000_000,
        state: lease_state::HELD,
        ..Lease::default()
    };
    dataplane.put_lease(LEASE, lease);
    let interface = Interface {
        mac: DIRECTOR_MAC,
        flags: interface_flags::KNOWN,
    };
    dataplane.put_interface(INGRESS, interface);
    let services = [
        (Address::v4(VIP), 80, protocol::TCP),
        (Address::v6(VIP6), 80, protocol::TCP),
        (Address::v4(VIP), 53, protocol::UDP),
    ];
    for (index, (address, port, protocol)) in (0..).zip(services) {
        let slots = [3 * index, 3 * index + 1, 3 * index + 2];
        for slot in slots {
            let real = Real {
                address: Address::v4([10, 0, 0, 11]),
                port: 80,
                _reserved: 0,
                generation: 1,
                service: index,
                flags: real_flags::USABLE,
                interface: INGRESS,
                // The next repetition must be for us again.
                destination_mac: DIRECTOR_MAC,
                source_mac: [2, 0, 0, 0, 0, 1],
            };
            dataplane.put_real(slot, real);
        }
        let key = ServiceKey {
            address,
            port,
            _reserved: 0,
            protocol: u32::from(protocol),
        };
        let service = Service {
            index,
            ring_offset: 3 * index,
            ring_length: 3,
            lease: LEASE,
        };
        dataplane.put_service(key, service, &slots);
        dataplane.put_address(address, LEASE);
    }
    Ok(dataplane)
}

/// The median of several runs.
fn median(dataplane: &mut Dataplane, packet: &[u8]) -> Duration {
    dataplane.time(packet, REPEAT / 10);
    let mut runs: Vec<Duration> = (0..RUNS).map(|_| dataplane.time(packet, REPEAT)).collect();
    runs.sort();
    runs[RUNS / 2]
}
