//! The tables `[[vrrp_instance]]`.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;

use crate::model::{
    AddressFamily, InitialState, Interval, Password, Priority, Version, VirtualAddress, VirtualRouterId,
    VrrpInstance,
};

use super::diagnostic::Diagnostic;
use super::section::{Field, Problems, Reported, Section, Value};
use super::value::{
    Elements, array, boolean, choice, device, duration, integer, label, text, unicast, wrong_type,
};

/// How many addresses an advertisement can carry: its count has eight bits.
const ADDRESSES_MAXIMUM: usize = 255;

const HEADER: &str = "[[vrrp_instance]]";

/// An instance as it was written, with the places that the checks across tables point at.
pub(super) struct RawInstance {
    pub(super) name: Field<String>,
    pub(super) interface: Field<String>,
    pub(super) virtual_router_id: Field<VirtualRouterId>,
    pub(super) virtual_addresses: Elements<RawAddress>,
    version: Field<Version>,
    state: Field<InitialState>,
    priority: Field<u8>,
    advert_int: Result<Interval, Reported>,
    nopreempt: Field<bool>,
    password: Result<Option<Password>, Reported>,
    pub(super) lease: Field<bool>,
}

/// A virtual address, with the place of its device.
pub(super) struct RawAddress {
    pub(super) address: VirtualAddress,
    pub(super) device: Option<Spanned<String>>,
}

impl RawInstance {
    /// Reads a table `[[vrrp_instance]]`.
    pub(super) fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let mut section = Section::open(value, "vrrp_instance", HEADER, problems)?;
        let name = section.required("name", "\"VI_1\"", text);
        let interface = section.required("interface", "\"eth0\"", device);
        let identifier = section.required("virtual_router_id", "51", virtual_router_id);
        let version = section.defaulted("version", Version::V2, version);
        let state = section.defaulted(
            "state",
            InitialState::Backup,
            choice(
                "state",
                &[("backup", InitialState::Backup), ("master", InitialState::Master)],
                &[],
            ),
        );
        let priority = section.defaulted(
            "priority",
            Priority::DEFAULT.get(),
            integer(
                "priority",
                1..=255,
                "255 is for the router that has the addresses as its own; 0 is what a master that resigns sends",
            ),
        );
        let advert_int = section.defaulted("advert_int", Duration::from_secs(1), duration("1s"));
        let advert_int = match (&version, advert_int) {
            (Ok(version), Ok(advert_int)) => interval(&advert_int, version, section.problems()),
            (Err(_), _) | (_, Err(_)) => Err(Reported),
        };
        let nopreempt = section.defaulted("nopreempt", false, boolean);
        let password = authentication(&mut section, version.as_ref().ok());
        let lease = section.defaulted(
            "lease",
            true,
            choice("lease", &[("on", true), ("off", false)], &[]),
        );
        let own_device = interface
            .as_ref()
            .ok()
            .map(|interface| interface.get_ref().as_str());
        let virtual_addresses = virtual_addresses(&mut section, own_device);
        section.close();
        Ok(Self {
            name,
            interface,
            virtual_router_id: identifier,
            virtual_addresses,
            version,
            state,
            priority,
            advert_int,
            nopreempt,
            password,
            lease,
        })
    }

    /// What it means.
    pub(super) fn model(&self) -> Result<VrrpInstance, Reported> {
        let virtual_addresses: Result<Vec<VirtualAddress>, Reported> = self
            .virtual_addresses
            .iter()
            .map(|address| {
                Ok(address
                    .as_ref()
                    .map_err(|reported| *reported)?
                    .get_ref()
                    .address
                    .clone())
            })
            .collect();
        Ok(VrrpInstance {
            name: own(&self.name)?,
            interface: own(&self.interface)?,
            virtual_router_id: own(&self.virtual_router_id)?,
            version: own(&self.version)?,
            initial_state: own(&self.state)?,
            priority: Priority::new(own(&self.priority)?),
            advert_int: self.advert_int?,
            preempt: !own(&self.nopreempt)?,
            password: self.password?,
            lease: own(&self.lease)?,
            virtual_addresses: virtual_addresses?,
        })
    }
}

impl RawInstance {
    /// The family of its addresses, as far as one can be read.
    pub(super) fn family(&self) -> Option<AddressFamily> {
        let mut addresses = self.virtual_addresses.iter().flatten();
        Some(AddressFamily::of(
            addresses.next()?.get_ref().address.address.addr(),
        ))
    }
}

/// The value of a field, for the model.
pub(super) fn own<T: Clone>(field: &Field<T>) -> Result<T, Reported> {
    match field {
        Ok(value) => Ok(value.get_ref().clone()),
        Err(reported) => Err(*reported),
    }
}

fn virtual_router_id(value: &Value<'_>, problems: &mut Problems) -> Result<VirtualRouterId, Reported> {
    let note = "a virtual router has an identifier of 1 to 255, the same on all of its routers \
                (RFC 9568, section 5.2.3)";
    let number = integer("virtual_router_id", 1..=u8::MAX, note)(value, problems)?;
    // Never 0, as the range says.
    VirtualRouterId::new(number).ok_or(Reported)
}

fn version(value: &Value<'_>, problems: &mut Problems) -> Result<Version, Reported> {
    let note = "2 is RFC 3768 (IPv4, whole seconds), 3 is RFC 9568";
    let number = integer("version", 2..=3_u8, note)(value, problems)?;
    Ok(if number == 2 { Version::V2 } else { Version::V3 })
}

/// The advertisement interval, within the limits of the version.
fn interval(
    advert_int: &Spanned<Duration>,
    version: &Spanned<Version>,
    problems: &mut Problems,
) -> Result<Interval, Reported> {
    let duration = *advert_int.get_ref();
    let (interval, label, note) = match version.get_ref() {
        Version::V2 => (
            (duration.subsec_nanos() == 0)
                .then(|| u8::try_from(duration.as_secs()).ok())
                .flatten()
                .and_then(|seconds| Interval::from_seconds(seconds).ok()),
            "must be 1s to 255s, in whole seconds",
            "version 2 counts seconds, in eight bits (RFC 3768, section 5.3.7)",
        ),
        Version::V3 => (
            duration
                .subsec_nanos()
                .is_multiple_of(10_000_000)
                .then(|| u16::try_from(duration.as_millis() / 10).ok())
                .flatten()
                .and_then(|centiseconds| Interval::from_centiseconds(centiseconds).ok()),
            "must be 10ms to 40.95s, in steps of 10ms",
            "version 3 counts centiseconds, in twelve bits (RFC 9568, section 5.2.7)",
        ),
    };
    interval.ok_or_else(|| {
        let number = version.get_ref().number();
        let message = format!("advert_int is out of range for version {number}");
        let diagnostic = Diagnostic::error(advert_int.span(), message, label)
            .beside(version.span(), format!("version {number}"))
            .note(note);
        problems.report(match version.get_ref() {
            Version::V2 if duration < Duration::from_secs(1) && !duration.is_zero() => {
                diagnostic.help("`version = 3` on all routers allows intervals below a second")
            }
            Version::V2 | Version::V3 => diagnostic.help("`\"1s\"` is usual"),
        })
    })
}

/// The password of `authentication = { auth_type = "pass", auth_pass = "…" }`.
fn authentication(
    section: &mut Section<'_, '_>,
    version: Option<&Spanned<Version>>,
) -> Result<Option<Password>, Reported> {
    let example = r#"authentication = { auth_type = "pass", auth_pass = "1111" }"#;
    let Some(authentication) = section.optional("authentication", |value, problems| {
        let mut table = Section::open(value, "authentication", example, problems)?;
        let auth_type = table.required(
            "auth_type",
            "\"pass\"",
            choice("auth_type", &[("pass", ())], &["ah"]),
        );
        let auth_pass = table.required("auth_pass", "\"1111\"", text);
        table.close();
        auth_type?;
        auth_pass
    })?
    else {
        return Ok(None);
    };
    let password = authentication.get_ref();
    match version.map(Spanned::get_ref) {
        Some(Version::V3) => {
            let version = version.map_or(section.span(), Spanned::span);
            let diagnostic = Diagnostic::error(
                authentication.span(),
                "version 3 has no authentication",
                "cannot be sent",
            )
            .beside(version, "version 3")
            .note("RFC 9568, section 9: it was taken out of the protocol, as it protected nothing")
            .help("remove `authentication`, or use `version = 2`");
            return Err(section.problems().report(diagnostic));
        }
        Some(Version::V2) | None => {}
    }
    if password.get_ref().len() > 8 {
        let diagnostic = Diagnostic::warning(
            password.span(),
            "auth_pass is longer than 8 bytes: the rest is not sent",
            format!("{} bytes", password.get_ref().len()),
        )
        .note("the field has 8 bytes (RFC 2338, section 5.3.6.2); Keepalived truncates it in the same way");
        let diagnostic = match password.get_ref().get(..8) {
            Some(sent) => diagnostic.help(format!("`\"{}\"` is the same password", sent.escape_debug())),
            None => diagnostic,
        };
        section.problems().report(diagnostic);
    }
    Ok(Some(Password::new(password.get_ref())))
}

/// The addresses of `virtual_ipaddress`, on `own_device` where they do not name another.
fn virtual_addresses(section: &mut Section<'_, '_>, own_device: Option<&str>) -> Elements<RawAddress> {
    let addresses = section.required(
        "virtual_ipaddress",
        "[\"10.0.0.3/24\"]",
        array(|value, problems| virtual_address(value, own_device, problems)),
    );
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(reported) => return vec![Err(reported)],
    };
    let span = addresses.span();
    let count = addresses.get_ref().len();
    if count == 0 {
        let diagnostic = Diagnostic::error(span, "a virtual router needs a virtual address", "empty");
        return vec![Err(section
            .problems()
            .report(diagnostic.help("for example `[\"10.0.0.3/24\"]`")))];
    }
    if count > ADDRESSES_MAXIMUM {
        let diagnostic = Diagnostic::error(
            span,
            format!("an advertisement carries at most {ADDRESSES_MAXIMUM} addresses"),
            format!("{count} addresses"),
        );
        return vec![Err(section
            .problems()
            .report(diagnostic.help("divide them among several instances")))];
    }
    addresses.into_inner()
}

/// One address: a string, or a table with its device and label.
fn virtual_address(
    value: &Value<'_>,
    own_device: Option<&str>,
    problems: &mut Problems,
) -> Result<RawAddress, Reported> {
    if matches!(value.get_ref(), DeValue::String(_)) {
        return Ok(RawAddress {
            address: VirtualAddress {
                address: network_address(value, problems)?,
                device: None,
                label: None,
            },
            device: None,
        });
    }
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return Err(wrong_type(value, "an address in a string, or a table", problems));
    }
    let example = r#"{ address = "10.0.0.4/32", dev = "eth0", label = "eth0:1" }"#;
    let mut section = Section::open(value, "virtual_ipaddress", example, problems)?;
    let address = section.required("address", "\"10.0.0.4/32\"", network_address);
    let device = section.optional("dev", device);
    let label_device = match &device {
        Ok(Some(device)) => Some(device.get_ref().as_str()),
        Ok(None) => own_device,
        Err(_) => None,
    };
    let label = section.optional("label", label(label_device));
    section.close();
    let device = device?;
    Ok(RawAddress {
        address: VirtualAddress {
            address: address?.into_inner(),
            device: device.as_ref().map(|device| device.get_ref().clone()),
            label: label?.map(Spanned::into_inner),
        },
        device,
    })
}

/// An address with its prefix length, which is that of a single host if it is not written.
fn network_address(value: &Value<'_>, problems: &mut Problems) -> Result<IpNet, Reported> {
    let text = text(value, problems)?;
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text.as_str(), None),
    };
    let Ok(address) = host.parse::<IpAddr>() else {
        let diagnostic = Diagnostic::error(value.span(), "this is no IP address", "expected an IP address");
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
    IpNet::new(address, length).map_err(|_| Reported)
}
