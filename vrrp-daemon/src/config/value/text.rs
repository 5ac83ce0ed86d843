//! Strings: names and paths.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::character::{code_point, is_invisible};
use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};

use super::{Asked, ConfigValue, WriteToml, wrong_type};

/// The longest name of an interface and the longest label of an address, in bytes (`IFNAMSIZ` of `linux/if.h`, less
/// the final zero).
const DEVICE_NAME_MAXIMUM: usize = 15;

/// Any string but the empty one, and those with characters that nobody sees.
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
    if let Some(character) = text
        .chars()
        .find(|character| character.is_control() || is_invisible(*character))
    {
        let diagnostic = Diagnostic::error(
            value.span(),
            "a character in this cannot be seen",
            format!("contains {}", code_point(character)),
        );
        let seen: String = text
            .chars()
            .filter(|character| !character.is_control() && !is_invisible(*character))
            .collect();
        return Err(problems.report(diagnostic.help(format!("without it: `\"{}\"`", seen.escape_debug()))));
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
        let diagnostic = Diagnostic::error(value.span(), message, label);
        Err(problems.report(match name.split_once(':') {
            Some((device, _)) => diagnostic.help(format!(
                "name the interface, `\"{device}\"`; what follows the colon is the `label` of an address"
            )),
            None => diagnostic,
        }))
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

/// The longest path that a Unix socket can have, in bytes (`sun_path` of `sys/un.h`, less the final zero).
const SOCKET_PATH_MAXIMUM: usize = 107;

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

/// The absolute path of a Unix socket.
#[derive(Clone)]
pub(in crate::config) struct SocketPath(pub(in crate::config) PathBuf);

impl ConfigValue for SocketPath {
    fn accepts() -> String {
        String::new()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let AbsolutePath(path) = AbsolutePath::read(asked, value, problems)?;
        let length = path.as_os_str().len();
        if length > SOCKET_PATH_MAXIMUM {
            let message = format!("the path of a socket has at most {SOCKET_PATH_MAXIMUM} bytes");
            let diagnostic = Diagnostic::error(value.span(), message, format!("{length} bytes"));
            return Err(problems.report(diagnostic));
        }
        Ok(Self(path))
    }
}

impl WriteToml for SocketPath {
    fn to_toml(&self) -> String {
        format!("\"{}\"", self.0.display())
    }
}
