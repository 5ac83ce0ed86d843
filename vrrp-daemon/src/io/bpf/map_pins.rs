//! The pins of the maps, which somebody may remove while the daemon runs.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::open_maps::OpenMaps;
use super::{Error, bpffs, lock, pins};

/// Keeps the maps pinned for the next daemon, and the directory of the pins this daemon's: the lock on it is let go of
/// by the kernel when the daemon ends, however it does.
pub struct MapPins {
    directory: PathBuf,
    maps: OpenMaps,
    lock: File,
}

impl MapPins {
    pub(super) const fn new(directory: PathBuf, maps: OpenMaps, lock: File) -> Self {
        Self {
            directory,
            maps,
            lock,
        }
    }

    /// Pins again what was unpinned. Returns whether anything was. Where nothing was, this is a look at each pin.
    ///
    /// # Errors
    /// Why it cannot be pinned: the next daemon will not find it.
    pub fn keep(&mut self) -> Result<bool, Error> {
        let missing: Vec<&'static str> = self
            .maps
            .names()
            .filter(|name| !pins::map_path(&self.directory, name).exists())
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let unusable = |source| Error::PinDirectory {
            path: self.directory.clone(),
            source,
        };
        bpffs::ensure(&self.directory)?;
        if !self.is_locked().map_err(unusable)? {
            // A directory of the same name is not the one that was locked.
            self.lock = lock(&self.directory)?;
        }
        for name in missing {
            self.maps.pin(name, &pins::map_path(&self.directory, name))?;
        }
        Ok(true)
    }

    fn is_locked(&self) -> io::Result<bool> {
        let (ours, there) = (self.lock.metadata()?, self.directory.metadata()?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }
}
