//! What the journal of systemd wants to see: a line's severity before it, and neither time nor colour, which it has
//! itself (`sd-daemon(3)`, `systemd.exec(5)`).

use std::env;
use std::fmt;
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Whether `stream` is a connection to the journal: systemd names the one that it has made in `$JOURNAL_STREAM`, by
/// device and inode. A service's output that was redirected since is not.
pub(super) fn reads(stream: impl AsFd) -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(stream).is_ok_and(|status| named == format!("{}:{}", status.st_dev, status.st_ino))
}

/// `text` with the severity before each of its lines.
pub(super) fn with_severity(level: Level, text: &str) -> String {
    let severity = severity(level);
    text.split_inclusive('\n')
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("<{severity}>{line}"))
        .collect()
}

/// The severity of syslog (RFC 5424, section 6.2.1).
const fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Events as `F` formats them, with their severity.
pub(super) struct WithSeverity<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for WithSeverity<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        writer.write_str(&with_severity(*event.metadata().level(), &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_message_has_its_severity() {
        assert_eq!(with_severity(Level::ERROR, "one\n\ntwo\n"), "<3>one\n<3>two\n");
        assert_eq!(with_severity(Level::WARN, "one"), "<4>one");
        assert_eq!(with_severity(Level::INFO, "one\n"), "<6>one\n");
        assert_eq!(with_severity(Level::TRACE, "one\n"), "<7>one\n");
    }
}
