//! What happened, for those who want to be told: a bounded channel from both loops to a task of its own.
//!
//! Beside it are the levels of `channel.rs`, which say how things are and lose what happened in between. Today the task
//! writes the log; whoever else is to be told (notifiers, metrics, an event stream) hangs on to it here. It may be
//! slow: a loop never waits for it. What finds the channel full is dropped and counted, and the task says so when it
//! gets there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::director::{Notice, Severity};
use crate::health::Health;
use crate::model::VrrpInstance;
use crate::vrrp::{self, Awaited, Obstacle};

/// How many news wait at most. All real servers of a large site may fail at once.
const CAPACITY: usize = 4_096;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The director tells.
    Director(Notice),
    /// The speaker tells of a virtual router.
    Vrrp {
        /// The virtual router.
        instance: Arc<VrrpInstance>,
        /// What there is to tell.
        news: vrrp::News,
    },
    /// Another configuration is in force.
    Reloaded {
        /// What has changed, and what a person should know about it.
        message: String,
    },
    /// The configuration file was not taken: nothing has changed.
    ReloadRefused {
        /// Why.
        message: String,
    },
}

impl From<Notice> for News {
    fn from(notice: Notice) -> Self {
        Self::Director(notice)
    }
}

/// Where news are handed in. Never waits.
#[derive(Clone, Debug)]
pub(super) struct NewsSender {
    sender: mpsc::Sender<News>,
    dropped: Arc<AtomicU64>,
}

impl NewsSender {
    /// Hands `news` in.
    pub(super) fn tell(&self, news: impl Into<News>) {
        // Closed only at the very end, when the task has gone.
        if self.sender.try_send(news.into()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The other end.
#[derive(Debug)]
pub(super) struct NewsReceiver {
    receiver: mpsc::Receiver<News>,
    dropped: Arc<AtomicU64>,
}

/// A channel of news.
pub(super) fn channel() -> (NewsSender, NewsReceiver) {
    channel_of(CAPACITY)
}

fn channel_of(capacity: usize) -> (NewsSender, NewsReceiver) {
    let (sender, receiver) = mpsc::channel(capacity);
    let dropped = Arc::<AtomicU64>::default();
    let sender = NewsSender {
        sender,
        dropped: Arc::clone(&dropped),
    };
    (sender, NewsReceiver { receiver, dropped })
}

impl NewsReceiver {
    /// Spreads the news until the last sender is gone.
    pub(super) async fn spread(mut self) {
        while let Some(news) = self.receiver.recv().await {
            log(&news);
            if let Some(count) = self.take_dropped() {
                warn!(
                    count,
                    "news came faster than they could be told: so many are missing before this line"
                );
            }
        }
    }

    /// How many were dropped since this was last asked, if any.
    fn take_dropped(&self) -> Option<u64> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        (dropped > 0).then_some(dropped)
    }
}

fn log(news: &News) {
    match news {
        News::Director(Notice::Health {
            real_server: id,
            from,
            to,
            reason,
        }) => {
            if *to == Health::Down {
                warn!(service = %id.service, real_server = %id.address, %from, %to, %reason, "real server");
            } else {
                info!(service = %id.service, real_server = %id.address, %from, %to, %reason, "real server");
            }
        }
        News::Director(notice) => match notice.severity() {
            Severity::Info => info!("{notice}"),
            Severity::Warning => warn!("{notice}"),
            Severity::Error => error!("{notice}"),
        },
        News::Vrrp { instance, news } => log_vrrp(instance, news),
        News::Reloaded { message } => info!("configuration reloaded: {message}"),
        News::ReloadRefused { message } => error!("reload refused, nothing has changed:\n{message}"),
    }
}

fn log_vrrp(instance: &VrrpInstance, news: &vrrp::News) {
    let VrrpInstance { name, interface, .. } = instance;
    match news {
        vrrp::News::Transition { from, to, reason } => {
            let vrid = instance.virtual_router_id.get();
            info!(instance = name, interface, vrid, %from, %to, %reason, "transition");
        }
        // The attempt to attach it has told why.
        vrrp::News::Obstructed(Obstacle::ProgramRefused) => {}
        vrrp::News::Obstructed(obstacle) => {
            warn!(instance = name, interface, reason = %obstacle, "out of the election until that changes");
        }
        vrrp::News::Worry(concern) => warn!(instance = name, interface, "{concern}"),
        vrrp::News::Relief(concern) => info!(instance = name, interface, "over: {concern}"),
        vrrp::News::HoldsBack {
            from,
            priority,
            awaited,
        } => {
            let master = from;
            let awaited = Awaited::list(awaited);
            let why = "leaves the master of lower priority alone while its real servers are not known";
            info!(instance = name, interface, %master, %priority, awaited, "{why}");
        }
        vrrp::News::HoldsBackNoMore { known } => {
            let why = match known {
                true => "its real servers are known, or were waited for long enough",
                false => "it is a backup no more",
            };
            info!(instance = name, interface, "held back no more: {why}");
        }
        vrrp::News::SentAgain => info!(instance = name, interface, "advertisements leave again"),
        vrrp::News::NotSent { error } => {
            warn!(instance = name, interface, error, "cannot send an advertisement")
        }
        vrrp::News::NoDevice { address } => {
            let device = address.device.as_deref().unwrap_or(interface);
            let address = address.address;
            error!(instance = name, %address, interface = device, "the interface of a virtual address is not there");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(number: usize) -> News {
        News::Reloaded {
            message: number.to_string(),
        }
    }

    #[tokio::test]
    async fn a_full_channel_counts_what_it_drops_and_says_so_once() {
        let (sender, mut receiver) = channel_of(2);
        for number in 0..5 {
            sender.tell(news(number));
        }
        assert_eq!(receiver.receiver.recv().await, Some(news(0)));
        assert_eq!(receiver.take_dropped(), Some(3));
        assert_eq!(receiver.take_dropped(), None);
        sender.tell(news(5));
        assert_eq!(receiver.receiver.recv().await, Some(news(1)));
        assert_eq!(receiver.receiver.recv().await, Some(news(5)));
        assert_eq!(receiver.take_dropped(), None);
    }

    #[tokio::test]
    async fn everything_is_told_before_the_end() {
        let (sender, receiver) = channel_of(8);
        let other = sender.clone();
        sender.tell(news(0));
        other.tell(news(1));
        drop((sender, other));
        receiver.spread().await;
    }
}
