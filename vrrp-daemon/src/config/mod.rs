//! Reads the configuration file: TOML text in, a [`Configuration`] or diagnostics out.
//!
//! The text becomes a tree of spanned values (`syntax.rs` has the parser's own errors); readers (`section.rs`,
//! `value.rs`) turn the tree into raw tables (`node.rs`, `instance.rs`, `server.rs`), in which each field is a value
//! with its place or has been reported; `checks.rs` compares tables with each other; and what no error was found in
//! becomes the model. Nothing stops at the first error. Nothing here reads files or asks the kernel.
#![deny(clippy::disallowed_methods)]

mod checks;
mod diagnostic;
mod instance;
mod node;
mod section;
mod server;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;
mod value;

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeTable;

use crate::model::Configuration;

pub use diagnostic::{Diagnostic, Severity, render};

use instance::RawInstance;
use node::RawDataplane;
use section::{Problems, Reported, Section};
use server::RawServer;
use syntax::SyntaxErrors;

/// Where the configuration file is unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/lbd/lbd.toml";

/// A configuration without errors.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the text means.
    pub configuration: Configuration,
    /// What its author should think about.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the text of a configuration file.
///
/// # Errors
/// All problems that were found, warnings among them, in the order of the text. At least one is an error.
pub fn parse(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems::new(SyntaxErrors::new(&errors, text));
    match read(document.get_ref(), &mut problems) {
        Ok(configuration) if !problems.any_error() => Ok(Loaded {
            configuration,
            warnings: problems.into_diagnostics(),
        }),
        Ok(_) | Err(Reported) => Err(problems.into_diagnostics()),
    }
}

/// An error for each interface that is named in the text and does not exist, at its first place. It is told of a text
/// with other errors too.
pub fn missing_interfaces(text: &str, exists: impl Fn(&str) -> bool) -> Vec<Diagnostic> {
    let (document, errors) = DeTable::parse_recoverable(text);
    // `parse` tells of these.
    let mut told = Problems::new(SyntaxErrors::new(&errors, text));
    let mut section = Section::new(document.get_ref(), 0..0, "", &mut told);
    let dataplane = section.optional("dataplane", RawDataplane::read);
    let instances = section.tables("vrrp_instance", "[[vrrp_instance]]", RawInstance::read);
    let dataplane = dataplane
        .ok()
        .flatten()
        .map(Spanned::into_inner)
        .unwrap_or_default();

    let mut missing: Vec<&str> = Vec::new();
    let mut diagnostics = Vec::new();
    let interfaces = named_interfaces(&dataplane, &instances);
    for interface in &interfaces {
        let name = interface.get_ref().as_str();
        if missing.contains(&name) || exists(name) {
            continue;
        }
        missing.push(name);
        let message = format!("there is no interface `{name}` on this host");
        let diagnostic = Diagnostic::error(interface.span(), message, "no such interface");
        diagnostics.push(diagnostic.help("`ip -brief link` lists those that there are"));
    }
    diagnostics
}

/// Where the daemon of this configuration listens for commands.
///
/// Commands need nothing else of the file, so a file with errors will do, if only this key can be read.
#[must_use]
pub fn control_socket(text: &str) -> PathBuf {
    let (document, _) = DeTable::parse_recoverable(text);
    document
        .get_ref()
        .get("node")
        .and_then(|node| node.get_ref().get("control_socket"))
        .and_then(|value| value.get_ref().as_str())
        .map_or_else(default_control_socket, PathBuf::from)
}

/// Where the daemon listens for commands if no configuration says otherwise.
#[must_use]
pub fn default_control_socket() -> PathBuf {
    node::CONTROL_SOCKET.into()
}

/// Reads the whole document.
fn read(document: &DeTable<'_>, problems: &mut Problems) -> Result<Configuration, Reported> {
    let mut section = Section::new(document, 0..0, "", problems);
    let node = section.optional("node", node::node);
    let dataplane = section.optional("dataplane", RawDataplane::read);
    let instances = section.tables("vrrp_instance", "[[vrrp_instance]]", RawInstance::read);
    let servers = section.tables("virtual_server", "[[virtual_server]]", RawServer::read);
    section.close();
    checks::instances(&instances, problems);
    checks::services(&servers, &instances, problems);
    checks::real_addresses(&servers, &instances, problems);
    checks::capacities(&servers, &instances, problems);

    let dataplane = dataplane?.map(Spanned::into_inner).unwrap_or_default();
    checks::leases(&instances, &dataplane, problems);
    let vrrp_instances = models(&instances, RawInstance::model);
    let virtual_services = models(&servers, RawServer::model);
    let configuration = Configuration {
        node: node?.map_or_else(node::default_node, Spanned::into_inner),
        dataplane: dataplane.model(),
        vrrp_instances: vrrp_instances?,
        virtual_services: virtual_services?,
    };
    let headers = servers.iter().flatten().map(|server| &server.header);
    checks::weights(configuration.virtual_services.iter().zip(headers), problems);
    if configuration.interfaces().is_empty() {
        let place = servers
            .iter()
            .flatten()
            .next()
            .map_or(0..0, |server| server.header.clone());
        let diagnostic = Diagnostic::error(
            place,
            "there is no interface to work on",
            "on which interface do its packets arrive?",
        );
        let help = "name them as `interfaces = [\"eth0\"]` in `[dataplane]`, or add a `[[vrrp_instance]]`";
        return Err(problems.report(diagnostic.help(help)));
    }
    Ok(configuration)
}

/// The models of all tables of a kind, if each has one.
fn models<R, M>(
    tables: &[Result<R, Reported>],
    model: impl Fn(&R) -> Result<M, Reported>,
) -> Result<Vec<M>, Reported> {
    tables
        .iter()
        .map(|table| model(table.as_ref().map_err(|reported| *reported)?))
        .collect()
}

/// Every mention of an interface.
fn named_interfaces(
    dataplane: &RawDataplane,
    instances: &[Result<RawInstance, Reported>],
) -> Vec<Spanned<String>> {
    let mut interfaces = dataplane.interfaces.clone();
    for instance in instances.iter().flatten() {
        interfaces.extend(instance.interface.iter().cloned());
        let addresses = instance.virtual_addresses.iter().flatten();
        interfaces.extend(addresses.filter_map(|address| address.get_ref().device.clone()));
    }
    interfaces.sort_by_key(|interface| interface.span().start);
    interfaces
}
