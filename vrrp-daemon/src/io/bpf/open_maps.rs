//! The descriptors of the pinned maps: what is open stays open, whatever becomes of the pins.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use aya::Ebpf;
use aya::maps::{Map, MapData, MapError};

use super::Error;
use super::error::{cause, in_map};
use super::pins::Layout;

/// A descriptor of each map.
pub(super) struct OpenMaps(BTreeMap<&'static str, OwnedFd>);

impl OpenMaps {
    /// Those of `layout` in `ebpf`, before they are taken out of it.
    pub(super) fn of(ebpf: &Ebpf, layout: &[Layout]) -> Result<Self, Error> {
        let descriptor = |name| {
            let map = ebpf.map(name).ok_or(Error::Missing(name))?;
            let (Map::Array(data)
            | Map::HashMap(data)
            | Map::LruHashMap(data)
            | Map::LpmTrie(data)
            | Map::PerCpuArray(data)) = map
            else {
                return Err(Error::Missing(name));
            };
            data.fd().as_fd().try_clone_to_owned().map_err(Error::Descriptors)
        };
        let maps = layout.iter().map(|map| Ok((map.name, descriptor(map.name)?)));
        maps.collect::<Result<_, Error>>().map(Self)
    }

    /// What the maps are called.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Pins the map `name` at `path`.
    pub(super) fn pin(&self, name: &'static str, path: &Path) -> Result<(), Error> {
        let descriptor = self.0.get(name).ok_or(Error::Missing(name))?;
        let descriptor = descriptor.try_clone().map_err(Error::Descriptors)?;
        let failed = |error: &dyn std::error::Error| Error::PinMap {
            map: name,
            path: path.to_owned(),
            reason: cause(error),
        };
        let data = MapData::from_fd(descriptor).map_err(|error| failed(&error))?;
        data.pin(path).map_err(|error| failed(&error))
    }

    /// The map `map`, opened once more.
    pub(super) fn open<K, V>(&self, map: lb_common::maps::Map<K, V>) -> Result<MapData, Error> {
        let descriptor = self.0.get(map.name).ok_or(Error::Missing(map.name))?;
        let descriptor = descriptor.try_clone().map_err(Error::Descriptors)?;
        let data: Result<MapData, MapError> = MapData::from_fd(descriptor);
        data.map_err(in_map(map))
    }
}
