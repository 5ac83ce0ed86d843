//! IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
        let Ok(address) = text.parse::<Self>() else {
            let help = match text.split_once('/') {
                Some((address, _)) if address.parse::<Self>().is_ok() => {
                    format!("without the prefix length: `\"{address}\"`")
                }
                _ => meant(&text, true)
                    .unwrap_or_else(|| "for example `\"10.0.0.3\"`; names are not looked up".to_owned()),
            };
            return Err(problems.report(no_address(value).help(help)));
        };
        unicast(address, value, problems)?;
        if let Self::V6(address) = address
            && address.is_unicast_link_local()
        {
            let message = format!("`{address}` cannot be used here");
            let diagnostic = Diagnostic::error(value.span(), message, "a link-local address")
                .note("it means another host on each interface, and there is no way to say on which")
                .help("use an address that holds on all interfaces, such as a unique local one (`fd00::/8`)");
            return Err(problems.report(diagnostic));
        }
        Ok(address)
    }
}

/// That `value` is no address.
fn no_address(value: &Value<'_>) -> Diagnostic {
    Diagnostic::error(value.span(), "this is no IP address", "expected an IP address")
}

/// What was meant by `text`, which is no address, in a sentence; `port_key` says whether there is a key for a port.
fn meant(text: &str, port_key: bool) -> Option<String> {
    let trimmed = text.trim();
    if trimmed != text && trimmed.parse::<IpAddr>().is_ok() {
        return Some(format!("without blanks: `\"{trimmed}\"`"));
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        let (address, port) = (address.ip(), address.port());
        return Some(if port_key {
            format!("the port has a key of its own: `address = \"{address}\"` and `port = {port}`")
        } else {
            format!("without the port, which is a matter of the virtual server: `\"{address}\"`")
        });
    }
    let decimal: Option<Vec<u8>> = text.split('.').map(|number| number.parse().ok()).collect();
    if let Some([a, b, c, d]) = decimal.as_deref() {
        let address = Ipv4Addr::new(*a, *b, *c, *d);
        return Some(format!(
            "without leading zeros, which make numbers octal elsewhere: `\"{address}\"`"
        ));
    }
    None
}

/// Refuses an address that no single host can have.
fn unicast(address: IpAddr, value: &Value<'_>, problems: &mut Problems) -> Result<(), Reported> {
    let label = match address {
        _ if address.is_multicast() => "a multicast address",
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address, which never leaves its host",
        IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
        IpAddr::V4(address) if address.octets()[0] == 0 => {
            "an address of \"this network\", which no host has"
        }
        IpAddr::V4(address) if address.octets()[0] >= 240 => "a reserved address, which no host has",
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => "an IPv4 address in the form of IPv6",
        IpAddr::V4(_) | IpAddr::V6(_) => return Ok(()),
    };
    let message = format!("`{address}` cannot be used here");
    Err(problems.report(Diagnostic::error(value.span(), message, label)))
}

/// Addresses that follow each other.
#[derive(Clone, Copy)]
pub(in crate::config) struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// The most addresses that one may have: as many as a virtual router can guard many times over.
    const LONGEST: u128 = 4_096;

    /// Each of them.
    pub(in crate::config) fn iter(self) -> impl Iterator<Item = IpAddr> {
        (number(self.first)..=number(self.last)).map(move |number| match self.first {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(
                u32::try_from(number).expect("an address of IPv4"),
            )),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
        })
    }

    /// The range that `text` says, whether it makes sense or not: `a-b`, where of `b` the last part may be enough.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let first: IpAddr = first.trim().parse().ok()?;
        let last = last.trim();
        let last = last.parse().ok().or_else(|| match first {
            IpAddr::V4(first) => {
                let [a, b, c, _] = first.octets();
                Some(IpAddr::from([a, b, c, last.parse().ok()?]))
            }
            IpAddr::V6(first) => {
                let [a, b, c, d, e, f, g, _] = first.segments();
                Some(IpAddr::from([
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    g,
                    u16::from_str_radix(last, 16).ok()?,
                ]))
            }
        })?;
        Some(Self { first, last })
    }
}

/// An address as a number.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl ConfigValue for AddressRange {
    fn accepts() -> String {
        String::new()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let text = text(value, problems)?;
        let Some(range) = Self::parse(&text) else {
            let address = IpAddr::read(asked, value, problems)?;
            return Ok(Self {
                first: address,
                last: address,
            });
        };
        let Self { first, last } = range;
        unicast(first, value, problems)?;
        unicast(last, value, problems)?;
        let (from, to) = (number(first), number(last));
        let message = format!("`{text}` is no range of addresses");
        if first.is_ipv4() != last.is_ipv4() {
            let diagnostic = Diagnostic::error(value.span(), message, "from one IP version to the other");
            return Err(problems.report(diagnostic.help("make a group for each family")));
        }
        if from > to {
            let diagnostic = Diagnostic::error(value.span(), message, "the last address is below the first");
            return Err(
                problems.report(diagnostic.help(format!("the lower one first: `\"{last}-{first}\"`")))
            );
        }
        if to - from >= Self::LONGEST {
            let label = format!("more than {} addresses", Self::LONGEST);
            let diagnostic = Diagnostic::error(value.span(), format!("`{text}` is too long a range"), label)
                .note("each address has an entry of its own in the maps of the XDP program");
            return Err(problems.report(diagnostic.help("name the addresses that are in use")));
        }
        Ok(range)
    }
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
            let help = meant(host, false).unwrap_or_else(|| "for example `\"10.0.0.3/24\"`".to_owned());
            return Err(problems.report(no_address(value).help(help)));
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
        let length = prefix_length(address, length, value, problems)?;
        // Never out of range, as was just seen.
        let network = IpNet::new(address, length).map_err(|_| Reported)?;
        not_of_the_network(network, value, problems)?;
        Ok(Self(network))
    }
}

/// The prefix length of `address`, if what is `written` behind its slash is one.
fn prefix_length(
    address: IpAddr,
    written: Option<&str>,
    value: &Value<'_>,
    problems: &mut Problems,
) -> Result<u8, Reported> {
    let longest = 32;
    let Some(written) = written else {
        return Ok(longest);
    };
    if let Ok(length) = written.parse::<u8>()
        && (1..=longest).contains(&length)
    {
        return Ok(length);
    }
    let diagnostic = Diagnostic::error(
        value.span(),
        "the prefix length is out of range",
        format!("must be 1 to {longest}"),
    );
    let mask = written.parse().map(ipnet::ip_mask_to_prefix);
    Err(problems.report(match (mask, written.trim().parse::<u8>()) {
        (Ok(Ok(length)), _) => diagnostic.help(format!("as a number of bits: `\"{address}/{length}\"`")),
        (_, Ok(length)) if (1..=longest).contains(&length) => {
            diagnostic.help(format!("without blanks: `\"{address}/{length}\"`"))
        }
        _ => diagnostic,
    }))
}

/// Refuses what names a whole network, or all of its hosts.
fn not_of_the_network(network: IpNet, value: &Value<'_>, problems: &mut Problems) -> Result<(), Reported> {
    let (address, length) = (network.addr(), network.prefix_len());
    // With one bit or none for the host, each address is a host's (RFC 3021).
    if length + 2 > network.max_prefix_len() {
        return Ok(());
    }
    let label = if address == network.broadcast() {
        "stands for all hosts of its network"
    } else if address == network.network() {
        "stands for its network"
    } else {
        return Ok(());
    };
    let message = format!("`{address}` is no address of a host in a network of prefix length {length}");
    let diagnostic = Diagnostic::error(value.span(), message, label);
    Err(problems
        .report(diagnostic.help("check the address, or write the prefix length that its network has")))
}
