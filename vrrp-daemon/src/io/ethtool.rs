//! Drivers and their offloads, by the ioctl of ethtool(8).
#![allow(unsafe_code, reason = "ioctl(2) has no safe wrapper for SIOCETHTOOL")]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd as _;

use socket2::{Domain, Socket, Type};

/// `SIOCETHTOOL` of `include/uapi/linux/sockios.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// Commands of `include/uapi/linux/ethtool.h`.
mod command {
    pub(super) const GDRVINFO: u32 = 0x03;
    pub(super) const GSTRINGS: u32 = 0x1b;
    pub(super) const GSSET_INFO: u32 = 0x37;
    pub(super) const GFEATURES: u32 = 0x3a;
    pub(super) const SFEATURES: u32 = 0x3b;
}

/// `ETH_SS_FEATURES`: the names of the features.
const FEATURE_NAMES: u32 = 4;
/// `ETH_GSTRING_LEN`.
const NAME_LENGTH: usize = 32;

/// A feature of an interface, as `ethtool -k` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Whether it is on.
    pub on: bool,
    /// Whether it can be changed: `[fixed]` if not.
    pub changeable: bool,
}

/// Asks and orders about the interfaces of the network namespace that it was opened in.
#[derive(Debug)]
pub struct Ethtool {
    socket: Socket,
    /// The names of this kernel's features, in the order of their bits.
    names: Vec<String>,
}

impl Ethtool {
    /// Opens a socket.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(Domain::UNIX, Type::DGRAM, None)?,
            names: Vec::new(),
        })
    }

    /// The name of the driver of the interface called `interface`: `virtio_net`.
    ///
    /// # Errors
    /// There is no such interface, or its driver does not say.
    pub fn driver(&self, interface: &str) -> io::Result<String> {
        // struct ethtool_drvinfo: the command, the driver's name, and what is of no concern here.
        let mut info = [0_u32; 49];
        info[0] = command::GDRVINFO;
        self.call(interface, &mut info)?;
        Ok(text(&bytes(&info[1..])[..NAME_LENGTH]))
    }

    /// The features of the interface called `interface`, by the names that the kernel gives them (`rx-gro`).
    ///
    /// # Errors
    /// There is no such interface.
    pub fn features(&mut self, interface: &str) -> io::Result<BTreeMap<String, Feature>> {
        if self.names.is_empty() {
            self.names = self.feature_names(interface)?;
        }
        let blocks = self.names.len().div_ceil(32);
        // struct ethtool_gfeatures: the command, the number of blocks, and for each available, requested, active and
        // never changed bits.
        let mut features = vec![0; 2 + 4 * blocks];
        features[0] = command::GFEATURES;
        features[1] = blocks as u32;
        self.call(interface, &mut features)?;
        let bit = |word: usize, position: usize| {
            features[2 + 4 * (position / 32) + word] & 1 << (position % 32) != 0
        };
        let names = self.names.iter().enumerate();
        Ok(names
            .map(|(position, name)| {
                let feature = Feature {
                    on: bit(2, position),
                    changeable: bit(0, position) && !bit(3, position),
                };
                (name.clone(), feature)
            })
            .collect())
    }

    /// Switches a feature of the interface called `interface`.
    ///
    /// # Errors
    /// There is no such feature, or the driver refuses.
    pub fn set_feature(&mut self, interface: &str, feature: &str, on: bool) -> io::Result<()> {
        if self.names.is_empty() {
            self.names = self.feature_names(interface)?;
        }
        let position = self
            .names
            .iter()
            .position(|name| name == feature)
            .ok_or(io::ErrorKind::Unsupported)?;
        let blocks = self.names.len().div_ceil(32);
        // struct ethtool_sfeatures: the command, the number of blocks, and for each valid and requested bits.
        let mut features = vec![0; 2 + 2 * blocks];
        features[0] = command::SFEATURES;
        features[1] = blocks as u32;
        let block = 2 + 2 * (position / 32);
        features[block] = 1 << (position % 32);
        features[block + 1] = u32::from(on) << (position % 32);
        self.call(interface, &mut features)
    }

    fn feature_names(&self, interface: &str) -> io::Result<Vec<String>> {
        // struct ethtool_sset_info: the command, padding, a mask of 64 bits, and a number for each of its bits.
        let mut count = [command::GSSET_INFO, 0, 1 << FEATURE_NAMES, 0, 0];
        self.call(interface, &mut count)?;
        let count = count[4] as usize;
        // struct ethtool_gstrings: the command, which strings, how many, and these.
        let mut strings = vec![0; 3 + count * NAME_LENGTH / size_of::<u32>()];
        strings[0] = command::GSTRINGS;
        strings[1] = FEATURE_NAMES;
        strings[2] = count as u32;
        self.call(interface, &mut strings)?;
        Ok(bytes(&strings[3..]).chunks(NAME_LENGTH).map(text).collect())
    }

    /// Gives the kernel a request, which it answers in place.
    fn call(&self, interface: &str, request: &mut [u32]) -> io::Result<()> {
        // SAFETY: an `ifreq` is integers, arrays and pointers, for all of which zero is a value.
        let mut envelope: libc::ifreq = unsafe { std::mem::zeroed() };
        if interface.len() >= envelope.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (slot, byte) in envelope.ifr_name.iter_mut().zip(interface.bytes()) {
            *slot = byte as libc::c_char;
        }
        envelope.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
        // SAFETY: the envelope and the request outlive the call; each command's request has room for all that the
        // kernel writes for the sizes that it names.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &raw mut envelope) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// The bytes of an answer, in the order in which they lie in memory.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A string that ends with its field or with a zero.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}
