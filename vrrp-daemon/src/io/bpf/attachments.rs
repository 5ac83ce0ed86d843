//! Which interfaces the program is attached to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode as Mode};
use aya::programs::{ProgramError, Xdp};
use tracing::{info, warn};

use super::link::detach_pinned;
use super::{Error, PROGRAM};
use crate::model::XdpMode;

/// The program's links, pinned at `links/INTERFACE` (see [`pin_name`]), so that they outlive the daemon.
pub struct Attachments {
    ebpf: Ebpf,
    directory: PathBuf,
    links: BTreeMap<String, PinnedLink>,
    /// The interfaces of which it was told that they are slower than one may expect: once is enough.
    generic: BTreeSet<String>,
}

impl Attachments {
    pub(super) fn open(ebpf: Ebpf, directory: PathBuf) -> Self {
        Self {
            ebpf,
            directory,
            links: BTreeMap::new(),
            generic: BTreeSet::new(),
        }
    }

    /// Takes over the links that an earlier daemon left pinned: this daemon's program takes the place of the earlier
    /// one's, without a packet in between that meets none. Links of interfaces that are gone are removed.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn adopt(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let Some(interface) = path
                .file_name()
                .and_then(|name| name.to_str())
                .map(interface_name)
            else {
                continue;
            };
            match self.take_over(&path) {
                Ok(link) => {
                    info!(interface, "taking over the XDP link of an earlier daemon");
                    self.links.insert(interface, link);
                }
                Err(error) => {
                    warn!(
                        interface,
                        error = format!("{error:#}"),
                        "removing a link that cannot be taken over"
                    );
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    fn take_over(&mut self, path: &PathBuf) -> anyhow::Result<PinnedLink> {
        let link = FdLink::from(PinnedLink::from_pin(path)?);
        let program = self.program();
        let id = program.attach_to_link(XdpLink::try_from(link)?)?;
        // `attach_to_link` hands the link to the program, which would detach it when dropped.
        drop(program.take_link(id)?);
        Ok(PinnedLink::from_pin(path)?)
    }

    /// The interfaces that the program is attached to.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.links.keys().map(String::as_str)
    }

    /// Whether the program is attached to `interface`.
    #[must_use]
    pub fn contains(&self, interface: &str) -> bool {
        self.links.contains_key(interface)
    }

    /// Attaches the program to `interface`, if it is not there, and pins the link.
    ///
    /// # Errors
    /// If the interface does not exist, another XDP program is on it, or its driver has no native mode and `mode`
    /// asks for it.
    pub fn attach(&mut self, interface: &str, mode: XdpMode) -> Result<(), Error> {
        if self.contains(interface) {
            return Ok(());
        }
        let link = match mode {
            XdpMode::Native => self.attach_as(interface, Mode::Driver)?,
            XdpMode::Generic => self.attach_as(interface, Mode::Skb)?,
            XdpMode::Auto => match self.attach_as(interface, Mode::Driver) {
                Ok(link) => link,
                Err(native) => {
                    let link = self.attach_as(interface, Mode::Skb)?;
                    if self.generic.insert(interface.to_owned()) {
                        warn!(
                            interface,
                            error = cause(&native),
                            "the driver runs no XDP program here: attached in generic mode, which is slower"
                        );
                    }
                    link
                }
            },
        };
        self.links.insert(interface.to_owned(), link);
        Ok(())
    }

    /// Takes the program off `interface`, if it is there.
    pub fn detach(&mut self, interface: &str) {
        let Some(link) = self.links.remove(interface) else {
            return;
        };
        let path = self.directory.join(pin_name(interface));
        if let Err(error) = detach_pinned(&path).and_then(|()| link.unpin()) {
            warn!(interface, %error, "cannot take the XDP program off");
        }
    }

    fn attach_as(&mut self, interface: &str, mode: Mode) -> Result<PinnedLink, Error> {
        let path = self.directory.join(pin_name(interface));
        let program = self.program();
        let link = program
            .attach(interface, mode)
            .and_then(|id| program.take_link(id))
            .map_err(|source| Error::Attach {
                interface: interface.to_owned(),
                mode: if matches!(mode, Mode::Skb) {
                    "generic"
                } else {
                    "native"
                },
                hint: hint(&source),
                source: Box::new(source),
            })?;
        let pin_error = |reason: String| Error::PinLink {
            interface: interface.to_owned(),
            path: path.clone(),
            reason,
        };
        let link = FdLink::try_from(link).map_err(|error| pin_error(error.to_string()))?;
        link.pin(&path).map_err(|error| pin_error(cause(&error)))
    }

    fn program(&mut self) -> &mut Xdp {
        self.ebpf
            .program_mut(PROGRAM)
            .and_then(|program| program.try_into().ok())
            .expect("`Dataplane::open` found this XDP program")
    }
}

/// The name of the pin of the link on `interface`: a bpffs takes no dot (kernel/bpf/inode.c, bpf_lookup), which the
/// names of VLAN devices have; a colon, which no interface has in its name (net/core/dev.c, dev_valid_name), stands for
/// it: `eth0:10`.
fn pin_name(interface: &str) -> String {
    interface.replace('.', ":")
}

/// The interface whose link is pinned as `pin`.
fn interface_name(pin: &str) -> String {
    pin.replace(':', ".")
}

/// The innermost error, which is what the kernel said.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn hint(error: &ProgramError) -> &'static str {
    let ProgramError::SyscallError(error) = error else {
        return "";
    };
    match error.io_error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => {
            ": another XDP program is on the interface (see `ip link` and `bpftool net`)"
        }
        Some(libc::EOPNOTSUPP) => ": its driver has no native XDP; set xdp_mode = \"generic\" or \"auto\"",
        Some(libc::ERANGE | libc::EINVAL) => {
            ": its MTU or its offloads do not fit native XDP (see the kernel log)"
        }
        Some(libc::EPERM) => ": lbd needs CAP_NET_ADMIN and CAP_BPF",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_named_as_its_interface_but_for_dots() {
        for (interface, pin) in [
            ("eth0", "eth0"),
            ("eth0.10", "eth0:10"),
            ("eth0.10.20", "eth0:10:20"),
            ("br-lan.", "br-lan:"),
        ] {
            assert_eq!(pin_name(interface), pin);
            assert_eq!(interface_name(pin), interface);
        }
    }
}
