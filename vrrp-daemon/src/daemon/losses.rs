//! Looks after packets that are lost on their way out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::channel::Assignment;
use crate::api::{Problem, ProblemCode, Timestamp};
use crate::interfaces::{Loss, Losses, Origin, Sender};
use crate::io::bpf::Lost;
use crate::io::netlink::{Link, Netlink};

/// How often the counts are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// What is being lost, for the status.
#[derive(Clone, Default)]
pub(super) struct LossesNow(Arc<Mutex<Now>>);

#[derive(Default)]
struct Now {
    problems: Vec<Problem>,
    total: u64,
}

impl LossesNow {
    /// What is being lost, as problems.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.problems.clone()
    }

    /// How many packets have been lost.
    pub(super) fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Looks at the counts for ever, and tells the operator of what begins.
    pub(super) async fn watch(self, lost: Lost, assignment: watch::Receiver<Assignment>, netlink: Netlink) {
        let mut losses = Losses::default();
        let mut origins: BTreeMap<u32, Origin> = BTreeMap::new();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut counts = BTreeMap::new();
            let egress: BTreeSet<u32> = assignment.borrow().egress.clone();
            for (departure, count) in lost.counts() {
                // Another network namespace's interfaces may have the same indices; what the kernel names no program
                // for may be another program's.
                if departure.program == 0 && !egress.contains(&departure.to) {
                    continue;
                }
                let loss = Loss {
                    from: departure.from,
                    to: departure.to,
                    error: departure.error,
                };
                *counts.entry(loss).or_default() += count;
            }
            let begun = losses.counted(counts, Instant::now());
            if !begun.is_empty()
                && let Ok(links) = netlink.links().await
            {
                origins.clear();
                for link in &links {
                    origins.insert(link.index, origin(&netlink, &links, link).await);
                }
            }
            let nobody = Origin {
                name: "?".to_owned(),
                sender: None,
            };
            let known = |index| origins.get(&index).unwrap_or(&nobody);
            let name = |index| known(index).name.as_str();
            let explain = |loss: Loss| loss.explanation(known(loss.from), name(loss.to));
            for loss in begun {
                warn!("{}", explain(loss));
            }
            let problems = losses.present().map(|(loss, since)| Problem {
                code: ProblemCode::PacketsLost,
                subject: name(loss.to).to_owned(),
                message: explain(loss),
                since: Timestamp::from(SystemTime::now() - since.elapsed()),
            });
            let now = Now {
                problems: problems.collect(),
                total: losses.total(),
            };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }
}

/// `link`, one of the interfaces `links`, as people know it.
async fn origin(netlink: &Netlink, links: &[Link], link: &Link) -> Origin {
    let mut bottom = link;
    while let Some(lower) = links.iter().find(|other| Some(other.index) == bottom.build.lower) {
        bottom = lower;
    }
    let sender = match bottom.build.other_end {
        Some(end) => Some(Sender {
            veth: bottom.name.clone(),
            name: netlink.name_of(end).await.ok(),
            index: end.index,
        }),
        None => None,
    };
    Origin {
        name: link.name.clone(),
        sender,
    }
}
