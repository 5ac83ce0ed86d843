//! Strings: names and paths.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};

use super::{Asked, ConfigValue, WriteToml, wrong_type};

/// The longest name of an interface and the longest label of an address, in bytes (`IFNAMSIZ` of `linux/if.h`, less
/// the final zero).
const DEVICE_NAME_MAXIMUM: usize = 15;

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

/// What people and programs call something.
#[derive(Clone)]
pub(in crate::config) struct Name(pub(in crate::config) String);

impl ConfigValue for Name {
    fn accepts() -> String {
        String::new()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        text(value, problems).map(Self)
    }
}

/// The name of an interface, as the kernel allows them.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::config) struct InterfaceName(pub(in crate::config) String);

impl ConfigValue for InterfaceName {
    fn accepts() -> String {
        String::new()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
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
            return Ok(Self(name));
        };
        let message = format!("`{}` cannot be the name of an interface", name.escape_debug());
        Err(problems.report(Diagnostic::error(value.span(), message, label)))
    }
}

/// The label of an address.
#[derive(Clone)]
pub(in crate::config) struct Label(pub(in crate::config) String);

impl ConfigValue for Label {
    fn accepts() -> String {
        String::new()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let label = text(value, problems)?;
        if label.len() > DEVICE_NAME_MAXIMUM {
            let text = format!("{} bytes, of at most {DEVICE_NAME_MAXIMUM}", label.len());
            return Err(problems.report(Diagnostic::error(value.span(), "the label is too long", text)));
        }
        Ok(Self(label))
    }
}

/// An absolute path.
#[derive(Clone)]
pub(in crate::config) struct AbsolutePath(pub(in crate::config) PathBuf);

impl ConfigValue for AbsolutePath {
    fn accepts() -> String {
        String::new()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let path = PathBuf::from(text(value, problems)?);
        if path.is_absolute() {
            Ok(Self(path))
        } else {
            let diagnostic = Diagnostic::error(value.span(), "paths are absolute", "does not begin with `/`");
            Err(problems.report(diagnostic))
        }
    }
}

impl WriteToml for AbsolutePath {
    fn to_toml(&self) -> String {
        format!("\"{}\"", self.0.display())
    }
}
