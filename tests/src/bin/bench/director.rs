//! A master's data plane.

use lab::dataplane::{Dataplane, INGRESS, boot_now};
use lab::packet::DIRECTOR_MAC;
use lb_common::{
    Address, Interface, Lease, Real, RingWord, Service, ServiceKey, interface_flags, lease_state, protocol,
    real_flags,
};

use crate::traffic::{DNS, HTTP, Range, VIP};

const VIP6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const LEASE: u32 = 0;

/// With a TCP service in IPv4 and in IPv6 and a UDP service, of three real servers each.
pub(crate) fn with_three_services(dataplane: Dataplane) -> Dataplane {
    let mut dataplane = master(dataplane);
    let services = [
        (Address::v4(VIP.first.to_be_bytes()), HTTP, protocol::TCP),
        (Address::v6(VIP6), HTTP, protocol::TCP),
        (Address::v4(VIP.first.to_be_bytes()), DNS, protocol::UDP),
    ];
    for (index, (address, port, protocol)) in (0..).zip(services) {
        let slots = [3 * index, 3 * index + 1, 3 * index + 2];
        put_service(&mut dataplane, index, address, port, protocol, &slots);
    }
    dataplane
}

/// With TCP services at these addresses, of one real server each.
pub(crate) fn with_services(dataplane: Dataplane, vips: Range) -> Dataplane {
    let mut dataplane = master(dataplane);
    for index in 0..vips.count {
        let address = Address::v4((vips.first + index).to_be_bytes());
        put_service(&mut dataplane, index, address, HTTP, protocol::TCP, &[index]);
    }
    dataplane
}

fn master(mut dataplane: Dataplane) -> Dataplane {
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
    dataplane
}

fn put_service(
    dataplane: &mut Dataplane,
    index: u32,
    address: Address,
    port: u16,
    protocol: u8,
    slots: &[u32],
) {
    for slot in slots {
        let real = Real {
            address: Address::v4([10, 0, 0, 11]),
            port,
            generation: 1,
            service: index,
            flags: real_flags::USABLE,
            mtu: 1500,
            interface: INGRESS,
            // The next repetition must be for us again.
            destination_mac: DIRECTOR_MAC,
            source_mac: [2, 0, 0, 0, 0, 1],
            ..Real::default()
        };
        dataplane.put_real(*slot, real);
    }
    let key = ServiceKey {
        address,
        port,
        last_port: 0,
        protocol: u32::from(protocol),
    };
    let service = Service {
        index,
        ring_offset: RingWord::SLOTS * slots[0],
        ring_length: slots.len() as u32,
        lease: LEASE,
        ..Service::default()
    };
    dataplane.put_service(key, service, slots);
    dataplane.put_address(address, LEASE);
}
