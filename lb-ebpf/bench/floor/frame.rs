//! Ethernet, IPv4 without options, and the ports: what the programs here look at.

use aya_ebpf::programs::XdpContext;

/// IPv4's EtherType, as it lies in the packet.
pub(crate) const IPV4: u16 = 0x0800_u16.to_be();

/// The link-layer addresses of a frame: six bytes of the destination, six of the source.
pub(crate) type LinkAddresses = [u32; 3];

/// The headers.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct Headers {
    pub(crate) link_addresses: LinkAddresses,
    pub(crate) ether_type: u16,
    version_and_length: u8,
    _before_hops: [u8; 7],
    /// IPv4's hop limit.
    pub(crate) time_to_live: u8,
    protocol: u8,
    _checksum: u16,
    /// Source and destination, in network order.
    pub(crate) addresses: [u32; 2],
    /// Source and destination, in network order.
    ports: [u16; 2],
}

/// The headers of a packet that is long enough to have them.
#[inline(always)]
pub(crate) fn headers(context: &XdpContext) -> Option<*mut Headers> {
    let start = context.data();
    (start + size_of::<Headers>() <= context.data_end()).then_some(start as *mut Headers)
}

/// What a packet is.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    /// Source and destination, in network order.
    pub(crate) addresses: [u32; 2],
    /// Source and destination, in network order.
    pub(crate) ports: [u16; 2],
    pub(crate) protocol: u8,
}

/// Finds TCP and UDP over IPv4.
#[inline(always)]
pub(crate) fn parse(headers: *mut Headers) -> Option<Packet> {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    // SAFETY: `headers` has been checked to lie within the packet, and any bytes are valid headers.
    let read = unsafe { headers.read_unaligned() };
    let is_for_us = read.ether_type == IPV4
        && read.version_and_length == 0x45
        && (read.protocol == TCP || read.protocol == UDP);
    is_for_us.then_some(Packet {
        addresses: read.addresses,
        ports: read.ports,
        protocol: read.protocol,
    })
}

/// Exchanges the link-layer addresses.
#[inline(always)]
pub(crate) fn swap_addresses(headers: *mut Headers) {
    // SAFETY: `headers` has been checked to lie within the packet.
    unsafe {
        let [a, b, c] = (*headers).link_addresses;
        (*headers).link_addresses = [b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16];
    }
}
