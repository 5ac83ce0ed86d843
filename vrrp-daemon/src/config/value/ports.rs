//! Ports: one, a range, or every one.

use toml::de::DeValue;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};
use crate::model::Ports;

use super::number::AnyPort;
use super::text::text;
use super::{Asked, ConfigValue};

impl ConfigValue for Ports {
    fn accepts() -> String {
        "1 to 65535, \"8000-8100\", or 0: every port".to_owned()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        if let DeValue::Integer(_) = value.get_ref() {
            let AnyPort(port) = AnyPort::read(asked, value, problems)?;
            return Ok(match port {
                0 => Self::ALL,
                port => Self::one(port),
            });
        }
        let text = text(value, problems)?;
        let diagnostic = Diagnostic::error(
            value.span(),
            format!("`{}` is neither a port nor a range of ports", text.escape_debug()),
            "expected a range",
        );
        if let Ok(port) = text.trim().parse::<u16>() {
            return Err(problems.report(diagnostic.help(format!("write it without quotes: `{port}`"))));
        }
        let numbers: Option<(u16, u16)> = text
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
        match numbers {
            Some((first @ 1.., last)) if first < last => Self::range(first, last).ok_or(Reported),
            Some((0, _)) => Err(problems.report(
                diagnostic
                    .note("ports are 1 to 65535")
                    .help("`0`, without quotes and alone, is every port"),
            )),
            Some((first, last)) if first == last => {
                Err(problems.report(diagnostic.help(format!("one port is a number: `{first}`"))))
            }
            Some((first, last)) => {
                Err(problems.report(diagnostic.help(format!("the lower one first: `\"{last}-{first}\"`"))))
            }
            None => Err(problems.report(diagnostic.help("for example `80`, or `\"8000-8100\"`"))),
        }
    }
}
