//! Integers, each a type with limits and the reason for them.

use std::fmt::Display;
use std::ops::RangeInclusive;

use lb_common::Episode;
use toml::de::DeValue;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};
use crate::model::{Priority, Version, VirtualRouterId, Weight};

use super::{Asked, ConfigValue, WriteToml, wrong_type};

/// A port of TCP or UDP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Port(pub(in crate::config) u16);

/// A port, or 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct AnyPort(pub(in crate::config) u16);

/// How many connections the flow table is made for.
#[derive(Clone, Copy)]
pub(in crate::config) struct FlowTableSize(pub(in crate::config) u32);

/// How many connections a real server may have.
#[derive(Clone, Copy)]
pub(in crate::config) struct Threshold(pub(in crate::config) u32);

/// How many new connections a second are remembered; none for any number.
#[derive(Clone, Copy)]
pub(in crate::config) struct NewFlowLimit(pub(in crate::config) Option<u32>);

/// How many more attempts follow a failed one.
#[derive(Clone, Copy)]
pub(in crate::config) struct Retries(pub(in crate::config) u32);

/// How many successes in a row make a server good again.
#[derive(Clone, Copy)]
pub(in crate::config) struct Rise(pub(in crate::config) u32);

/// Makes integers the types of keys: their limits, how they are made of a number (which is within the limits) and
/// become one again, and the note that a number outside of them gets.
macro_rules! integers {
    ($($type:ident: $repr:ty = $limits:expr, $new:expr, $get:expr, $note:literal;)+) => {$(
        impl ConfigValue for $type {
            fn accepts() -> String {
                span_of_numbers::<$repr>(&$limits)
            }

            fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
                let new: fn($repr) -> Option<Self> = $new;
                new(integer(asked, &$limits, $note, value, problems)?).ok_or(Reported)
            }
        }

        impl WriteToml for $type {
            fn to_toml(&self) -> String {
                let get: fn(Self) -> $repr = $get;
                get(*self).to_string()
            }
        }
    )+};
}

integers! {
    VirtualRouterId: u8 = 1..=u8::MAX, Self::new, Self::get,
        "a virtual router has an identifier of 1 to 255, the same on all of its routers (RFC 9568, section 5.2.3)";
    Version: u8 = 2..=3, Self::from_number, Self::number,
        "2 is RFC 3768 (IPv4, whole seconds), 3 is RFC 9568";
    Priority: u8 = 1..=u8::MAX, |number| Some(Self::new(number)), Self::get,
        "255 is for the router that has the addresses as its own; 0 is what a master that resigns sends";
    Weight: u16 = 0..=u16::MAX, |number| Some(Self::new(number)), Self::get,
        "weights are relative to each other; 0 drains: known connections go on, no new ones come";
    Port: u16 = 1..=u16::MAX, |number| Some(Self(number)), |port| port.0,
        "ports are 1 to 65535";
    AnyPort: u16 = 0..=u16::MAX, |number| Some(Self(number)), |port| port.0,
        "ports are 1 to 65535, and 0 is every port";
    // At the most, the names of the connections take 3 GB: Linux 5.15 reckons places in an array in 32 bits
    // (`array_map_lookup_elem`, `kernel/bpf/arraymap.c`).
    FlowTableSize: u32 = 1_024..=1 << 26, |number| Some(Self(number)), |size| size.0,
        "the kernel reserves 14 to 27 bytes for each, and 40 to 80 more with their names, when the daemon starts";
    Threshold: u32 = 0..=u32::MAX, |number| Some(Self(number)), |threshold| threshold.0,
        "connections of the real server, the closing ones included; 0 for no limit";
    Retries: u32 = 0..=u32::MAX, |number| Some(Self(number)), |retries| retries.0,
        "how many more attempts follow a failed one";
    Rise: u32 = 1..=u32::MAX, |number| Some(Self(number)), |rise| rise.0,
        "how many successes in a row bring a server back";
}

/// The word for no limit.
const OFF: &str = "off";

/// What a limit can be.
const NEW_FLOW_LIMITS: RangeInclusive<u32> = Episode::LOWEST_LIMIT..=u32::MAX;

impl ConfigValue for NewFlowLimit {
    fn accepts() -> String {
        format!("{}, or \"{OFF}\"", span_of_numbers(&NEW_FLOW_LIMITS))
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::String(word) if word == OFF => Ok(Self(None)),
            DeValue::Integer(_) => {
                let note = "new connections a second are counted on each CPU by itself, and a lower limit would not be \
                            kept to; `\"off\"` sets none";
                integer(asked, &NEW_FLOW_LIMITS, note, value, problems).map(|limit| Self(Some(limit)))
            }
            DeValue::String(text) if text.trim().parse::<i64>().is_err() => {
                let diagnostic = Diagnostic::error(
                    value.span(),
                    format!(
                        "{} is a number of new connections a second, or \"{OFF}\"",
                        asked.key
                    ),
                    "neither",
                );
                Err(problems.report(diagnostic.help(format!("write `{}` or `\"{OFF}\"`", asked.example))))
            }
            _ => Err(wrong_type(value, "an integer", problems)),
        }
    }
}

impl WriteToml for NewFlowLimit {
    fn to_toml(&self) -> String {
        self.0
            .map_or_else(|| format!("\"{OFF}\""), |limit| limit.to_string())
    }
}

/// An integer of `limits`; `note` says where they come from.
fn integer<T: TryFrom<i64> + Display + Copy + Into<i64>>(
    asked: &Asked<'_>,
    limits: &RangeInclusive<T>,
    note: &'static str,
    value: &Value<'_>,
    problems: &mut Problems,
) -> Result<T, Reported> {
    let DeValue::Integer(number) = value.get_ref() else {
        return Err(wrong_type(value, "an integer", problems));
    };
    let range = (*limits.start()).into()..=(*limits.end()).into();
    i64::from_str_radix(number.as_str(), number.radix())
        .ok()
        .filter(|number| range.contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| {
            let diagnostic = Diagnostic::error(
                value.span(),
                format!("{} {number} is out of range", asked.key),
                format!("must be {}", span_of_numbers(limits)),
            );
            problems.report(diagnostic.note(note))
        })
}

/// `1 to 255`, `2 or 3`, `at least 1`.
fn span_of_numbers<T: Display + Copy + Into<i64>>(limits: &RangeInclusive<T>) -> String {
    let (start, end) = ((*limits.start()).into(), (*limits.end()).into());
    if end == i64::from(u32::MAX) {
        format!("at least {start}")
    } else if end - start == 1 {
        format!("{start} or {end}")
    } else {
        format!("{start} to {end}")
    }
}
