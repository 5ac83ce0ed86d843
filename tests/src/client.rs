//! The client: curl.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Output;

use anyhow::{Context, Result, ensure};

use crate::Node;

/// The node that asks.
#[derive(Debug)]
pub struct Client {
    /// The machine.
    pub node: Node,
}

/// What came of a series of requests, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// For each request the real server that answered it with status 200, or nothing.
    pub answers: Vec<Option<String>>,
    /// What curl complained about.
    pub complaints: String,
}

impl Fetched {
    /// How many requests each real server answered.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for name in self.answers.iter().flatten() {
            *counts.entry(name.as_str()).or_default() += 1;
        }
        counts
    }

    /// How many requests failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.answers.iter().filter(|answer| answer.is_none()).count()
    }

    /// The most requests in a row that one server answered.
    #[must_use]
    pub fn longest_burst(&self) -> usize {
        self.answers
            .chunk_by(|one, next| one == next)
            .map(<[_]>::len)
            .max()
            .unwrap_or(0)
    }
}

impl AsRef<Node> for Client {
    fn as_ref(&self) -> &Node {
        &self.node
    }
}

impl Client {
    pub(crate) const fn new(node: Node) -> Self {
        Self { node }
    }

    /// Requests `/` from `server` by HTTP `count` times, one after the other, each by a connection of its own.
    ///
    /// # Errors
    /// curl can't be run. A request that fails is no error, but a missing answer.
    pub fn curl(&self, server: SocketAddr, count: usize) -> Result<Fetched> {
        let output = self
            .node
            .namespace
            .command("curl")
            .args(["--silent", "--show-error", "--max-time", "5", "--noproxy", "*"])
            .args(["--header", "Connection: close"])
            // The body is the server's name on a line; this is the line after it.
            .args(["--write-out", "%{http_code}\n"])
            .arg(format!("http://{server}/[1-{count}]"))
            .output()
            .context("cannot run curl")?;
        let answers = answers(&output);
        ensure!(
            answers.len() == count,
            "curl reported {} of {count} requests: {output:?}",
            answers.len()
        );
        Ok(Fetched {
            answers,
            complaints: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Reads what curl printed: for each request the body, if any, and the status.
fn answers(output: &Output) -> Vec<Option<String>> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut body = None;
    let mut answers = Vec::new();
    for line in text.lines() {
        if line.len() == 3 && line.bytes().all(|byte| byte.is_ascii_digit()) {
            answers.push(body.take().filter(|_| line == "200"));
        } else {
            body = Some(line.to_owned());
        }
    }
    answers
}
