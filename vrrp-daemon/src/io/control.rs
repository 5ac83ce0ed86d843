//! The control socket: where `lbd`'s commands reach the daemon.

use std::fs;
use std::future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::api::{Request, Response};
use crate::io::limits::Remedied;

/// Owner and group may talk to the daemon, as the design says.
const MODE: u32 = 0o660;

/// How long a client may take to send its request, or to take its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest request, in bytes.
const REQUEST_MAXIMUM: u64 = 65_536;

/// The longest path that a client can connect to, in bytes (`sun_path` of `linux/un.h`, less the final zero).
const PATH_MAXIMUM: usize = 107;

/// How many clients are served at once; more wait in the socket's backlog.
const CLIENTS_MAXIMUM: usize = 16;

/// How long to wait after the kernel had no resources for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request and where its answer goes. A sender that is dropped tells the client that the daemon is stopping.
pub type Call = (Request, oneshot::Sender<Response>);

/// Where this process puts its own requests: they are answered as those that come over the socket.
pub type Caller = mpsc::Sender<Call>;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon listens there.
    #[error(
        "another daemon answers on {}: stop it, or give this one a `control_socket` of its own in [node]",
        .0.display()
    )]
    InUse(PathBuf),
    /// Something is there that this daemon has not made.
    #[error(
        "{} exists and is no socket: remove it, or choose another `control_socket` in [node]",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// The kernel refused.
    #[error(
        "cannot listen on the control socket {} (`control_socket` in [node] may name another place)",
        path.display()
    )]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The listening socket. Its file is removed on drop.
#[derive(Debug)]
pub struct ControlSocket {
    calls: mpsc::Receiver<Call>,
    caller: Caller,
    /// Holds the task that accepts: it ends with this.
    _server: JoinSet<()>,
    path: PathBuf,
    inode: u64,
}

impl ControlSocket {
    /// Listens at `path`, whose directory is made if need be. What a crashed daemon left there is replaced; a daemon
    /// that lives is left alone. Must be called within a tokio runtime, which serves the clients.
    ///
    /// # Errors
    /// [`Error`], if nobody can reach this daemon at `path`.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        let refused = |source| Error::Listen {
            path: path.to_owned(),
            source,
        };
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(Error::NotASocket(path.to_owned()));
            }
            Ok(_) if is_alive(path) => return Err(Error::InUse(path.to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(error)),
        }
        let (listener, inode) = listen(path).map_err(refused)?;
        let (sender, calls) = mpsc::channel(CLIENTS_MAXIMUM);
        let mut server = JoinSet::new();
        server.spawn(accept(listener, sender.clone()));
        Ok(Self {
            calls,
            caller: sender,
            _server: server,
            path: path.to_owned(),
            inode,
        })
    }

    /// For requests that come from within.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The next request. May be cancelled (in `select!`) without losing one.
    pub async fn next_call(&mut self) -> Call {
        match self.calls.recv().await {
            Some(call) => call,
            // This value holds a sender.
            None => future::pending().await,
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Unless a successor has put its own socket there.
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the control socket");
        }
    }
}

/// Whether somebody listens at `path`. A queue that is full (`EAGAIN`) is a listener too.
fn is_alive(path: &Path) -> bool {
    match StdUnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        ),
    }
}

/// Listens at `path` and returns the listener with the inode of its file.
///
/// The socket is made under another name and moved: it appears with its final mode and listening, in place of a
/// stale one, at once.
fn listen(path: &Path) -> io::Result<(UnixListener, u64)> {
    if path.as_os_str().len() > PATH_MAXIMUM {
        let message = format!("the path is longer than {PATH_MAXIMUM} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let directory = path
        .parent()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a directory, not a file"))?;
    fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{}", std::process::id()));
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&temporary)?;
    let moved = fs::set_permissions(&temporary, fs::Permissions::from_mode(MODE))
        .and_then(|()| fs::symlink_metadata(&temporary))
        .and_then(|metadata| fs::rename(&temporary, path).map(|()| metadata.ino()));
    match moved {
        Ok(inode) => Ok((listener, inode)),
        Err(error) => {
            // The reason why it could not be moved says more than a failure to clean up would.
            drop(fs::remove_file(&temporary));
            Err(error)
        }
    }
}

/// Accepts clients for ever.
async fn accept(listener: UnixListener, calls: mpsc::Sender<Call>) {
    let mut clients = JoinSet::new();
    let mut has_failed = false;
    loop {
        while clients.try_join_next().is_some() {}
        if clients.len() >= CLIENTS_MAXIMUM {
            clients.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                has_failed = false;
                let calls = calls.clone();
                clients.spawn(async move {
                    if let Err(error) = serve(stream, calls).await {
                        tracing::debug!(%error, "a client of the control socket went away");
                    }
                });
            }
            Err(error) => {
                // Once, and not with every attempt.
                if !std::mem::replace(&mut has_failed, true) {
                    tracing::warn!(error = %Remedied(&error), "cannot accept on the control socket");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the one request of a client.
async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(REQUEST_MAXIMUM));
    timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    let response = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => ask(request, &calls).await,
        Err(error) => Response::Refused {
            message: format!("this version of the daemon does not know the request: {error}"),
        },
    };
    // The status of ten thousand real servers is megabytes: not on the thread whose loops everybody waits for.
    let answer = spawn_blocking(move || {
        let mut answer = serde_json::to_vec(&response)?;
        answer.push(b'\n');
        Ok::<_, serde_json::Error>(answer)
    });
    let answer = answer.await.map_err(io::Error::other)??;
    timeout(PATIENCE, writer.write_all(&answer)).await??;
    Ok(())
}

/// Has the daemon answer `request`.
async fn ask(request: Request, calls: &mpsc::Sender<Call>) -> Response {
    let (sender, receiver) = oneshot::channel();
    let answer = match calls.send((request, sender)).await {
        Ok(()) => receiver.await.ok(),
        Err(_) => None,
    };
    answer.unwrap_or_else(|| Response::Refused {
        message: "the daemon is stopping".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;

    use super::*;

    /// Sends `request` as a client does and returns the answer.
    fn call(path: &Path, request: &str) -> String {
        let mut stream = StdUnixStream::connect(path).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn call_in_background(path: &Path, request: &'static str) -> tokio::task::JoinHandle<String> {
        let path = path.to_owned();
        spawn_blocking(move || call(&path, request))
    }

    #[tokio::test]
    async fn a_request_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/lbd.sock");
        let mut socket = ControlSocket::bind(&path).unwrap();
        let client = call_in_background(&path, "\"reload\"\n");
        let (request, answer) = socket.next_call().await;
        assert_eq!(request, Request::Reload);
        answer
            .send(Response::Done {
                message: "reloaded".to_owned(),
            })
            .unwrap();
        assert_eq!(client.await.unwrap(), "{\"done\":{\"message\":\"reloaded\"}}\n");
    }

    #[tokio::test]
    async fn one_client_does_not_wait_for_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock");
        let mut socket = ControlSocket::bind(&path).unwrap();
        let _silent = StdUnixStream::connect(&path).unwrap();
        let first = call_in_background(&path, "\"status\"\n");
        let (_, answer_to_first) = socket.next_call().await;
        let second = call_in_background(&path, "\"reload\"\n");
        let (_, answer_to_second) = socket.next_call().await;
        drop(answer_to_second);
        assert!(second.await.unwrap().contains("the daemon is stopping"));
        drop(answer_to_first);
        assert!(first.await.unwrap().contains("refused"));
    }

    #[tokio::test]
    async fn an_unknown_request_is_refused_with_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock");
        let _socket = ControlSocket::bind(&path).unwrap();
        let answer = call_in_background(&path, "\"dance\"\n").await.unwrap();
        assert!(
            answer.contains("refused") && answer.contains("unknown variant `dance`"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn only_owner_and_group_may_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock");
        let _socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let mut socket = ControlSocket::bind(&path).unwrap();
        let client = call_in_background(&path, "\"status\"\n");
        assert_eq!(socket.next_call().await.0, Request::Status);
        client.await.unwrap();
    }

    #[tokio::test]
    async fn a_living_daemon_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock");
        let mut first = ControlSocket::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(Error::InUse(_))));
        let client = call_in_background(&path, "\"status\"\n");
        assert_eq!(first.next_call().await.0, Request::Status);
        client.await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(Error::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_file_goes_with_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lbd.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a successor's").unwrap();
        drop(socket);
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        drop(ControlSocket::bind(&path).unwrap());
        assert!(!path.exists());
    }
}
