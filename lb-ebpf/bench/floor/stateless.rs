//! The least stateless balancer, on Maglev's tables: parse, look the service up, hash the connection, take the real
//! server that has this place of the ring; write the link-layer addresses, count for service and server.

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

use crate::{
    balancer::{forward, ring},
    frame::{headers, parse},
};

/// The program.
#[xdp]
fn stateless(context: XdpContext) -> u32 {
    balance(&context).unwrap_or(xdp_action::XDP_PASS)
}

#[inline(always)]
fn balance(context: &XdpContext) -> Option<u32> {
    let headers = headers(context)?;
    let bytes = (context.data_end() - context.data()) as u64;
    let packet = parse(headers)?;
    let service = packet.service()?;
    let place = (u64::from(hash(packet.connection())) * u64::from(service.ring_length)) >> 32;
    let real = ring(service, place as u32)?;
    Some(forward(headers, service, real, bytes))
}

/// A multiplicative hash, not keyed: nobody aims at it here.
#[inline(always)]
const fn hash([addresses, ports]: [u64; 2]) -> u32 {
    let mixed = (addresses ^ ports.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as u32
}
