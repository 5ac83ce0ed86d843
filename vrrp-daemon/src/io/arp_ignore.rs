//! The kernel parameter `arp_ignore`, and the memory of where it was 0.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the parameters of interfaces are.
const PARAMETERS: &str = "/proc/sys/net/ipv4/conf";

/// What names this boot of the machine: parameters don't outlive it.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The parameter of the interface `interface`, or of `all`, whose greater one is in force.
///
/// # Errors
/// There is no such interface, or no /proc/sys.
pub fn read(interface: &str) -> io::Result<u8> {
    let text = fs::read_to_string(path(interface))?;
    text.trim().parse().map_err(io::Error::other)
}

/// Sets the parameter of the interface `interface`.
///
/// # Errors
/// There is no such interface, or /proc/sys is read-only.
pub fn set(interface: &str, value: u8) -> io::Result<()> {
    fs::write(path(interface), value.to_string())
}

fn path(interface: &str) -> PathBuf {
    Path::new(PARAMETERS).join(interface).join("arp_ignore")
}

/// The interfaces whose parameter was 0 when this daemon, or one before it that crashed, last looked: a 1 is ours.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    known: Option<BTreeSet<u32>>,
}

impl Memory {
    /// What the file `path` remembers, if it is of this boot.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let known = fs::read_to_string(&path).ok().and_then(|text| {
            let boot = fs::read_to_string(BOOT).ok()?;
            let (of, indices) = text.split_once('\n')?;
            (of == boot.trim()).then(|| indices.lines().filter_map(|line| line.parse().ok()).collect())
        });
        Self { path, known }
    }

    /// The interfaces that it remembers, by their index.
    #[must_use]
    pub fn interfaces(&self) -> BTreeSet<u32> {
        self.known.clone().unwrap_or_default()
    }

    /// Remembers these, and no others. Whole at any moment: a crash leaves the old ones or these.
    ///
    /// # Errors
    /// The file cannot be written. That is told once for the same interfaces.
    pub fn replace(&mut self, interfaces: BTreeSet<u32>) -> io::Result<()> {
        if self.known.as_ref() == Some(&interfaces) {
            return Ok(());
        }
        let lines: Vec<String> = interfaces.iter().map(u32::to_string).collect();
        self.known = Some(interfaces);
        let boot = fs::read_to_string(BOOT)?;
        let draft = self.path.with_extension("new");
        fs::write(&draft, format!("{}\n{}\n", boot.trim(), lines.join("\n")))?;
        fs::rename(draft, &self.path)
    }

    /// Forgets all: nothing is ours any more.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn clear(&mut self) -> io::Result<()> {
        self.known = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_of_this_boot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock.arp_ignore");
        let mut memory = Memory::open(path.clone());
        assert_eq!(memory.interfaces(), BTreeSet::new());
        memory.replace([3, 7].into()).unwrap();
        assert_eq!(Memory::open(path.clone()).interfaces(), [3, 7].into());

        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(|_| true, "x", 1)).unwrap();
        assert_eq!(Memory::open(path.clone()).interfaces(), BTreeSet::new());

        memory.clear().unwrap();
        assert!(!path.exists());
        memory.clear().unwrap();
    }
}
