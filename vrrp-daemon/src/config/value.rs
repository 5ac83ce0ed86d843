//! What keys can be set to: the trait that every type of a key has, and what the types have in common.
//!
//! A type knows what may stand in the file for it, how that is read, what to say of what cannot be read, and how it is
//! written; its limits, and the reasons for them, are nowhere else. `value/` has a file for each family of types.

mod address;
mod duration;
mod number;
mod ports;
mod prefix;
mod text;
mod word;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::key::Key;
use super::section::{Problems, Reported, Value, kind};

pub(super) use address::{AddressRange, NetworkAddress};
pub(super) use duration::{ConnectionTimeout, Timeout};
pub(super) use number::{AnyPort, FlowTableSize, NewFlowLimit, Port, Retries, Rise, Threshold};
pub(super) use prefix::Prefix;
pub(super) use text::{AbsolutePath, InterfaceName, Label, Name, SocketPath};
pub(super) use word::{Algorithm, AuthType, InitialState, Kind, Switch, TunnelType};

/// The key whose value is read.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Its name.
    pub(super) key: &'static str,
    /// A value that makes sense there, as TOML.
    pub(super) example: &'a str,
}

/// What a key can be set to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a key",
    note = "the types that can are in `config/value/`, and the tables in `config/`"
)]
pub(super) trait ConfigValue: Sized {
    /// What may stand there, for people: `1 to 255`, `"tcp" or "udp"`; empty if the key's documentation says it.
    fn accepts() -> String;

    /// Reads the value, or reports what is wrong with it.
    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported>;

    /// The keys below it, if it is a table.
    fn keys() -> Vec<Key> {
        Vec::new()
    }
}

/// A value that can be the default of a key, which documentation shows.
pub(super) trait WriteToml: ConfigValue {
    /// The value as it would be written in the file.
    fn to_toml(&self) -> String;
}

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
        ("an integer", DeValue::Float(number)) if number.as_str().ends_with(".0") => {
            diagnostic.help(format!(
                "write it without a fraction: `{}`",
                number.as_str().trim_end_matches(".0")
            ))
        }
        ("an array", DeValue::String(text)) => {
            diagnostic.help(format!("put it in brackets: `[\"{}\"]`", text.escape_debug()))
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

impl ConfigValue for bool {
    fn accepts() -> String {
        "true or false".to_owned()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::Boolean(boolean) = value.get_ref() else {
            return Err(wrong_type(value, "a boolean", problems));
        };
        Ok(*boolean)
    }
}

impl WriteToml for bool {
    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// An array of values, each with its place or reported.
#[derive(Clone)]
pub(super) struct List<T>(pub(super) Vec<Result<Spanned<T>, Reported>>);

impl<T: ConfigValue> ConfigValue for List<T> {
    fn accepts() -> String {
        T::accepts()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let DeValue::Array(values) = value.get_ref() else {
            return Err(wrong_type(value, "an array", problems));
        };
        let elements = values.iter();
        Ok(Self(
            elements
                .map(|value| Ok(Spanned::new(value.span(), T::read(asked, value, problems)?)))
                .collect(),
        ))
    }

    fn keys() -> Vec<Key> {
        T::keys()
    }
}
