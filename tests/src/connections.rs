//! Many established TCP connections at once, as of a pool of workers: how many outlive a change of the director?

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Node;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections to a responder, idle between two exchanges.
#[derive(Debug)]
pub struct Connections {
    streams: Vec<TcpStream>,
}

/// What came of one line on each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Answered.
    pub answered: usize,
    /// Ended by a reset.
    pub reset: usize,
    /// Closed in good order, by the other end.
    pub closed: usize,
    /// Neither answered nor ended within five seconds.
    pub silent: usize,
}

impl Connections {
    /// Opens `count` connections to the responder at `target`, and exchanges a line on each: they are established to
    /// everybody on the way.
    ///
    /// # Errors
    /// One of them isn't answered.
    pub fn open(from: &impl AsRef<Node>, target: SocketAddr, count: usize) -> Result<Self> {
        let connect = || TcpStream::connect_timeout(&target, PATIENCE);
        let connect_all = || (0..count).map(|_| connect()).collect::<std::io::Result<Vec<_>>>();
        let streams = from
            .as_ref()
            .namespace
            .run(connect_all)
            .with_context(|| format!("cannot connect to {target}"))?;
        for stream in &streams {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
        }
        let connections = Self { streams };
        let first = connections.exchange();
        anyhow::ensure!(
            first.answered == count,
            "not all are answered at first: {first:?}"
        );
        Ok(connections)
    }

    /// Sends a line on each connection, all at once, and waits for the answers. A connection that has ended stays so.
    #[must_use]
    pub fn exchange(&self) -> Exchanged {
        let outcomes = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .streams
                .iter()
                .map(|stream| scope.spawn(|| exchange(stream)))
                .collect();
            let join =
                |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("it doesn't panic");
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        let mut seen = Exchanged::default();
        for outcome in outcomes {
            let count = match outcome {
                Ok(()) => &mut seen.answered,
                Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => &mut seen.reset,
                Err(ErrorKind::UnexpectedEof) => &mut seen.closed,
                Err(_) => &mut seen.silent,
            };
            *count += 1;
        }
        seen
    }
}

/// Sends a line and waits for its answer.
fn exchange(mut stream: &TcpStream) -> std::result::Result<(), ErrorKind> {
    stream
        .write_all(b"still there?\n")
        .map_err(|error| error.kind())?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Ok(0) => Err(ErrorKind::UnexpectedEof),
        Ok(_length) => Ok(()),
        Err(error) => Err(error.kind()),
    }
}
