//! Readers of single values.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::section::{Problems, Reported, Value, kind};
use super::suggest;

/// The longest duration that is believed: longer ones are typing errors, and sums of them would leave the clock.
const LONGEST: Duration = Duration::from_hours(24);

/// The shortest interval or timeout that means something to a network.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest name of an interface and the longest label of an address, in bytes (`IFNAMSIZ` of `linux/if.h`, less
/// the final zero).
const DEVICE_NAME_MAXIMUM: usize = 15;

/// Reports that `value` is not `wanted`.
pub(super) fn wrong_type(value: &Value<'_>, wanted: &str, problems: &mut Problems) -> Reported {
    let found = value.get_ref();
    let diagnostic = Diagnostic::error(
        value.span(),
        format!("expected {wanted}, found {}", kind(found)),
        format!("this is {}", kind(found)),
    );
    problems.report(match (wanted, found) {
        ("an integer", DeValue::String(text)) if text.trim().parse::<i64>().is_ok() => {
            diagnostic.help(format!("write it without quotes: `{}`", text.trim()))
        }
        ("a boolean", DeValue::String(text)) if matches!(&**text, "true" | "false") => {
            diagnostic.help(format!("write it without quotes: `{text}`"))
        }
        ("a string", DeValue::Integer(number)) => {
            diagnostic.help(format!("put it in quotes: `\"{number}\"`"))
        }
        ("a string", DeValue::Boolean(boolean)) => {
            diagnostic.help(format!("put it in quotes: `\"{boolean}\"`"))
        }
        _ => diagnostic,
    })
}

/// Any string but the empty one.
pub(super) fn text(value: &Value<'_>, problems: &mut Problems) -> Result<String, Reported> {
    let DeValue::String(text) = value.get_ref() else {
        return Err(wrong_type(value, "a string", problems));
    };
    if text.is_empty() {
        return Err(problems.report(Diagnostic::error(
            value.span(),
            "an empty string names nothing",
            "empty",
        )));
    }
    Ok(text.clone().into_owned())
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value<'_>, problems: &mut Problems) -> Result<bool, Reported> {
    let DeValue::Boolean(boolean) = value.get_ref() else {
        return Err(wrong_type(value, "a boolean", problems));
    };
    Ok(*boolean)
}

/// An integer of `range`; `what` names it, `note` says where the limits come from.
pub(super) fn integer<T: TryFrom<i64> + Display + Copy + Into<i64>>(
    what: &'static str,
    range: RangeInclusive<T>,
    note: &'static str,
) -> impl FnOnce(&Value<'_>, &mut Problems) -> Result<T, Reported> {
    move |value, problems| {
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(wrong_type(value, "an integer", problems));
        };
        let limits = (*range.start()).into()..=(*range.end()).into();
        i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| limits.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                let between = if limits.end() - limits.start() == 1 {
                    "or"
                } else {
                    "to"
                };
                let diagnostic = Diagnostic::error(
                    value.span(),
                    format!("{what} {number} is out of range"),
                    format!("must be {} {between} {}", range.start(), range.end()),
                );
                problems.report(diagnostic.note(note))
            })
    }
}

/// One of `words`. Those of `later` are known to the design, but not built: `what` says so.
pub(super) fn choice<T: Copy>(
    what: &'static str,
    words: &'static [(&'static str, T)],
    later: &'static [&'static str],
) -> impl FnOnce(&Value<'_>, &mut Problems) -> Result<T, Reported> {
    move |value, problems| {
        let DeValue::String(word) = value.get_ref() else {
            return Err(wrong_type(value, "a string", problems));
        };
        let word: &str = word;
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return Ok(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        if later.contains(&word) {
            let diagnostic = Diagnostic::error(
                value.span(),
                format!("{what} `{word}` is not supported by this version of lbd"),
                "not supported yet",
            );
            return Err(
                problems.report(diagnostic.help(format!("supported: {}", suggest::list(&known, "and"))))
            );
        }
        let diagnostic = Diagnostic::error(
            value.span(),
            format!("there is no {what} `{}`", word.escape_debug()),
            "unknown value",
        );
        Err(problems.report(match suggest::closest(word, &known) {
            Some(known) => diagnostic.help(format!("did you mean `\"{known}\"`?")),
            None => diagnostic.help(format!("choose {}", suggest::list(&known, "or"))),
        }))
    }
}

/// A duration: a string with units. `example` is one that makes sense here.
pub(super) fn duration(
    example: &'static str,
) -> impl FnOnce(&Value<'_>, &mut Problems) -> Result<Duration, Reported> {
    move |value, problems| {
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
                Ok(duration) if duration > LONGEST => Err(problems.report(Diagnostic::error(
                    value.span(),
                    "a duration is longer than a day",
                    "the longest is \"24h\"",
                ))),
                Ok(duration) => Ok(duration),
                Err(_) => {
                    let diagnostic = Diagnostic::error(
                        value.span(),
                        "this is no duration",
                        "expected a number and a unit",
                    );
                    Err(problems.report(diagnostic.help(format!(
                        "for example `\"{example}\"`; units are `ms`, `s`, `m` and `h`"
                    ))))
                }
            },
            DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                Err(wrong_type(value, "a duration in a string", problems))
            }
        }
    }
}

/// A duration of at least a millisecond; `what` names it, `example` is one that makes sense.
pub(super) fn positive_duration(
    what: &'static str,
    example: &'static str,
) -> impl FnOnce(&Value<'_>, &mut Problems) -> Result<Duration, Reported> {
    move |value, problems| {
        let duration = duration(example)(value, problems)?;
        if duration >= SHORTEST {
            return Ok(duration);
        }
        let message = if duration.is_zero() {
            format!("{what} is zero")
        } else {
            format!("{what} is shorter than a millisecond")
        };
        let diagnostic = Diagnostic::error(value.span(), message, "must be at least \"1ms\"");
        Err(problems.report(diagnostic.help(format!("`\"{example}\"` is usual"))))
    }
}

/// An IP address that a host can have.
pub(super) fn address(value: &Value<'_>, problems: &mut Problems) -> Result<IpAddr, Reported> {
    let text = text(value, problems)?;
    match text.parse::<IpAddr>() {
        Ok(address) => {
            unicast(address, value, problems)?;
            Ok(address)
        }
        Err(_) => {
            let diagnostic =
                Diagnostic::error(value.span(), "this is no IP address", "expected an IP address");
            Err(problems.report(match text.split_once('/') {
                Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                    diagnostic.help(format!("without the prefix length: `\"{address}\"`"))
                }
                _ => diagnostic.help("for example `\"10.0.0.3\"`; names are not looked up"),
            }))
        }
    }
}

/// Refuses an address that no single host can have.
pub(super) fn unicast(address: IpAddr, value: &Value<'_>, problems: &mut Problems) -> Result<(), Reported> {
    let label = match address {
        _ if address.is_multicast() => "a multicast address",
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address, which never leaves its host",
        IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => "an IPv4 address in the form of IPv6",
        IpAddr::V4(_) | IpAddr::V6(_) => return Ok(()),
    };
    let message = format!("`{address}` cannot be used here");
    Err(problems.report(Diagnostic::error(value.span(), message, label)))
}

/// The name of an interface, as the kernel allows them.
pub(super) fn device(value: &Value<'_>, problems: &mut Problems) -> Result<String, Reported> {
    let name = text(value, problems)?;
    let label = if name.len() > DEVICE_NAME_MAXIMUM {
        format!("longer than {DEVICE_NAME_MAXIMUM} bytes")
    } else if let Some(character) = name.chars().find(|character| {
        matches!(character, '/' | ':') || character.is_whitespace() || character.is_control()
    }) {
        format!("contains `{}`", character.escape_debug())
    } else if matches!(name.as_str(), "." | "..") {
        "reserved".to_owned()
    } else {
        return Ok(name);
    };
    let message = format!("`{}` cannot be the name of an interface", name.escape_debug());
    Err(problems.report(Diagnostic::error(value.span(), message, label)))
}

/// The label of an address on `device`.
pub(super) fn label(
    device: Option<&str>,
) -> impl FnOnce(&Value<'_>, &mut Problems) -> Result<String, Reported> {
    move |value, problems| {
        let label = text(value, problems)?;
        if label.len() > DEVICE_NAME_MAXIMUM {
            let text = format!("{} bytes, of at most {DEVICE_NAME_MAXIMUM}", label.len());
            return Err(problems.report(Diagnostic::error(value.span(), "the label is too long", text)));
        }
        match device {
            Some(device) if !label.starts_with(device) => {
                let diagnostic = Diagnostic::error(
                    value.span(),
                    "a label begins with the name of its interface",
                    format!("does not begin with `{device}`"),
                );
                Err(problems.report(diagnostic.help(format!("for example `\"{device}:1\"`"))))
            }
            _ => Ok(label),
        }
    }
}

/// An absolute path.
pub(super) fn path(value: &Value<'_>, problems: &mut Problems) -> Result<PathBuf, Reported> {
    let path = PathBuf::from(text(value, problems)?);
    if path.is_absolute() {
        Ok(path)
    } else {
        let diagnostic = Diagnostic::error(value.span(), "paths are absolute", "does not begin with `/`");
        Err(problems.report(diagnostic))
    }
}

/// The elements of an array, each with its place or reported.
pub(super) type Elements<T> = Vec<Result<Spanned<T>, Reported>>;

/// An array of what `read` reads.
pub(super) fn array<T>(
    mut read: impl FnMut(&Value<'_>, &mut Problems) -> Result<T, Reported>,
) -> impl FnOnce(&Value<'_>, &mut Problems) -> Result<Elements<T>, Reported> {
    move |value, problems| {
        let DeValue::Array(values) = value.get_ref() else {
            return Err(wrong_type(value, "an array", problems));
        };
        let elements = values.iter();
        Ok(elements
            .map(|value| Ok(Spanned::new(value.span(), read(value, problems)?)))
            .collect())
    }
}
