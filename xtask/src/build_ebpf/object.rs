//! What is in an eBPF object, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use aya_obj::Object;

/// The programs and maps of the object at `path`.
pub(super) fn describe(path: &Path) -> Result<String> {
    let read = || format!("cannot read {}", path.display());
    let bytes = fs::read(path).with_context(read)?;
    let object = Object::parse(&bytes).with_context(read)?;
    let mut text = format!("{} ({} KiB)\n", path.display(), bytes.len() / 1024);
    let instructions: usize = object
        .functions
        .values()
        .map(|function| function.instructions.len())
        .sum();
    for name in object.programs.keys() {
        writeln!(text, "  program {name:<16} {instructions:>8} instructions")?;
    }
    // Global variables are maps to the kernel, but not to people.
    let maps: BTreeMap<_, _> = object
        .maps
        .iter()
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    for (name, map) in maps {
        writeln!(
            text,
            "  map     {name:<16} {:>8} entries, key {:>2} bytes, value {:>2} bytes",
            map.max_entries(),
            map.key_size(),
            map.value_size()
        )?;
    }
    Ok(text)
}
