//! The tables `[[vrrp_instance]]`.

use std::net::IpAddr;
use std::time::Duration;

use toml::Spanned;

use crate::model::{
    AddressFamily, Interval, Password, Priority, Version, VirtualAddress, VirtualRouterId, VrrpInstance,
};

use super::address::RawAddress;
use super::diagnostic::Diagnostic;
use super::section::{Field, Problems, Reported};
use super::table::{Optional, TableCheck, default, optional, own, required, table};
use super::value::{AuthType, InitialState, InterfaceName, List, Name, Switch};

/// How many addresses an advertisement can carry: its count has eight bits.
const ADDRESSES_MAXIMUM: usize = 255;

table! {
    /// A virtual router: addresses that one node of several has at any time, by election (VRRP).
    /// The other nodes have the same virtual_router_id, version, advert_int, authentication and virtual_ipaddress.
    struct RawInstance in "[[vrrp_instance]]" {
        /// The name in status and logs.
        name: Field<Name> = required(r#""VI_1""#),
        /// The interface that advertisements are sent and heard on, and that gets the addresses.
        interface: Field<InterfaceName> = required(r#""eth0""#),
        /// Unlike that of any other virtual router on this network.
        virtual_router_id: Field<VirtualRouterId> = required("51"),
        /// The protocol: 2 (RFC 3768, Keepalived's default) or 3 (RFC 9568).
        version: Field<Version> = default(Version::V2),
        /// Kept from Keepalived, and as there, who is master is decided by priority: "master" means only that this node
        /// takes over from a master of lower priority, whatever nopreempt says.
        state: Field<InitialState> = default(InitialState::Backup),
        /// The highest is elected; 255 is master from the start, and takes the addresses back whatever nopreempt says.
        priority: Field<Priority> = default(Priority::DEFAULT).shown("150"),
        /// The interval between advertisements. Version 2: "1s" to "255s", whole seconds. Version 3: "10ms" to
        /// "40.95s".
        advert_int: Field<Duration> = default(Duration::from_secs(1)),
        /// Whether a master with a lower priority is left alone when this node comes back.
        nopreempt: Field<bool> = default(false),
        /// Version 2 only. Sent in clear text, of at most 8 bytes: protects from mistakes, not from attackers.
        authentication: Optional<RawAuthentication> = optional(r#"{ auth_type = "pass", auth_pass = "1111" }"#),
        /// "on": the right to the addresses runs out when this daemon dies or freezes, so that no two nodes answer for
        /// them. "off": a dead daemon's node goes on answering, as with Keepalived.
        lease: Field<Switch> = default(Switch::On),
        /// The addresses: as strings (without a prefix length, /32), or as tables.
        virtual_ipaddress: Field<List<RawAddress>> = required(r#"["10.0.0.3/24"]"#)
            .shown(r#"["10.0.0.3/24", { address = "10.0.0.4/32", dev = "eth0", label = "eth0:1" }]"#),
    }
}

table! {
    /// A password.
    struct RawAuthentication in r#"authentication = { auth_type = "pass", auth_pass = "1111" }"# {
        /// How advertisements are authenticated.
        auth_type: Field<AuthType> = required(r#""pass""#),
        /// The password, the same on all routers.
        auth_pass: Field<Name> = required(r#""1111""#),
    }
}

impl TableCheck for RawAuthentication {}

impl TableCheck for RawInstance {
    fn check(&mut self, problems: &mut Problems) {
        self.check_state(problems);
        if let (Ok(version), Ok(advert_int)) = (&self.version, &self.advert_int)
            && let Err(reported) = check_interval(advert_int, version, problems)
        {
            self.advert_int = Err(reported);
        }
        if let Ok(Some(authentication)) = &self.authentication
            && let Err(reported) = check_authentication(authentication, &self.version, problems)
        {
            self.authentication = Err(reported);
        }
        if let Ok(addresses) = &mut self.virtual_ipaddress {
            let interface = self.interface.as_ref().ok().map(Spanned::get_ref);
            if let Err(reported) = check_addresses(addresses, interface, problems) {
                self.virtual_ipaddress = Err(reported);
            }
        }
    }
}

impl RawInstance {
    /// Warns of a master that is none, or that does not do what is written beside it.
    fn check_state(&self, problems: &mut Problems) {
        let (Ok(state), Ok(nopreempt), Ok(priority)) = (&self.state, &self.nopreempt, &self.priority) else {
            return;
        };
        if *state.get_ref() != InitialState::Master {
            return;
        }
        if *nopreempt.get_ref() {
            let diagnostic = Diagnostic::warning(
                nopreempt.span(),
                "nopreempt does not hold where `state` is `\"master\"`",
                "without effect",
            )
            .beside(state.span(), "takes over from a master of lower priority")
            .note("Keepalived drops it in the same way")
            .help("to leave a living master alone, write `state = \"backup\"` on all routers");
            problems.report(diagnostic);
        }
        // A key that is not written has the place of its table.
        if priority.span() == self.place {
            let diagnostic = Diagnostic::warning(
                state.span(),
                "nobody becomes master by `state`",
                format!("has the default priority, {}", priority.get_ref()),
            )
            .note("the election goes by priority (Keepalived takes 255 here, the priority of an owner of addresses)")
            .help("write a `priority` that is higher than the other routers', such as `priority = 150`");
            problems.report(diagnostic);
        }
    }

    /// The virtual addresses that could be read, with their places.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Spanned<RawAddress>> {
        let addresses = self.virtual_ipaddress.iter();
        addresses.flat_map(|addresses| addresses.get_ref().0.iter().flatten())
    }

    /// Whether it has `address`, or one that could not be read and might be it.
    pub(super) fn may_have(&self, address: IpAddr) -> bool {
        let Ok(addresses) = &self.virtual_ipaddress else {
            return true;
        };
        addresses.get_ref().0.iter().any(|candidate| match candidate {
            Ok(candidate) => candidate.get_ref().ip().map_or(true, |ip| ip == address),
            Err(Reported) => true,
        })
    }

    /// The family of its addresses, as far as one can be read.
    pub(super) fn family(&self) -> Option<AddressFamily> {
        let mut addresses = self.addresses().filter_map(|address| address.get_ref().ip().ok());
        addresses.next().map(AddressFamily::of)
    }

    /// Every interface that it names.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &Spanned<InterfaceName>> {
        let devices = self.addresses().filter_map(|address| address.get_ref().device());
        self.interface.iter().chain(devices)
    }

    /// What it means.
    pub(super) fn model(&self) -> Result<VrrpInstance, Reported> {
        let Name(name) = own(&self.name)?;
        let InterfaceName(interface) = own(&self.interface)?;
        let version = own(&self.version)?;
        let password = match &self.authentication {
            Ok(Some(authentication)) => Some(authentication.get_ref().model()?),
            Ok(None) => None,
            Err(reported) => return Err(*reported),
        };
        let addresses = self.virtual_ipaddress.as_ref().map_err(|reported| *reported)?;
        let virtual_addresses: Result<Vec<VirtualAddress>, Reported> = addresses
            .get_ref()
            .0
            .iter()
            .map(|address| address.as_ref().map_err(|reported| *reported)?.get_ref().model())
            .collect();
        Ok(VrrpInstance {
            name,
            interface,
            virtual_router_id: own(&self.virtual_router_id)?,
            version,
            priority: own(&self.priority)?,
            // In range, or it was reported.
            advert_int: interval(own(&self.advert_int)?, version).ok_or(Reported)?,
            preempt: !own(&self.nopreempt)? || own(&self.state)? == InitialState::Master,
            password,
            lease: own(&self.lease)? == Switch::On,
            virtual_addresses: virtual_addresses?,
        })
    }
}

impl RawAuthentication {
    /// What it means.
    fn model(&self) -> Result<Password, Reported> {
        own(&self.auth_type)?;
        let Name(password) = own(&self.auth_pass)?;
        Ok(Password::new(&password))
    }
}

/// The advertisement interval of `duration`, if it is within the limits of `version`.
fn interval(duration: Duration, version: Version) -> Option<Interval> {
    match version {
        Version::V2 => (duration.subsec_nanos() == 0)
            .then(|| u8::try_from(duration.as_secs()).ok())
            .flatten()
            .and_then(|seconds| Interval::from_seconds(seconds).ok()),
        Version::V3 => duration
            .subsec_nanos()
            .is_multiple_of(10_000_000)
            .then(|| u16::try_from(duration.as_millis() / 10).ok())
            .flatten()
            .and_then(|centiseconds| Interval::from_centiseconds(centiseconds).ok()),
    }
}

/// Checks that the advertisement interval is within the limits of the version.
fn check_interval(
    advert_int: &Spanned<Duration>,
    version: &Spanned<Version>,
    problems: &mut Problems,
) -> Result<(), Reported> {
    let duration = *advert_int.get_ref();
    if interval(duration, *version.get_ref()).is_some() {
        return Ok(());
    }
    let (label, note) = match version.get_ref() {
        Version::V2 => (
            "must be 1s to 255s, in whole seconds",
            "version 2 counts seconds, in eight bits (RFC 3768, section 5.3.7)",
        ),
        Version::V3 => (
            "must be 10ms to 40.95s, in steps of 10ms",
            "version 3 counts centiseconds, in twelve bits (RFC 9568, section 5.2.7)",
        ),
    };
    let number = version.get_ref().number();
    let message = format!("advert_int is out of range for version {number}");
    let diagnostic = Diagnostic::error(advert_int.span(), message, label)
        .beside(version.span(), format!("version {number}"))
        .note(note);
    Err(problems.report(match version.get_ref() {
        Version::V2 if duration < Duration::from_secs(1) && !duration.is_zero() => {
            diagnostic.help("`version = 3` on all routers allows intervals below a second")
        }
        Version::V2 | Version::V3 => diagnostic.help("`\"1s\"` is usual"),
    }))
}

/// Checks that the version has authentication, and warns of a password that is not sent as it is written.
fn check_authentication(
    authentication: &Spanned<RawAuthentication>,
    version: &Field<Version>,
    problems: &mut Problems,
) -> Result<(), Reported> {
    let (Ok(_), Ok(password)) = (
        &authentication.get_ref().auth_type,
        &authentication.get_ref().auth_pass,
    ) else {
        return Err(Reported);
    };
    if let Ok(version) = version
        && *version.get_ref() == Version::V3
    {
        let diagnostic = Diagnostic::error(
            authentication.span(),
            "version 3 has no authentication",
            "cannot be sent",
        )
        .beside(version.span(), "version 3")
        .note("RFC 9568, section 9: it was taken out of the protocol, as it protected nothing")
        .help("remove `authentication`, or use `version = 2`");
        return Err(problems.report(diagnostic));
    }
    let Name(written) = password.get_ref();
    if written.len() > 8 {
        let diagnostic = Diagnostic::warning(
            password.span(),
            "auth_pass is longer than 8 bytes: the rest is not sent",
            format!("{} bytes", written.len()),
        )
        .note("the field has 8 bytes (RFC 2338, section 5.3.6.2); Keepalived truncates it in the same way");
        let diagnostic = match written.get(..8) {
            Some(sent) => diagnostic.help(format!("`\"{}\"` is the same password", sent.escape_debug())),
            None => diagnostic,
        };
        problems.report(diagnostic);
    }
    Ok(())
}

/// Checks how many addresses there are, and their labels against the interface of each, which is `own` where it names
/// none.
fn check_addresses(
    addresses: &mut Spanned<List<RawAddress>>,
    own: Option<&InterfaceName>,
    problems: &mut Problems,
) -> Result<(), Reported> {
    let span = addresses.span();
    let List(elements) = addresses.get_mut();
    let count = elements.len();
    if count == 0 {
        let diagnostic = Diagnostic::error(span, "a virtual router needs a virtual address", "empty");
        return Err(problems.report(diagnostic.help("for example `[\"10.0.0.3/24\"]`")));
    }
    if count > ADDRESSES_MAXIMUM {
        let diagnostic = Diagnostic::error(
            span,
            format!("an advertisement carries at most {ADDRESSES_MAXIMUM} addresses"),
            format!("{count} addresses"),
        );
        return Err(problems.report(diagnostic.help("divide them among several instances")));
    }
    for element in elements {
        if let Ok(address) = element
            && let Err(reported) = address.get_ref().check_label(own, problems)
        {
            *element = Err(reported);
        }
    }
    Ok(())
}
