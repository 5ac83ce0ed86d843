//! The daemon's log, on standard error: for people with times, for the journal with severities. It never keeps the
//! daemon waiting and never ends it, whatever becomes of who reads it.

mod journal;
mod queue;

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tracing::{Level, error};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::Severity;
use journal::WithSeverity;
use queue::Queue;

/// How long the end of the daemon waits for its last lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// With time and level.
    Plain,
    /// For the journal.
    Journal,
}

/// The log. When it is dropped, what was logged is written, if that is possible.
pub(super) struct Log {
    queue: Queue,
    form: Form,
}

impl Log {
    /// Begins a log on standard error.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start() -> anyhow::Result<Self> {
        let form = Form::of_standard_error();
        let obituary = move |lost| form.line(Level::WARN, &lost_lines(lost));
        let queue =
            Queue::start(Stderr, queue::CAPACITY, obituary).context("cannot start a thread for the log")?;
        Ok(Self { queue, form })
    }

    /// Has `tracing` write here, and panics too.
    ///
    /// # Errors
    /// If RUST_LOG cannot be understood.
    pub(super) fn listen(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            .from_env()
            .context("the environment variable RUST_LOG is no filter (`info`, `vrrp_daemon=debug`)")?;
        let queue = self.queue.clone();
        let lines = fmt::layer().with_writer(move || Line(queue.clone()));
        let lines = match self.form {
            Form::Plain => lines
                .with_ansi(io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
            Form::Journal => {
                let bare = fmt::format().without_time().with_level(false).with_target(false);
                lines.with_ansi(false).event_format(WithSeverity(bare)).boxed()
            }
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        panic::set_hook(Box::new(|info| {
            let thread = thread::current();
            error!(thread = thread.name(), "{info}: please report this");
        }));
        Ok(())
    }

    /// Says `text` as it stands: what is said to the person who starts the daemon is the same as with every other verb.
    pub(super) fn say(&self, level: Level, text: &str) {
        self.queue.push(self.form.text(level, text).into_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.finish(PATIENCE);
    }
}

/// The level of diagnostics.
pub(super) const fn level(severity: Severity) -> Level {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARN,
    }
}

/// `text` for standard error, from a verb that keeps no log: with severities, if the journal reads it.
pub(super) fn for_standard_error(level: Level, text: &str) -> String {
    Form::of_standard_error().text(level, text)
}

impl Form {
    /// What whoever reads standard error wants.
    fn of_standard_error() -> Self {
        if journal::reads(io::stderr()) {
            Self::Journal
        } else {
            Self::Plain
        }
    }

    /// Text as it stands.
    fn text(self, level: Level, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Journal => journal::with_severity(level, text),
        }
    }

    /// A line that does not come by way of `tracing`.
    fn line(self, level: Level, text: &str) -> String {
        match self {
            Self::Plain => {
                let mut time = String::new();
                // Without the time, the line still says what it has to.
                SystemTime.format_time(&mut Writer::new(&mut time)).ok();
                format!("{time} {level:>5} {text}\n")
            }
            Self::Journal => journal::with_severity(level, &format!("{text}\n")),
        }
    }
}

fn lost_lines(lost: u64) -> String {
    let lines = if lost == 1 {
        "1 line was"
    } else {
        &format!("{lost} lines were")
    };
    format!("{lines} lost here: standard error did not take them")
}

/// Standard error without a lock and without a buffer.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        nix::unistd::write(io::stderr(), bytes).map_err(io::Error::from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes what `tracing` writes, which is one event at a time.
struct Line(Queue);

impl Write for Line {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.push(event.to_vec());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_said_in_the_form_of_the_others() {
        assert_eq!(
            Form::Journal.line(Level::WARN, &lost_lines(2)),
            "<4>2 lines were lost here: standard error did not take them\n"
        );
        let plain = Form::Plain.line(Level::WARN, &lost_lines(1));
        let (time, rest) = plain.split_once(' ').unwrap();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
        assert_eq!(
            rest,
            " WARN 1 line was lost here: standard error did not take them\n"
        );
    }
}
