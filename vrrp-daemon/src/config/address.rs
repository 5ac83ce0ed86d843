//! Virtual addresses in `virtual_ipaddress`.

use std::net::IpAddr;

use toml::Spanned;
use toml::de::DeValue;

use crate::model::VirtualAddress;

use super::diagnostic::Diagnostic;
use super::key::Key;
use super::section::{Field, Problems, Reported, Value};
use super::table::{Optional, TableCheck, optional, required, table};
use super::table::{own, own_optional};
use super::value::{Asked, ConfigValue, InterfaceName, Label, NetworkAddress, wrong_type};

table! {
    /// A virtual address, with what it gets on its interface.
    struct RawAddressTable in r#"{ address = "10.0.0.4/32", dev = "eth0", label = "eth0:1" }"# {
        /// The address.
        address: Field<NetworkAddress> = required(r#""10.0.0.4/32""#),
        /// The interface that gets it, if not the instance's own.
        dev: Optional<InterfaceName> = optional(r#""eth0""#),
        /// Its label, which begins with the name of the interface.
        label: Optional<Label> = optional(r#""eth0:1""#),
    }
}

impl TableCheck for RawAddressTable {}

/// A virtual address: a string, or a table.
pub(super) struct RawAddress(RawAddressTable);

impl ConfigValue for RawAddress {
    fn accepts() -> String {
        String::new()
    }

    fn read(asked: &Asked<'_>, value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        match value.get_ref() {
            DeValue::Table(_) => RawAddressTable::read(asked, value, problems).map(Self),
            DeValue::String(_) => {
                let address = NetworkAddress::read(asked, value, problems)?;
                Ok(Self(RawAddressTable {
                    place: value.span(),
                    address: Ok(Spanned::new(value.span(), address)),
                    dev: Ok(None),
                    label: Ok(None),
                }))
            }
            _ => Err(wrong_type(value, "an address in a string, or a table", problems)),
        }
    }

    fn keys() -> Vec<Key> {
        RawAddressTable::keys()
    }
}

impl RawAddress {
    /// The address without its prefix length, if it could be read.
    pub(super) fn ip(&self) -> Result<IpAddr, Reported> {
        let address = self.0.address.as_ref().map_err(|reported| *reported)?;
        Ok(address.get_ref().0.addr())
    }

    /// The interface that it names.
    pub(super) fn device(&self) -> Option<&Spanned<InterfaceName>> {
        self.0.dev.as_ref().ok()?.as_ref()
    }

    /// Checks that the label suits the interface, which is `own` if the address names none.
    pub(super) fn check_label(
        &self,
        own: Option<&InterfaceName>,
        problems: &mut Problems,
    ) -> Result<(), Reported> {
        let (Ok(device), Ok(Some(label))) = (&self.0.dev, &self.0.label) else {
            return Ok(());
        };
        match device.as_ref().map(Spanned::get_ref).or(own) {
            Some(InterfaceName(device)) if !label.get_ref().0.starts_with(device.as_str()) => {
                let diagnostic = Diagnostic::error(
                    label.span(),
                    "a label begins with the name of its interface",
                    format!("does not begin with `{device}`"),
                );
                Err(problems.report(diagnostic.help(format!("for example `\"{device}:1\"`"))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What it means.
    pub(super) fn model(&self) -> Result<VirtualAddress, Reported> {
        let NetworkAddress(address) = own(&self.0.address)?;
        Ok(VirtualAddress {
            address,
            device: own_optional(&self.0.dev)?.map(|InterfaceName(name)| name),
            label: own_optional(&self.0.label)?.map(|Label(label)| label),
        })
    }
}
