//! `lbd reload`.

use super::{Daemon, client, output};
use crate::api::{Request, Response};

/// Has the daemon read its configuration file again, and prints what came of it.
pub(super) fn run(daemon: &Daemon) -> anyhow::Result<()> {
    match client::call(&daemon.socket()?, Request::Reload)? {
        Response::Done { message } => {
            if message.is_empty() {
                return Ok(());
            }
            output::print(&format!("{message}\n"))
        }
        Response::Refused { message } => Err(anyhow::anyhow!(message)),
        Response::Status(_) => Err(anyhow::anyhow!("the daemon answered another question")),
    }
}
