//! An archive of cpio in the form that the kernel unpacks as its first file system (`newc`, "070701").

use std::io::{self, Write};

/// `S_IFDIR`, `S_IFREG` and `S_IFLNK` with permissions.
pub(super) const DIRECTORY: u32 = 0o040_755;
pub(super) const PROGRAM: u32 = 0o100_755;
pub(super) const FILE: u32 = 0o100_644;
pub(super) const LINK: u32 = 0o120_777;

/// Writes an archive, entry by entry.
pub(super) struct Archive<W> {
    output: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) const fn new(output: W) -> Self {
        Self { output, entries: 0 }
    }

    /// Adds an entry called `name`, without a slash in front.
    pub(super) fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_length = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // Magic, inode, mode, owner, group, links, time, size, four device numbers, name's length, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0];
        let mut header = "070701".to_owned();
        for field in fields {
            header += &format!("{field:08x}");
        }
        header += name;
        header.push('\0');
        self.output.write_all(header.as_bytes())?;
        self.pad(header.len())?;
        self.output.write_all(content)?;
        self.pad(content.len())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.add("TRAILER!!!", 0, &[])?;
        self.output.flush()
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.output.write_all(&[0; 3][..written.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::{Archive, FILE};

    #[test]
    fn every_part_begins_at_a_multiple_of_four() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.add("init", FILE, b"hello").expect("memory takes it");
        archive.finish().expect("memory takes it");
        // 110 bytes of header, the name and its end; five bytes of content; the next header.
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[110..116], b"init\0\0");
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
