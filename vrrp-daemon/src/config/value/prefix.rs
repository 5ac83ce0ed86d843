//! Prefixes of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};

use super::text::text;
use super::{Asked, ConfigValue};

/// The addresses of a network, or a single one if no prefix length is written.
#[derive(Clone, Copy)]
pub(in crate::config) struct Prefix(pub(in crate::config) IpNet);

/// Why a text is no prefix, in the words of a [`Diagnostic`].
pub(in crate::config) struct NoPrefix {
    message: String,
    label: &'static str,
    help: String,
}

impl NoPrefix {
    /// As told of the text at `span`.
    pub(in crate::config) fn at(self, span: std::ops::Range<usize>) -> Diagnostic {
        Diagnostic::error(span, self.message, self.label).help(self.help)
    }
}

impl Prefix {
    /// The prefix that `text` is.
    pub(in crate::config) fn parse(text: &str) -> Result<Self, NoPrefix> {
        let (host, length) = match text.split_once('/') {
            Some((host, length)) => (host, Some(length)),
            None => (text, None),
        };
        let Ok(address) = host.parse::<IpAddr>() else {
            return Err(NoPrefix {
                message: format!("`{}` is no prefix of addresses", text.escape_debug()),
                label: "expected an address or a prefix",
                help: "for example `198.51.100.7`, `198.51.100.0/24` or `2001:db8::/32`".to_owned(),
            });
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Some(longest), |length| length.parse().ok());
        let Some(prefix) = length.and_then(|length| IpNet::new(address, length).ok()) else {
            return Err(NoPrefix {
                message: "the prefix length is out of range".to_owned(),
                label: if address.is_ipv4() {
                    "must be 0 to 32"
                } else {
                    "must be 0 to 128"
                },
                help: format!("without one, it is a single address: `{address}`"),
            });
        };
        if let IpNet::V6(prefix) = prefix
            && let Some(mapped) = prefix.addr().to_ipv4_mapped()
        {
            return Err(NoPrefix {
                message: format!("`{text}` names no sender"),
                label: "an IPv4 address in the form of IPv6",
                help: format!(
                    "as a prefix of IPv4: `{mapped}/{}`",
                    prefix.prefix_len().saturating_sub(96)
                ),
            });
        }
        if prefix.trunc() != prefix {
            return Err(NoPrefix {
                message: format!("`{text}` has bits after its first {}", prefix.prefix_len()),
                label: "an address in the network, not the prefix",
                help: format!("write `{}`, or the address alone: `{address}`", prefix.trunc()),
            });
        }
        Ok(Self(prefix))
    }
}

impl ConfigValue for Prefix {
    fn accepts() -> String {
        String::new()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let text = text(value, problems)?;
        Self::parse(&text).map_err(|reason| problems.report(reason.at(value.span())))
    }
}
