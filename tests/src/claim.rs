//! A machine that has an address which isn't its own to have.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::{Node, Wire};

/// An address on `eth0` of a machine, whose kernel answers ARP for it, until it is dropped.
#[derive(Debug)]
pub struct Claim<'lab> {
    node: &'lab Node,
    address: Ipv4Addr,
    wire: Wire,
}

impl<'lab> Claim<'lab> {
    /// Gives `address` to `node`, which doesn't announce it.
    ///
    /// # Errors
    /// It has it already.
    pub fn start(node: &'lab Node, address: Ipv4Addr) -> Result<Self> {
        let wire = Wire::open(node, "eth0", libc::ETH_P_ARP)?;
        node.namespace
            .ip(&format!("address add {address}/32 dev eth0\n"))?;
        Ok(Self { node, address, wire })
    }

    /// Announces the address by a gratuitous ARP request: whoever knows it believes that it has moved here.
    ///
    /// # Errors
    /// The interface is down.
    pub fn announce(&self) -> Result<()> {
        let (mac, address) = (self.node.mac, self.address.octets());
        let frame = [
            [0xff; 6].as_slice(),
            &mac,
            &[0x08, 0x06],
            // Ethernet, IPv4, 6 and 4 bytes long, request
            &[0, 1, 0x08, 0, 6, 4, 0, 1],
            &mac,
            &address,
            &[0; 6],
            &address,
        ];
        Ok(self.wire.send(&frame.concat())?)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // It may have been taken away, by whoever tests that.
        drop(
            self.node
                .namespace
                .ip(&format!("address delete {}/32 dev eth0\n", self.address)),
        );
    }
}
