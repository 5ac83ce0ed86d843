//! Packets that are lost after the program has sent them off, as an operator should hear of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Losses that have not been seen for this long are over.
const MEMORY: Duration = Duration::from_secs(30);

/// Where packets are lost, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// The index of the interface that they arrived by.
    pub from: u32,
    /// The index of the interface that they were to leave by.
    pub to: u32,
    /// The number of the error; 0 where the kernel does not tell.
    pub error: u32,
}

/// Knows what is being lost.
#[derive(Debug, Default)]
pub struct Losses {
    counts: BTreeMap<Loss, u64>,
    /// What is being lost: since when, and when it was last seen.
    present: BTreeMap<Loss, (Instant, Instant)>,
}

impl Losses {
    /// So many packets have been lost since the start. Returns the losses that have begun.
    pub fn counted(&mut self, counts: BTreeMap<Loss, u64>, now: Instant) -> Vec<Loss> {
        let mut begun = Vec::new();
        for (loss, count) in &counts {
            if self.counts.get(loss).is_some_and(|before| before >= count) {
                continue;
            }
            let since = match self.present.get(loss) {
                Some((since, _)) => *since,
                None => {
                    begun.push(*loss);
                    now
                }
            };
            self.present.insert(*loss, (since, now));
        }
        self.counts = counts;
        self.present
            .retain(|_, (_, seen)| now.saturating_duration_since(*seen) < MEMORY);
        begun
    }

    /// What is being lost, and since when.
    pub fn present(&self) -> impl Iterator<Item = (Loss, Instant)> {
        self.present.iter().map(|(loss, (since, _))| (*loss, *since))
    }

    /// How many packets have been lost since the start.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// An interface that lost packets came from, as people know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// Where what it receives is sent, if it is a veth or made of one.
    pub sender: Option<Sender>,
}

/// The other end of a veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The name of this end.
    pub veth: String,
    /// Its name, if that can be known: it may be in another network namespace.
    pub name: Option<String>,
    /// Its index where it is.
    pub index: u32,
}

impl Origin {
    /// How to have packets come in the size that interfaces send them.
    fn remedy(&self) -> String {
        let command = |interface: &str| format!("`ethtool -K {interface} tso off tx-udp-segmentation off`");
        match &self.sender {
            Some(Sender {
                veth,
                name: Some(name),
                ..
            }) => {
                format!(
                    "{} mends that, run where {name} is, the other end of the veth {veth}",
                    command(name)
                )
            }
            Some(Sender {
                veth,
                name: None,
                index,
            }) => format!(
                "{} mends that, run where the other end of the veth {veth} is, with the name that `ip link` has for \
                 number {index} there",
                command("NAME")
            ),
            None => format!(
                "{} mends that, run where they come from, with the name of the interface there that sends them to {} \
                 (in a virtual machine or a container, or at its host)",
                command("NAME"),
                self.name
            ),
        }
    }
}

impl Loss {
    /// What is wrong and what helps, given where the packets came from and the name of the interface that they were to
    /// leave by.
    #[must_use]
    pub fn explanation(self, from: &Origin, to: &str) -> String {
        /// `errno` values of `include/uapi/asm-generic/errno*.h`.
        const ENXIO: u32 = 6;
        const EMSGSIZE: u32 = 90;
        const EOPNOTSUPP: u32 = 95;
        const ENETDOWN: u32 = 100;
        let why = match self.error {
            0 => "the driver cannot do what the program decides".to_owned(),
            EMSGSIZE => format!(
                "they are longer than {to} takes, because their sender leaves it to the network interface to cut them; {}",
                from.remedy()
            ),
            ENXIO => {
                format!("{to} has no queue for XDP: its driver, or a veth's other end, wants an XDP program")
            }
            EOPNOTSUPP => {
                format!("{to} does not send for XDP; set xdp_mode = \"auto\" or \"generic\" in [dataplane]")
            }
            ENETDOWN => format!("{to} is down"),
            number => format!("error {number} (errno)"),
        };
        format!(
            "packets from {} are lost on their way out by {to}: {why}",
            from.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: Loss = Loss {
        from: 2,
        to: 3,
        error: 90,
    };

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_loss_begins_once_and_ends_when_nothing_more_is_lost() {
        let start = start();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut losses = Losses::default();
        assert_eq!(losses.counted([].into(), start), []);
        assert_eq!(losses.counted([(LOSS, 1)].into(), after(1)), [LOSS]);
        assert_eq!(losses.counted([(LOSS, 5)].into(), after(2)), []);
        assert_eq!(losses.present().collect::<Vec<_>>(), [(LOSS, after(1))]);
        assert_eq!(losses.total(), 5);
        assert_eq!(losses.counted([(LOSS, 5)].into(), after(40)), []);
        assert_eq!(losses.present().count(), 0);
        assert_eq!(losses.counted([(LOSS, 6)].into(), after(41)), [LOSS]);
    }

    #[test]
    fn an_explanation_names_the_interfaces_and_what_helps() {
        let mut from = Origin {
            name: "eth0.10".to_owned(),
            sender: None,
        };
        let text = LOSS.explanation(&from, "eth1");
        assert!(
            text.starts_with("packets from eth0.10 are lost on their way out by eth1: "),
            "{text}"
        );
        assert!(
            text.contains("`ethtool -K NAME tso off") && text.contains("to eth0.10 "),
            "{text}"
        );
        let mut end = Sender {
            veth: "eth0".to_owned(),
            name: None,
            index: 17,
        };
        from.sender = Some(end.clone());
        let text = LOSS.explanation(&from, "eth1");
        assert!(
            text.contains("`ethtool -K NAME tso off") && text.contains("number 17"),
            "{text}"
        );
        end.name = Some("port1".to_owned());
        from.sender = Some(end);
        let text = LOSS.explanation(&from, "eth1");
        assert!(text.contains("`ethtool -K port1 tso off"), "{text}");
        assert!(
            text.ends_with("where port1 is, the other end of the veth eth0"),
            "{text}"
        );
        let text = Loss { error: 5, ..LOSS }.explanation(&from, "eth1");
        assert!(text.ends_with("error 5 (errno)"), "{text}");
    }
}
