//! IP addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::diagnostic::Diagnostic;
use crate::config::section::{Problems, Reported, Value};

use super::text::text;
use super::{Asked, ConfigValue};

/// An address that a host can have.
impl ConfigValue for IpAddr {
    fn accepts() -> String {
        String::new()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let text = text(value, problems)?;
        match text.parse::<Self>() {
            Ok(address) => {
                unicast(address, value, problems)?;
                Ok(address)
            }
            Err(_) => {
                let diagnostic =
                    Diagnostic::error(value.span(), "this is no IP address", "expected an IP address");
                Err(problems.report(match text.split_once('/') {
                    Some((address, _)) if address.parse::<Self>().is_ok() => {
                        diagnostic.help(format!("without the prefix length: `\"{address}\"`"))
                    }
                    _ => diagnostic.help("for example `\"10.0.0.3\"`; names are not looked up"),
                }))
            }
        }
    }
}

/// Refuses an address that no single host can have.
fn unicast(address: IpAddr, value: &Value<'_>, problems: &mut Problems) -> Result<(), Reported> {
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

/// An address with its prefix length, which is that of a single host if it is not written.
#[derive(Clone, Copy)]
pub(in crate::config) struct NetworkAddress(pub(in crate::config) IpNet);

impl ConfigValue for NetworkAddress {
    fn accepts() -> String {
        String::new()
    }

    fn read(_: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let text = text(value, problems)?;
        let (host, length) = match text.split_once('/') {
            Some((host, length)) => (host, Some(length)),
            None => (text.as_str(), None),
        };
        let Ok(address) = host.parse::<IpAddr>() else {
            let diagnostic =
                Diagnostic::error(value.span(), "this is no IP address", "expected an IP address");
            return Err(problems.report(diagnostic.help("for example `\"10.0.0.3/24\"`")));
        };
        unicast(address, value, problems)?;
        if address.is_ipv6() {
            let diagnostic = Diagnostic::error(
                value.span(),
                "virtual_ipaddress of IPv6 is not supported by this version of lbd",
                "an IPv6 address",
            );
            let help = "services with IPv6 addresses work, if something else brings their packets here";
            return Err(problems.report(diagnostic.help(help)));
        }
        let host_length = 32;
        let length = match length {
            None => host_length,
            Some(length) => match length.parse::<u8>() {
                Ok(length) if length <= host_length => length,
                Ok(_) | Err(_) => {
                    let diagnostic = Diagnostic::error(
                        value.span(),
                        "the prefix length is out of range",
                        format!("must be 0 to {host_length}"),
                    );
                    return Err(problems.report(diagnostic));
                }
            },
        };
        // Never out of range, as was just seen.
        IpNet::new(address, length).map(Self).map_err(|_| Reported)
    }
}
