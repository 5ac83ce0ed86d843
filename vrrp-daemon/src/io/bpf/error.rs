//! What can go wrong with the data plane.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use lb_common::maps::Map;

/// Why the data plane could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary holds no eBPF object.
    #[error("this lbd was built without its eBPF object: run `cargo xtask build-ebpf`, then build lbd again")]
    NoObject,
    /// There is no bpffs where the pins should be, and none could be mounted.
    #[error(
        "there is no bpffs at {path}, and lbd cannot mount one: mount it before lbd starts, `mount -t bpf bpf {path}`"
    )]
    Mount {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory for pins could not be made or used.
    #[error("cannot use {path} for pinned maps (`pin_dir` in [node] may name another place)")]
    PinDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another daemon's pins.
    #[error("another daemon uses {path}: stop it, or give this one a `pin_dir` of its own in [node]")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel refused the object. (The version is the one that `lb-ebpf` gives reasons for.)
    #[error("cannot load the eBPF object (are we root, is the kernel 5.15 or newer?)")]
    Load(#[source] Box<EbpfError>),
    /// The kernel refused the program.
    #[error("cannot load the XDP program")]
    Program(#[source] Box<ProgramError>),
    /// A map could not be read or written.
    #[error("cannot access the map {map}")]
    Map {
        /// The name of the map.
        map: &'static str,
        /// What the kernel said.
        source: Box<MapError>,
    },
    /// A map could not be mapped into memory.
    #[error("cannot map {map} into memory")]
    Mapping {
        /// The name of the map.
        map: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no random numbers.
    #[error("cannot draw the key that connections are hashed with")]
    Secret(#[source] io::Error),
    /// The kernel does not say when all programs that are running have ended.
    #[error("cannot wait until the XDP program goes by other timeouts")]
    Grace(#[source] io::Error),
    /// The object has no such map or program: it was built from other sources than this daemon.
    #[error("the eBPF object has no {0}: build it again with `cargo xtask build-ebpf`, then lbd")]
    Missing(&'static str),
    /// A map could not be opened once more.
    #[error("cannot open the maps once more: {0}")]
    Descriptors(io::Error),
    /// The kernel does not tell how many CPUs there are.
    #[error("cannot count the CPUs: {0}")]
    Processors(io::Error),
    /// The program could not be attached.
    #[error("cannot attach the XDP program to {interface} in {mode} mode{hint}")]
    Attach {
        /// The interface.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// What the operator can do about it, after a colon.
        hint: &'static str,
        /// What the kernel said.
        source: Box<ProgramError>,
    },
    /// The link could not be pinned.
    #[error("cannot pin the link of {interface} at {path}: {reason}")]
    PinLink {
        /// The interface.
        interface: String,
        /// Where it was to be pinned.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
    },
    /// A map could not be pinned again: it will not outlive the daemon.
    #[error("cannot pin the map {map} at {path}: {reason}")]
    PinMap {
        /// The name of the map.
        map: &'static str,
        /// Where it was to be pinned.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
    },
}

/// The innermost error, which is what the kernel said.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl From<EbpfError> for Error {
    fn from(error: EbpfError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl From<ProgramError> for Error {
    fn from(error: ProgramError) -> Self {
        Self::Program(Box::new(error))
    }
}

/// Names the map in an error.
pub(super) fn in_map<K, V>(map: Map<K, V>) -> impl FnOnce(MapError) -> Error {
    move |source| Error::Map {
        map: map.name,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answer_is_said_once() {
        let refused = || io::Error::from_raw_os_error(libc::EROFS);
        let errors = [
            Error::PinDirectory {
                path: "/sys/fs/bpf/lbd".into(),
                source: refused(),
            },
            Error::Mount {
                path: "/sys/fs/bpf".into(),
                source: refused(),
            },
            Error::Mapping {
                map: "LEASES",
                source: refused(),
            },
            Error::Processors(refused()),
            Error::Secret(refused()),
            Error::Grace(refused()),
        ];
        for error in errors {
            let said = format!("{:#}", anyhow::Error::from(error));
            assert_eq!(said.matches("Read-only file system").count(), 1, "{said}");
        }
    }
}
