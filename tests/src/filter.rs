//! Packet filters: what loses packets where no cable is pulled.

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use crate::{Lab, Namespace, Node};

/// Where packets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// What a machine's own programs are about to receive. An XDP program has seen it before.
    Input,
    /// What its own programs send; to them it is an error. What an XDP program sends doesn't come by.
    Output,
    /// What a switch carries from one port to another (a bridge's namespace). Nobody sees the rest: neither the
    /// programs of a machine nor its XDP program.
    Bridge,
}

impl Hook {
    const fn family(self) -> &'static str {
        match self {
            Self::Input | Self::Output => "inet",
            Self::Bridge => "bridge",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Bridge => "forward",
        }
    }
}

/// A rule of nftables in a namespace, in force until it is dropped.
#[derive(Debug)]
pub struct Filter<'lab> {
    namespace: &'lab Namespace,
    family: &'static str,
    table: String,
}

impl<'lab> Filter<'lab> {
    /// Loses what matches `rule`, e.g. `ip protocol 112`.
    ///
    /// # Errors
    /// nft(8) doesn't understand the rule.
    pub fn discard(namespace: &'lab Namespace, hook: Hook, rule: &str) -> Result<Self> {
        Self::load(namespace, hook, &format!("{rule} counter drop"))
    }

    /// Keeps `node` from everybody else at the switch of its `eth0`, whose link stays up.
    ///
    /// # Errors
    /// nft(8) fails.
    pub fn isolate(lab: &'lab Lab, node: &Node) -> Result<[Self; 2]> {
        let port = &node.interface("eth0").port;
        let cut = |side| Self::discard(&lab.switch, Hook::Bridge, &format!("{side} \"{port}\""));
        Ok([cut("iifname")?, cut("oifname")?])
    }

    /// Only counts what matches `rule`.
    ///
    /// # Errors
    /// As [`Filter::discard`].
    pub fn count(namespace: &'lab Namespace, hook: Hook, rule: &str) -> Result<Self> {
        Self::load(namespace, hook, &format!("{rule} counter"))
    }

    fn load(namespace: &'lab Namespace, hook: Hook, rule: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let filter = Self {
            namespace,
            family: hook.family(),
            table: format!("lab{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        };
        filter.nft(&format!(
            "table {family} {table} {{\n\
             chain rules {{\n\
             type filter hook {hook} priority 0;\n\
             {rule}\n\
             }}\n\
             }}\n",
            family = filter.family,
            table = filter.table,
            hook = hook.name(),
        ))?;
        Ok(filter)
    }

    /// How many packets have matched.
    ///
    /// # Errors
    /// nft(8) fails.
    pub fn packets(&self) -> Result<u64> {
        let list = self.nft(&format!("list table {} {}\n", self.family, self.table))?;
        let mut words = list.split_whitespace().skip_while(|word| *word != "packets");
        let count = words.nth(1).and_then(|word| word.parse().ok());
        count.with_context(|| format!("no counter in {list}"))
    }

    /// Runs the lines of `batch` as commands of nft(8) and returns what it printed.
    fn nft(&self, batch: &str) -> Result<String> {
        let mut child = self
            .namespace
            .command("nft")
            .args(["--file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run nft")?;
        let mut input = child.stdin.take().expect("it was piped above");
        input.write_all(batch.as_bytes())?;
        drop(input);
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "nft in {} failed: {}\n{batch}",
            self.namespace.name(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Filter<'_> {
    fn drop(&mut self) {
        // If it fails, the namespace and its tables go with the lab.
        drop(self.nft(&format!("delete table {} {}\n", self.family, self.table)));
    }
}
