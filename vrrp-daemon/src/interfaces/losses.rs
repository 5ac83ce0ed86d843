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

impl Loss {
    /// What is wrong and what helps, given the interfaces' names.
    #[must_use]
    pub fn explanation(self, from: &str, to: &str) -> String {
        /// `errno` values of `include/uapi/asm-generic/errno*.h`.
        const ENXIO: u32 = 6;
        const EMSGSIZE: u32 = 90;
        const EOPNOTSUPP: u32 = 95;
        const ENETDOWN: u32 = 100;
        let why = match self.error {
            0 => "the driver cannot do what the program decides".to_owned(),
            EMSGSIZE => format!(
                "they are longer than {to} takes: somebody merges them before they come to {from}; switch that off \
                 where they come from (`ethtool -K INTERFACE tso off gso off gro off`; of a veth, at its other end)"
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
        format!("packets from {from} are lost on their way out by {to}: {why}")
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
        let text = LOSS.explanation("eth0", "eth1");
        assert!(
            text.contains("eth0") && text.contains("eth1") && text.contains("tso off"),
            "{text}"
        );
        let text = Loss { error: 5, ..LOSS }.explanation("eth0", "eth1");
        assert!(text.ends_with("error 5 (errno)"), "{text}");
    }
}
