//! What the tests' data plane serves: three real servers behind a TCP and a UDP service, in IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::Ipv4Header;
use lab::dataplane::{Action, Dataplane, Fate, INGRESS, boot_now};
use lab::packet::{DIRECTOR_MAC, Packet};
use lb_common::{
    Address, FlowKey4, FlowKey6, Interface, Lease, NO_LEASE, Real, Service, ServiceKey, Verdict,
    VirtualRouterEntry, VirtualRouterKey, interface_flags, lease_state, placement, protocol, real_flags,
};

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
/// Of the TCP services.
pub(crate) const PORT: u16 = 80;
/// Of the UDP services.
pub(crate) const DATAGRAM_PORT: u16 = 53;
pub(crate) const LEASE: u32 = 5;
pub(crate) const VRID: u8 = 51;
pub(crate) const SECOND: u64 = 1_000_000_000;
/// The slots of the real servers. The last one is reached by another interface.
pub(crate) const REALS: [u32; 3] = [11, 12, 13];
pub(crate) const OTHER_INTERFACE: u32 = 4242;
pub(crate) const OWN_MAC: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 0x01];

/// Indices of the services.
pub(crate) const TCP4: u32 = 0;
pub(crate) const UDP4: u32 = 1;
pub(crate) const TCP6: u32 = 2;
pub(crate) const UDP6: u32 = 3;

pub(crate) fn client(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(CLIENT), port)
}

pub(crate) fn client6(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(CLIENT6), port)
}

pub(crate) fn service() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(VIP), PORT)
}

pub(crate) fn service6() -> SocketAddr {
    SocketAddr::new(IpAddr::V6(VIP6), PORT)
}

pub(crate) fn datagram_service() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(VIP), DATAGRAM_PORT)
}

pub(crate) fn datagram_service6() -> SocketAddr {
    SocketAddr::new(IpAddr::V6(VIP6), DATAGRAM_PORT)
}

pub(crate) fn key4(client_port: u16) -> FlowKey4 {
    FlowKey4 {
        client_address: CLIENT.octets(),
        virtual_address: VIP.octets(),
        client_port,
        virtual_port: PORT,
        protocol: u32::from(protocol::TCP),
    }
}

pub(crate) fn datagram_key4(client_port: u16) -> FlowKey4 {
    FlowKey4 {
        virtual_port: DATAGRAM_PORT,
        protocol: u32::from(protocol::UDP),
        ..key4(client_port)
    }
}

pub(crate) fn key6(client_port: u16) -> FlowKey6 {
    FlowKey6 {
        client_address: CLIENT6.octets(),
        virtual_address: VIP6.octets(),
        client_port,
        virtual_port: PORT,
        protocol: u32::from(protocol::TCP),
    }
}

pub(crate) fn address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => Address::v4(ip.octets()),
        IpAddr::V6(ip) => Address::v6(ip.octets()),
    }
}

pub(crate) fn service_key(ip: IpAddr, port: u16, protocol: u8) -> ServiceKey {
    ServiceKey {
        address: address(ip),
        port,
        last_port: 0,
        protocol: u32::from(protocol),
    }
}

/// The link-layer address of the real server at `slot`.
pub(crate) fn mac(slot: u32) -> [u8; 6] {
    [0x02, 0xbb, 0, 0, 0, slot as u8]
}

pub(crate) fn real(slot: u32, of_service: u32) -> Real {
    Real {
        address: Address::v4([10, 0, 0, slot as u8]),
        port: 80,
        weight: 1,
        generation: 1,
        service: of_service,
        flags: real_flags::USABLE,
        mtu: 1500,
        interface: INGRESS,
        destination_mac: mac(slot),
        source_mac: OWN_MAC,
        ..Real::default()
    }
}

/// A lease that was renewed this long ago, with advertisements each second.
pub(crate) fn lease(state: u32, age: u64) -> Lease {
    Lease {
        renewed_at: boot_now() - age,
        interval: SECOND,
        state,
        interface: INGRESS,
        virtual_router_id: u32::from(VRID),
        ..Lease::default()
    }
}

/// The frame as it is after one hop, its checksum worked out from the start.
pub(crate) fn one_hop_less(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let tags = frame[12..]
        .chunks(4)
        .take_while(|tag| tag[..2] != [8, 0] && tag[..2] != [0x86, 0xdd]);
    let network = 14 + 4 * tags.count();
    if frame[network] >> 4 == 6 {
        frame[network + 7] -= 1;
        return frame;
    }
    frame[network + 8] -= 1;
    let (header, _) = Ipv4Header::from_slice(&frame[network..]).expect("an IPv4 header");
    let checksum = header.calc_header_checksum().to_be_bytes();
    frame[network + 10..network + 12].copy_from_slice(&checksum);
    frame
}

pub(crate) struct World {
    pub(crate) dataplane: Dataplane,
    /// Of the services that are scheduled from now on.
    pub(crate) new_flow_limit: u32,
}

impl World {
    /// A master with a fresh lease; each service has one real server, the first.
    pub(crate) fn new() -> Self {
        Self::with_room(256)
    }

    /// The same, with a table for this many connections.
    pub(crate) fn with_room(connections: u32) -> Self {
        let mut world = Self {
            dataplane: Dataplane::load(connections).expect("the XDP program loads (as root)"),
            new_flow_limit: 0,
        };
        // Longer than a test may take on an emulated machine that others are on, too.
        world.lease(Lease {
            interval: 60 * SECOND,
            ..lease(lease_state::HELD, 0)
        });
        let interface = Interface {
            mac: DIRECTOR_MAC,
            flags: interface_flags::KNOWN,
        };
        world.dataplane.put_interface(INGRESS, interface);
        for ip in [IpAddr::V4(VIP), IpAddr::V6(VIP6)] {
            world.dataplane.put_address(address(ip), LEASE);
        }
        for ip_version in [4, 6] {
            world.virtual_router(ip_version, 0, 3, None);
        }
        world.put_real(REALS[0], TCP4);
        for index in [TCP4, UDP4, TCP6, UDP6] {
            // Each service has real servers of its own: slots 11, 111, 211, 311 and so on.
            world.put_real(Self::slot(index, 0), index);
            world.schedule(index, &[Self::slot(index, 0)]);
        }
        world
    }

    /// Says how a virtual router's peers advertise.
    pub(crate) fn virtual_router(
        &mut self,
        ip_version: u8,
        vlan: u16,
        version: u8,
        password: Option<[u8; 8]>,
    ) {
        let router = VirtualRouterKey {
            interface: INGRESS,
            virtual_router_id: VRID,
            ip_version,
            vlan,
        };
        let entry = VirtualRouterEntry {
            lease: LEASE,
            version,
            authentication: password.is_some().into(),
            _reserved: [0; 2],
            password: password.unwrap_or_default(),
        };
        self.dataplane.put_virtual_router(router, entry);
    }

    /// The slot of the service's real server number `server`.
    pub(crate) fn slot(index: u32, server: usize) -> u32 {
        REALS[server] + 100 * index
    }

    pub(crate) fn put_real(&mut self, slot: u32, of_service: u32) {
        self.dataplane.put_real(slot, real(slot, of_service));
    }

    pub(crate) fn change_real(&mut self, slot: u32, change: impl FnOnce(&mut Real)) {
        let mut real = self.dataplane.real(slot);
        change(&mut real);
        self.dataplane.put_real(slot, real);
    }

    /// Gives the service this schedule.
    pub(crate) fn schedule(&mut self, index: u32, ring: &[u32]) {
        self.schedule_guarded(index, ring, LEASE);
    }

    pub(crate) fn schedule_guarded(&mut self, index: u32, ring: &[u32], lease: u32) {
        self.schedule_placed(index, ring, lease, placement::TURN);
    }

    /// The same, with these bits of [`Service::flags`].
    pub(crate) fn schedule_flagged(&mut self, index: u32, ring: &[u32], flags: u32) {
        let service = Service {
            lease: LEASE,
            flags,
            ..Service::default()
        };
        self.schedule_as(index, ring, service);
    }

    /// The same, where a hash may place connections.
    pub(crate) fn schedule_placed(&mut self, index: u32, ring: &[u32], lease: u32, placement: u32) {
        let service = Service {
            lease,
            placement,
            ..Service::default()
        };
        self.schedule_as(index, ring, service);
    }

    /// Gives the service this schedule, and what else `service` says of it.
    fn schedule_as(&mut self, index: u32, ring: &[u32], service: Service) {
        let key = match index {
            TCP4 => service_key(IpAddr::V4(VIP), PORT, protocol::TCP),
            UDP4 => service_key(IpAddr::V4(VIP), DATAGRAM_PORT, protocol::UDP),
            TCP6 => service_key(IpAddr::V6(VIP6), PORT, protocol::TCP),
            _ => service_key(IpAddr::V6(VIP6), DATAGRAM_PORT, protocol::UDP),
        };
        let service = Service {
            index,
            ring_offset: 1000 * (index + 1),
            ring_length: ring.len() as u32,
            new_flow_limit: self.new_flow_limit,
            ..service
        };
        self.dataplane.put_service(key, service, ring);
    }

    /// Frees a service of its virtual router.
    pub(crate) fn unguard(&mut self, index: u32) {
        self.schedule_guarded(index, &[Self::slot(index, 0)], NO_LEASE);
    }

    pub(crate) fn lease(&mut self, lease: Lease) {
        self.dataplane.put_lease(LEASE, lease);
    }

    pub(crate) fn send(&mut self, packet: &Packet) -> Fate {
        self.dataplane.send(&packet.build())
    }

    /// Sends a packet that the kernel's stack or nobody gets: it must be left as it was.
    #[track_caller]
    pub(crate) fn expect(&mut self, frame: &[u8], verdict: Verdict) {
        let fate = self.dataplane.send(frame);
        let action = if verdict.name().starts_with("pass") {
            Action::Pass
        } else {
            Action::Drop
        };
        assert_eq!((fate.verdict, fate.action), (verdict, action));
        assert!(fate.frame == frame, "{verdict:?} must not change the packet");
    }

    /// Sends a packet that the real server at `slot` gets: nothing but a hop and two link-layer addresses may change.
    #[track_caller]
    pub(crate) fn expect_forwarded(&mut self, frame: &[u8], verdict: Verdict, slot: u32) {
        let fate = self.dataplane.send(frame);
        assert_eq!((fate.verdict, fate.action), (verdict, Action::Transmit));
        assert_eq!(fate.frame[..6], mac(slot), "the real server's address");
        assert_eq!(fate.frame[6..12], OWN_MAC, "the interface's address");
        assert!(
            fate.frame[12..] == one_hop_less(frame)[12..],
            "the rest is as it was"
        );
    }
}

/// `CLOCK_BOOTTIME` starts with the machine: what was longer ago cannot be said.
pub(crate) fn machine_is_up_for(seconds: u64) -> bool {
    let is_up = boot_now() > seconds * SECOND;
    if !is_up {
        println!("the machine is not up for {seconds} s: left out");
    }
    is_up
}

/// Has this thread run on `cpu` from now on.
#[allow(unsafe_code, reason = "the standard library cannot choose a CPU")]
pub(crate) fn run_on(cpu: usize) {
    // SAFETY: the set is ours, and all zeroes is an empty one.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(result, 0, "CPU {cpu} is there");
}
