//! The XDP program on an interface, as the kernel tells it.

use futures_util::TryStreamExt as _;
use netlink_packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::{Error, Netlink};

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's identifier of the program, as in `bpftool prog`.
    pub id: u32,
    /// It runs in the driver (or the device), not in the generic receive path.
    pub native: bool,
}

impl Netlink {
    /// The XDP program on the interface with the index `index`, if there is one.
    ///
    /// # Errors
    /// The kernel's refusal (there is no such interface), or a closed socket.
    pub async fn xdp_program(&self, index: u32) -> Result<Option<XdpProgram>, Error> {
        let failed = |error| Error::of("read the XDP program of an interface", error);
        let mut messages = self.handle.link().get().match_index(index).execute();
        let Some(message) = messages.try_next().await.map_err(failed)? else {
            return Ok(None);
        };
        let mut attached = XdpAttached::None;
        let mut program = None;
        for attribute in &message.attributes {
            let LinkAttribute::Xdp(attributes) = attribute else {
                continue;
            };
            for attribute in attributes {
                if let LinkXdp::Attached(value) = attribute {
                    attached = *value;
                } else if let LinkXdp::ProgId(value) = attribute {
                    program = Some(*value);
                }
            }
        }
        Ok(program.map(|id| XdpProgram {
            id,
            native: matches!(attached, XdpAttached::Driver | XdpAttached::Hardware),
        }))
    }
}
