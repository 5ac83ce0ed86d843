//! The status as a file, for when the control socket is out of reach.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::api::Status;

/// Owner and group may read it, as with the control socket.
const MODE: u32 = 0o640;

/// Writes `status` as JSON to `path`, whole: whoever reads the file meanwhile sees the one before. Its directory is
/// made if need be. Must be called within a tokio runtime: another thread waits for the disk.
///
/// # Errors
/// If it cannot be written.
pub async fn write(path: &Path, status: &Status) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(status)?;
    text.push(b'\n');
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || replace(&path, &text))
        .await
        .map_err(io::Error::other)?
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)?;
    fs::set_permissions(&temporary, Permissions::from_mode(MODE))?;
    fs::rename(&temporary, path)
}
