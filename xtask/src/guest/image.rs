//! The guest's file system: programs of this machine with the libraries that they need.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::archive::{Archive, DIRECTORY, FILE, LINK, PROGRAM};
use crate::shell::{find_program, run};

/// What a place in the file system holds.
enum Entry {
    Directory,
    Text { mode: u32, text: String },
    Copy(PathBuf),
    Link(PathBuf),
}

/// The folders that are links to those of the same name in `/usr`, as Debian has them.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// A file system that is being put together.
pub(super) struct Image {
    /// Where files are kept that are made for it.
    scratch: PathBuf,
    /// By path, with a slash in front: folders come before what is in them.
    entries: BTreeMap<String, Entry>,
}

impl Image {
    pub(super) fn new(scratch: PathBuf) -> Result<Self> {
        fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        let mut image = Self {
            scratch,
            entries: BTreeMap::new(),
        };
        for folder in MERGED {
            image.directory(&format!("/usr/{folder}"));
            let link = Entry::Link(format!("usr/{folder}").into());
            image.entries.insert(format!("/{folder}"), link);
        }
        Ok(image)
    }

    /// A folder, and those that it is in.
    pub(super) fn directory(&mut self, path: &str) {
        let path = merged(path);
        for (end, _) in path.match_indices('/').skip(1) {
            self.entries.insert(path[..end].to_owned(), Entry::Directory);
        }
        self.entries.insert(path, Entry::Directory);
    }

    pub(super) fn file(&mut self, path: &str, text: &str) {
        self.put(
            path,
            Entry::Text {
                mode: FILE,
                text: text.to_owned(),
            },
        );
    }

    pub(super) fn executable(&mut self, path: &str, text: &str) {
        self.put(
            path,
            Entry::Text {
                mode: PROGRAM,
                text: text.to_owned(),
            },
        );
    }

    /// A copy of a file of this machine.
    pub(super) fn copy(&mut self, source: &Path, path: &str) -> Result<()> {
        ensure!(source.is_file(), "{} is not there", source.display());
        self.put(path, Entry::Copy(source.to_owned()));
        Ok(())
    }

    /// A copy of what is in the folder `root`, without what is in the folders `without` of it.
    pub(super) fn tree(&mut self, root: &Path, without: &[&str]) -> Result<()> {
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
                let source = entry?.path();
                let place = source.strip_prefix(root).context("it is below the root")?;
                let place = format!("/{}", place.display());
                if without.contains(&place.as_str()) {
                    continue;
                }
                if source.is_symlink() {
                    self.put(&place, Entry::Link(fs::read_link(&source)?));
                } else if source.is_dir() {
                    self.directory(&place);
                    folders.push(source);
                } else {
                    self.copy(&source, &place)?;
                }
            }
        }
        Ok(())
    }

    /// The program `name` of this machine, with its libraries, at `path`.
    pub(super) fn program(&mut self, name: &str, path: &str) -> Result<()> {
        let source = find_program(name).with_context(|| format!("{name} is not installed"))?;
        self.libraries(&source)?;
        self.copy(&source, path)
    }

    /// The program at `source` without what only debuggers read, with its libraries, at `path`.
    pub(super) fn stripped(&mut self, source: &Path, path: &str) -> Result<()> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stripped = self.scratch.join(name);
        run(Command::new("strip").arg("-o").arg(&stripped).arg(source))?;
        self.libraries(source)?;
        self.copy(&stripped, path)
    }

    /// The libraries of a program, where it looks for them.
    fn libraries(&mut self, program: &Path) -> Result<()> {
        // Fails for what is linked statically.
        let output = Command::new("ldd")
            .arg(program)
            .output()
            .context("cannot run ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        for line in text.lines() {
            // libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…), or /lib64/ld-linux-x86-64.so.2 (0x…)
            let path = line.split_whitespace().find(|word| word.starts_with('/'));
            if let Some(path) = path {
                self.copy(Path::new(path), path)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &str, entry: Entry) {
        if let Some((folder, _)) = path.rsplit_once('/')
            && !folder.is_empty()
        {
            self.directory(folder);
        }
        self.entries.insert(merged(path), entry);
    }

    /// Writes the file system to `path`.
    pub(super) fn write(self, path: &Path) -> Result<()> {
        let failed = || format!("cannot write {}", path.display());
        let output = File::create(path).with_context(failed)?;
        let mut archive = Archive::new(BufWriter::new(output));
        for (place, entry) in &self.entries {
            let name = place.trim_start_matches('/');
            match entry {
                Entry::Directory => archive.add(name, DIRECTORY, &[]),
                Entry::Text { mode, text } => archive.add(name, *mode, text.as_bytes()),
                Entry::Copy(source) => {
                    let reading = || format!("cannot read {}", source.display());
                    let content = fs::read(source).with_context(reading)?;
                    let permissions = fs::metadata(source).with_context(reading)?.permissions();
                    let is_program = permissions.mode() & 0o111 != 0;
                    archive.add(name, if is_program { PROGRAM } else { FILE }, &content)
                }
                Entry::Link(target) => archive.add(name, LINK, target.as_os_str().as_encoded_bytes()),
            }
            .with_context(failed)?;
        }
        archive.finish().with_context(failed)
    }
}

/// Where `path` leads with the links that [`MERGED`] tells of.
fn merged(path: &str) -> String {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if MERGED.contains(&first) {
        format!("/usr{path}")
    } else {
        path.to_owned()
    }
}
