//! Which interfaces the program is attached to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::xdp::XdpMode;
use aya::programs::{ProgramError, Xdp};
use tracing::{info, warn};

use super::error::cause;
use super::link::PinnedLink;
use super::{Error, PROGRAM};
use crate::interfaces::Mode;

/// The program's links by the index of their interface, pinned at `links/INTERFACE`, with a colon for each dot, so that
/// they outlive the daemon.
pub struct Attachments {
    ebpf: Ebpf,
    directory: PathBuf,
    links: BTreeMap<u32, PinnedLink>,
    /// The interfaces whose links cannot be pinned again, and what was told of that.
    unpinned: BTreeMap<u32, String>,
}

impl Attachments {
    pub(super) fn open(ebpf: Ebpf, directory: PathBuf) -> Self {
        Self {
            ebpf,
            directory,
            links: BTreeMap::new(),
            unpinned: BTreeMap::new(),
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
                Ok((index, link)) => {
                    info!(interface, "taking over the XDP link of an earlier daemon");
                    self.links.insert(index, link);
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

    fn take_over(&mut self, path: &Path) -> anyhow::Result<(u32, PinnedLink)> {
        let link = PinnedLink::open(path.to_owned())?;
        let index = link
            .interface()?
            .ok_or_else(|| anyhow::anyhow!("its interface is gone, or it was detached"))?;
        link.update(self.program().fd()?.as_fd())?;
        Ok((index, link))
    }

    /// The interfaces that the program is attached to.
    pub fn interfaces(&self) -> impl Iterator<Item = u32> {
        self.links.keys().copied()
    }

    /// Whether the program is attached to the interface with the index `index`.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        self.links.contains_key(&index)
    }

    /// Attaches the program to the interface with the index `index`, called `name`, if it is not there, and pins the
    /// link.
    ///
    /// # Errors
    /// If the interface does not exist, another XDP program is on it, or its driver has no native mode and `mode`
    /// asks for it.
    pub fn attach(&mut self, index: u32, name: &str, mode: Mode) -> Result<(), Error> {
        if self.contains(index) {
            return Ok(());
        }
        let path = self.directory.join(pin_name(name));
        let program = self.program();
        let link = program
            .attach_to_if_index(
                index,
                match mode {
                    Mode::Native => XdpMode::Driver,
                    Mode::Generic => XdpMode::Skb,
                },
            )
            .and_then(|id| program.take_link(id))
            .map_err(|source| Error::Attach {
                interface: name.to_owned(),
                mode: match mode {
                    Mode::Native => "native",
                    Mode::Generic => "generic",
                },
                hint: hint(&source),
                source: Box::new(source),
            })?;
        let pin_error = |reason: String| Error::PinLink {
            interface: name.to_owned(),
            path: path.clone(),
            reason,
        };
        let link = FdLink::try_from(link).map_err(|error| pin_error(error.to_string()))?;
        let pinned = link.pin(&path).map_err(|error| pin_error(cause(&error)))?;
        let ours = PinnedLink::open(path.clone()).map_err(|error| pin_error(error.to_string()))?;
        drop(pinned);
        self.links.insert(index, ours);
        Ok(())
    }

    /// Takes the program off the interface with the index `index`, if it is there.
    pub fn detach(&mut self, index: u32) {
        self.unpinned.remove(&index);
        let Some(link) = self.links.remove(&index) else {
            return;
        };
        let pin = link.path().to_owned();
        if let Err(error) = link.detach() {
            warn!(pin = %pin.display(), %error, "cannot take the XDP program off");
        }
    }

    /// Forgets the links that hold nothing any more, because their interface is gone or because somebody has detached
    /// them, and returns the interfaces' indices.
    pub fn forget_lost(&mut self) -> Vec<u32> {
        let lost = self.links.iter().filter(|(index, link)| {
            // What cannot be told is taken as it was.
            !matches!(link.interface(), Ok(Some(now)) if now == **index)
        });
        let lost: Vec<u32> = lost.map(|(index, _)| *index).collect();
        for index in &lost {
            self.detach(*index);
        }
        lost
    }

    /// Has the link on the interface with the index `index` pinned under the name that it has now.
    pub fn keep_pinned(&mut self, index: u32, name: &str) {
        let path = self.directory.join(pin_name(name));
        let Some(link) = self.links.get_mut(&index) else {
            return;
        };
        if link.path() == path && path.exists() {
            return;
        }
        // The directory may have gone with the pins.
        let pinned = fs::create_dir_all(&self.directory).and_then(|()| link.pin_at(path));
        match pinned.map_err(|error| error.to_string()) {
            Ok(()) => {
                self.unpinned.remove(&index);
                info!(interface = name, "pinned the XDP link again");
            }
            Err(error) if self.unpinned.get(&index) == Some(&error) => {}
            Err(error) => {
                warn!(interface = name, error, "cannot pin the XDP link");
                self.unpinned.insert(index, error);
            }
        }
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
