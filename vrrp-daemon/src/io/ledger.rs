//! What was switched off on interfaces, noted for a daemon that comes after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Names this boot of the machine: after another, interfaces have other indices and nothing is switched off.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A file with the names of features, by the index of their interface.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Page {
    boot: String,
    switched_off: BTreeMap<u32, BTreeSet<String>>,
}

impl Ledger {
    /// The ledger in the file at `path`, which need not be there.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// What was noted since the machine booted; nothing if that cannot be told.
    #[must_use]
    pub fn read(&self) -> BTreeMap<u32, BTreeSet<String>> {
        let page = fs::read(&self.path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Page>(&bytes).ok());
        match (page, fs::read_to_string(BOOT)) {
            (Some(page), Ok(boot)) if page.boot == boot.trim() => page.switched_off,
            _ => BTreeMap::new(),
        }
    }

    /// Notes this, and nothing else. The file is replaced whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, switched_off: &BTreeMap<u32, BTreeSet<&'static str>>) -> io::Result<()> {
        let owned = |names: &BTreeSet<&str>| names.iter().map(|name| (*name).to_owned()).collect();
        let page = Page {
            boot: fs::read_to_string(BOOT)?.trim().to_owned(),
            switched_off: switched_off
                .iter()
                .filter(|(_, names)| !names.is_empty())
                .map(|(index, names)| (*index, owned(names)))
                .collect(),
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let draft = self.path.with_extension("draft");
        fs::write(&draft, serde_json::to_vec(&page)?)?;
        fs::rename(&draft, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_holds_what_was_noted_last_and_only_since_the_boot() {
        let directory = tempfile::tempdir().expect("a directory of our own");
        let path = directory.path().join("state/switched_off.json");
        let ledger = Ledger::at(path.clone());
        assert!(ledger.read().is_empty());
        ledger
            .write(&[(2, ["rx-gro"].into()), (3, [].into())].into())
            .expect("it is written");
        assert_eq!(ledger.read(), [(2, ["rx-gro".to_owned()].into())].into());

        let other = fs::read_to_string(&path).expect("it is there");
        let boot = fs::read_to_string(BOOT).expect("the kernel tells");
        fs::write(&path, other.replace(boot.trim(), "another")).expect("it is written");
        assert!(ledger.read().is_empty());
    }
}
