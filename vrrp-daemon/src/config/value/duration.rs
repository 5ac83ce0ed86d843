//! Durations: strings with a unit.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};

use super::{Asked, ConfigValue, WriteToml, wrong_type};

/// The longest duration that is believed: longer ones are typing errors, and sums of them would leave the clock.
const LONGEST: Duration = Duration::from_hours(24);

/// The shortest interval or timeout that means something to a network.
const SHORTEST: Duration = Duration::from_millis(1);

/// For how long a silent connection is remembered. The limit is that of Keepalived's `lvs_timeouts`
/// (`core/global_parser.c`); 0, which leaves the kernel's there, has no meaning here.
#[derive(Clone, Copy)]
pub(in crate::config) struct ConnectionTimeout(pub(in crate::config) Duration);

/// What a connection's timeout is at the least, and at the most.
const CONNECTION_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(31 * 24);

impl ConfigValue for Duration {
    fn accepts() -> String {
        String::new()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let duration = read(asked, value, problems)?;
        if duration > LONGEST {
            return Err(problems.report(Diagnostic::error(
                value.span(),
                "a duration is longer than a day",
                "the longest is \"24h\"",
            )));
        }
        Ok(duration)
    }
}

/// Reads a duration of any length.
fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Duration, Reported> {
    let unitless = |number: &dyn Display| {
        Diagnostic::error(value.span(), "a duration needs a unit", "is this in seconds?").help(format!(
            "write `\"{number}s\"` for seconds or `\"{number}ms\"` for milliseconds"
        ))
    };
    match value.get_ref() {
        DeValue::Integer(number) => Err(problems.report(unitless(number))),
        DeValue::Float(number) => Err(problems.report(unitless(number))),
        DeValue::String(text) if text.trim().parse::<f64>().is_ok() => {
            Err(problems.report(unitless(&text.trim())))
        }
        DeValue::String(text) => match humantime::parse_duration(text) {
            Ok(duration) => Ok(duration),
            Err(_) => {
                let diagnostic = Diagnostic::error(
                    value.span(),
                    "this is no duration",
                    "expected a number and a unit",
                );
                Err(problems.report(diagnostic.help(format!(
                    "for example `{}`; units are `ms`, `s`, `m`, `h` and `d`",
                    asked.example
                ))))
            }
        },
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            Err(wrong_type(value, "a duration in a string", problems))
        }
    }
}

impl WriteToml for Duration {
    fn to_toml(&self) -> String {
        format!("\"{}\"", humantime::format_duration(*self))
    }
}

/// A duration of at least a millisecond: an interval, or how long to wait for something.
#[derive(Clone, Copy)]
pub(in crate::config) struct Timeout(pub(in crate::config) Duration);

impl ConfigValue for Timeout {
    fn accepts() -> String {
        "at least \"1ms\"".to_owned()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let duration = Duration::read(asked, value, problems)?;
        if duration >= SHORTEST {
            return Ok(Self(duration));
        }
        let message = if duration.is_zero() {
            format!("{} is zero", asked.key)
        } else {
            format!("{} is shorter than a millisecond", asked.key)
        };
        let diagnostic = Diagnostic::error(value.span(), message, "must be at least \"1ms\"");
        Err(problems.report(diagnostic.help(format!("`{}` is usual", asked.example))))
    }
}

impl WriteToml for Timeout {
    fn to_toml(&self) -> String {
        self.0.to_toml()
    }
}

impl ConfigValue for ConnectionTimeout {
    fn accepts() -> String {
        "\"1s\" to \"31d\"".to_owned()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let duration = read(asked, value, problems)?;
        if CONNECTION_TIMEOUTS.contains(&duration) {
            return Ok(Self(duration));
        }
        let diagnostic = Diagnostic::error(
            value.span(),
            format!("the timeout {} is out of range", asked.key),
            format!("must be {}", Self::accepts()),
        );
        Err(problems.report(diagnostic.note("Keepalived has the same limit of 31 days")))
    }
}

impl WriteToml for ConnectionTimeout {
    fn to_toml(&self) -> String {
        self.0.to_toml()
    }
}
