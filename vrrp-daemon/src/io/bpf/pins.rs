//! What is pinned where, and whether it is ours to take over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData, MapInfo};
use lb_common::{ABI_VERSION, FlowSecret, Meta, WORDS_PER_BUCKET, flow_buckets, maps};

use super::error::{Error, in_map};
use crate::io::random;

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

    /// That of a trie, whose keys begin with the length of a prefix.
    const fn of_trie<K, V>(map: maps::Map<K, V>) -> Self {
        let layout = Self::of(map);
        Self {
            key: size_of::<u32>() + layout.key,
            ..layout
        }
    }

    const fn sized(self, entries: u32) -> Self {
        Self { entries, ..self }
    }
}

/// How large the maps of the connections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowSizes {
    /// The capacity of [`maps::FLOWS`].
    pub(super) buckets: u32,
    /// The capacity of [`maps::FLOW_NAMES`]: one where no names are written, for no map has none.
    pub(super) names: u32,
}

impl FlowSizes {
    /// Those of a table for this many `connections`, with or without their names.
    pub(super) const fn of(connections: u32, names: bool) -> Self {
        let buckets = flow_buckets(connections);
        Self {
            buckets,
            names: if names {
                buckets * WORDS_PER_BUCKET as u32
            } else {
                1
            },
        }
    }
}

/// All maps that are pinned.
pub(super) fn layout(flows: FlowSizes) -> Vec<Layout> {
    vec![
        Layout::of(maps::META),
        Layout::of(maps::SERVICES),
        Layout::of(maps::SERVICE_INDEX),
        Layout::of_trie(maps::SERVICE_PORTS),
        Layout::of(maps::RINGS),
        Layout::of(maps::CURSORS),
        Layout::of(maps::EPISODES),
        Layout::of(maps::REALS),
        Layout::of(maps::LOADS),
        Layout::of(maps::FLOWS).sized(flows.buckets),
        Layout::of(maps::FLOW_NAMES).sized(flows.names),
        Layout::of(maps::FLOW_CLOCK),
        Layout::of(maps::POLICY),
        Layout::of(maps::FRAGMENTS),
        Layout::of(maps::LEASES),
        Layout::of(maps::ADDRESSES),
        Layout::of(maps::ADDRESS_FILTER),
        Layout::of(maps::VIRTUAL_ROUTERS),
        Layout::of(maps::TUNNEL_SOURCES),
        Layout::of(maps::PEERS),
        Layout::of(maps::ACCESS),
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
/// Links go with the maps: their program reads the maps that go. Names of connections go alone: they are written anew.
pub(super) fn remove_foreign(pin_dir: &Path, layout: &[Layout]) -> io::Result<Option<Replaced>> {
    let is_names = |map: &&Layout| map.name == maps::FLOW_NAMES.name;
    if let Some(names) = layout.iter().find(is_names)
        && mismatch(pin_dir, names).is_some()
    {
        fs::remove_file(map_path(pin_dir, names.name))?;
    }
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
    if let Some(mismatch) = layout.iter().find_map(|map| mismatch(pin_dir, map)) {
        return Some(mismatch);
    }
    // The loader made META and died before it wrote the version: nothing was forwarded by those maps.
    let found = meta(pin_dir)?.abi_version;
    (found != ABI_VERSION).then_some(Replaced::Version { found })
}

/// How the pinned map differs from what is wanted. One that is not there does not: it will be made.
fn mismatch(pin_dir: &Path, map: &Layout) -> Option<Replaced> {
    let found = MapInfo::from_pin(map_path(pin_dir, map.name)).ok()?;
    let found = describe(found.key_size(), found.value_size(), found.max_entries());
    let wanted = describe(map.key as u32, map.value as u32, map.entries);
    (found != wanted).then_some(Replaced::Layout {
        map: map.name,
        found,
        wanted,
    })
}

fn describe(key: u32, value: u32, entries: u32) -> String {
    format!("{entries} entries of {key} + {value} bytes")
}

fn meta(pin_dir: &Path) -> Option<Meta> {
    let data = MapData::from_pin(map_path(pin_dir, maps::META.name)).ok()?;
    let meta = Array::<_, Meta>::try_from(Map::Array(data)).ok()?;
    meta.get(&0, 0).ok()
}

/// What the connections in the pinned maps were hashed with; without such maps, something that nobody can foresee.
pub(super) fn flow_secret(pin_dir: &Path) -> io::Result<FlowSecret> {
    if let Some(meta) = meta(pin_dir) {
        return Ok(meta.flow_secret);
    }
    let mut secret = FlowSecret::default();
    for word in &mut secret.words {
        let mut bytes = [0; 4];
        random::fill(&mut bytes)?;
        *word = u32::from_ne_bytes(bytes);
    }
    Ok(secret)
}

/// Writes into the map `META` what the next daemon must know of these maps.
pub(super) fn mark(meta: Map, flow_secret: FlowSecret) -> Result<(), Error> {
    let mut meta = Array::<_, Meta>::try_from(meta).map_err(in_map(maps::META))?;
    let contents = Meta {
        abi_version: ABI_VERSION,
        _reserved: 0,
        flow_secret,
    };
    meta.set(0, contents, 0).map_err(in_map(maps::META))
}
