//! The client's side of the control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::api::{Request, Response};

/// How long the daemon may take to answer; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the daemon that listens at `socket`.
pub(super) fn call(socket: &Path, request: Request) -> anyhow::Result<Response> {
    let path = socket.display();
    let mut stream = UnixStream::connect(socket).map_err(|error| unreachable(socket, &error))?;
    let answer = exchange(&mut stream, request).map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            let seconds = PATIENCE.as_secs();
            anyhow::anyhow!("the daemon on {path} has not answered for {seconds} s: it is stopped or stuck")
        } else {
            anyhow::anyhow!("the daemon on {path} went away: {error}")
        }
    })?;
    if answer.is_empty() {
        anyhow::bail!("the daemon on {path} closed the connection without an answer");
    }
    serde_json::from_str(&answer).with_context(|| {
        format!("the daemon on {path} gave an answer that this version of lbd does not understand")
    })
}

/// Why nobody listens at `socket`, and what to do.
fn unreachable(socket: &Path, error: &io::Error) -> anyhow::Error {
    let path = socket.display();
    if matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    ) {
        anyhow::anyhow!(
            "no daemon answers on {path}: start it with `lbd run`, or name its socket with `--socket PATH` or its \
             configuration with `-c FILE`"
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        anyhow::anyhow!(
            "you may not talk to the daemon on {path}: become root, or a member of the socket's group"
        )
    } else {
        anyhow::anyhow!("cannot connect to the daemon on {path}: {error}")
    }
}

/// Sends `request` and returns everything that comes back.
fn exchange(stream: &mut UnixStream, request: Request) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
