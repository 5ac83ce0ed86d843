//! The tables `[[virtual_server_group]]`: addresses and ports that are one service.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use crate::model::Ports;

use super::diagnostic::Diagnostic;
use super::section::{Field, Problems, Reported};
use super::suggest;
use super::table::{Several, TableCheck, own, required, several, table};
use super::value::{AddressRange, Name};

table! {
    /// Addresses and ports that are one service, for a virtual_server that names the group: one schedule, one set of
    /// real servers and counters.
    struct RawGroup in "[[virtual_server_group]]" {
        /// What a virtual_server calls it by.
        name: Field<Name> = required(r#""web""#),
        member: Several<RawMember> = several(),
    }
}

table! {
    /// One of them, or several that have their ports in common.
    struct RawMember in "[[virtual_server_group.member]]" {
        /// An address that clients use, or a range: "10.0.0.4-9", "10.0.0.4-10.0.1.9".
        address: Field<AddressRange> = required(r#""10.0.0.4-9""#),
        /// As in a virtual_server.
        port: Field<Ports> = required("80"),
    }
}

impl TableCheck for RawGroup {
    /// Reports a group of nobody.
    fn check(&mut self, problems: &mut Problems) {
        if self.member.is_empty() && self.name.is_ok() {
            let diagnostic = Diagnostic::error(
                self.place.clone(),
                "a virtual_server_group without a member is no service",
                "has no member",
            );
            self.name = Err(problems.report(diagnostic.help(
                "add `member = [{ address = \"10.0.0.4\", port = 80 }]`, or a `[[virtual_server_group.member]]`",
            )));
        }
    }
}
impl TableCheck for RawMember {}

impl RawGroup {
    /// The addresses that could be read, each with its place.
    fn ips(&self) -> impl Iterator<Item = (IpAddr, Range<usize>)> {
        let ranges = self.member.iter().flatten().flat_map(|member| &member.address);
        ranges.flat_map(|range| range.get_ref().iter().map(|ip| (ip, range.span())))
    }

    /// Each address with its ports and its place.
    fn addresses(&self) -> Result<Vec<(IpAddr, Ports, Range<usize>)>, Reported> {
        let mut addresses = Vec::new();
        for member in &self.member {
            let member = member.as_ref().map_err(|reported| *reported)?;
            let range = member.address.as_ref().map_err(|reported| *reported)?;
            let ports = own(&member.port)?;
            addresses.extend(range.get_ref().iter().map(|ip| (ip, ports, range.span())));
        }
        Ok(addresses)
    }
}

/// The groups of the file, by name.
pub(super) struct Groups<'a> {
    named: HashMap<&'a str, &'a RawGroup>,
    /// Whether one could not be read, which may be the one that is looked for.
    any_lost: bool,
}

impl<'a> Groups<'a> {
    /// These; of two with the same name the first.
    pub(super) fn new(groups: &'a [Result<RawGroup, Reported>]) -> Self {
        let mut named = HashMap::new();
        for group in groups.iter().flatten() {
            if let Ok(name) = &group.name {
                named.entry(name.get_ref().0.as_str()).or_insert(group);
            }
        }
        let is_lost = |group: &Result<RawGroup, Reported>| match group {
            Ok(group) => group.name.is_err(),
            Err(Reported) => true,
        };
        Self {
            named,
            any_lost: groups.iter().any(is_lost),
        }
    }

    /// The addresses of the group with this name that could be read, each with its place.
    pub(super) fn ips(&self, name: &str) -> Vec<(IpAddr, Range<usize>)> {
        self.named
            .get(name)
            .map_or_else(Vec::new, |group| group.ips().collect())
    }

    /// The addresses of the group with this name, each with its ports and its place. Of a group that is not there,
    /// [`Groups::check`] tells.
    pub(super) fn addresses(&self, name: &str) -> Result<Vec<(IpAddr, Ports, Range<usize>)>, Reported> {
        self.named.get(name).ok_or(Reported)?.addresses()
    }

    /// Reports that there is no group with this name.
    pub(super) fn check(&self, name: &Spanned<Name>, problems: &mut Problems) {
        let Name(wanted) = name.get_ref();
        if self.named.contains_key(wanted.as_str()) || self.any_lost {
            return;
        }
        let message = format!("there is no virtual_server_group `{}`", wanted.escape_debug());
        let diagnostic = Diagnostic::error(name.span(), message, "unknown name");
        let mut names: Vec<&str> = self.named.keys().copied().collect();
        names.sort_unstable();
        problems.report(match (suggest::closest(wanted, &names), names.is_empty()) {
            (Some(name), _) => diagnostic.help(format!("did you mean `\"{}\"`?", name.escape_debug())),
            (None, true) => diagnostic.help("add a `[[virtual_server_group]]` with this name"),
            (None, false) => diagnostic.help(format!("there is {}", suggest::list(&names, "and"))),
        });
    }
}
