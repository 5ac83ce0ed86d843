//! What is pinned where, and whether it is ours to take over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData, MapInfo};
use lb_common::{ABI_VERSION, Meta, maps};

use super::error::{Error, in_map};

/// Why pinned maps of an earlier daemon were removed rather than taken over: their connections are forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Replaced {
    /// They were written by a daemon with other map types.
    #[error("the pinned maps have ABI version {found}, this lbd has {ABI_VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// A map has another shape, such as another `flow_table_size`.
    #[error("the pinned map {map} has another layout: {found}, this lbd needs {wanted}")]
    Layout {
        /// The map.
        map: &'static str,
        /// What was found.
        found: String,
        /// What was wanted.
        wanted: String,
    },
}

/// A pinned map and the shape that we need it to have.
pub(super) struct Layout {
    pub(super) name: &'static str,
    key: usize,
    value: usize,
    entries: u32,
}

impl Layout {
    const fn of<K, V>(map: maps::Map<K, V>) -> Self {
        Self {
            name: map.name,
            key: size_of::<K>(),
            value: size_of::<V>(),
            entries: map.capacity,
        }
    }

    const fn sized(self, entries: u32) -> Self {
        Self { entries, ..self }
    }
}

/// All maps that are pinned.
pub(super) fn layout(flow_table_size: u32) -> Vec<Layout> {
    vec![
        Layout::of(maps::META),
        Layout::of(maps::SERVICES),
        Layout::of(maps::SERVICE_INDEX),
        Layout::of(maps::RINGS),
        Layout::of(maps::CURSORS),
        Layout::of(maps::REALS),
        Layout::of(maps::FLOWS4).sized(flow_table_size),
        Layout::of(maps::FLOWS6).sized(flow_table_size),
        Layout::of(maps::NASCENT4),
        Layout::of(maps::NASCENT6),
        Layout::of(maps::DATAGRAMS4),
        Layout::of(maps::DATAGRAMS6),
        Layout::of(maps::CLOSING4),
        Layout::of(maps::CLOSING6),
        Layout::of(maps::FRAGMENTS),
        Layout::of(maps::LEASES),
        Layout::of(maps::ADDRESSES),
        Layout::of(maps::ADDRESS_FILTER),
        Layout::of(maps::VIRTUAL_ROUTERS),
        Layout::of(maps::INTERFACES),
        Layout::of(maps::SERVICE_STATS),
        Layout::of(maps::REAL_STATS),
        Layout::of(maps::VERDICTS),
    ]
}

/// Where the map `name` is pinned.
pub(super) fn map_path(pin_dir: &Path, name: &str) -> PathBuf {
    pin_dir.join("maps").join(name)
}

/// Where links are pinned, each under the name of its interface.
pub(super) fn links_directory(pin_dir: &Path) -> PathBuf {
    pin_dir.join("links")
}

/// Removes all pins if one of the maps is not as `layout` wants it, because the loader would take it over unchecked.
/// Links go with the maps: their program reads the maps that go.
pub(super) fn remove_foreign(pin_dir: &Path, layout: &[Layout]) -> io::Result<Option<Replaced>> {
    let Some(reason) = foreign(pin_dir, layout) else {
        return Ok(None);
    };
    for directory in [links_directory(pin_dir), pin_dir.join("maps")] {
        for entry in fs::read_dir(directory)? {
            fs::remove_file(entry?.path())?;
        }
    }
    Ok(Some(reason))
}

fn foreign(pin_dir: &Path, layout: &[Layout]) -> Option<Replaced> {
    for map in layout {
        // A map that is not there will be created.
        let Ok(found) = MapInfo::from_pin(map_path(pin_dir, map.name)) else {
            continue;
        };
        let found = describe(found.key_size(), found.value_size(), found.max_entries());
        let wanted = describe(map.key as u32, map.value as u32, map.entries);
        if found != wanted {
            return Some(Replaced::Layout {
                map: map.name,
                found,
                wanted,
            });
        }
    }
    // The loader made META and died before it wrote the version: nothing was forwarded by those maps.
    let found = version(pin_dir)?;
    (found != ABI_VERSION).then_some(Replaced::Version { found })
}

fn describe(key: u32, value: u32, entries: u32) -> String {
    format!("{entries} entries of {key} + {value} bytes")
}

fn version(pin_dir: &Path) -> Option<u32> {
    let data = MapData::from_pin(map_path(pin_dir, maps::META.name)).ok()?;
    let meta = Array::<_, Meta>::try_from(Map::Array(data)).ok()?;
    meta.get(&0, 0).ok().map(|meta| meta.abi_version)
}

/// Writes our ABI version into the map `META`.
pub(super) fn mark(meta: Map) -> Result<(), Error> {
    let mut meta = Array::<_, Meta>::try_from(meta).map_err(in_map(maps::META))?;
    meta.set(
        0,
        Meta {
            abi_version: ABI_VERSION,
        },
        0,
    )
    .map_err(in_map(maps::META))
}
