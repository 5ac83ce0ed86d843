//! Reads the configuration file: TOML text in, a [`Configuration`] or diagnostics out.
//!
//! The text becomes a tree of spanned values (`syntax.rs` has the parser's own errors). Each table of the file has its
//! table of keys (`file.rs`, `node.rs`, `instance.rs`, `group.rs`, `server.rs`, in the form that `table.rs` describes), each key a
//! type (`value.rs`): they turn the tree into raw tables, in which each field is a value with its place or has been
//! reported. `checks.rs` compares tables with each other; and what no error was found in becomes the model. Nothing
//! stops at the first error. The same tables of keys yield the sample (`sample.rs`). Nothing here reads files or asks
//! the kernel; lists in files of their own (`lists.rs`) come from whoever does.
#![deny(clippy::disallowed_methods)]

mod address;
mod character;
mod checks;
mod diagnostic;
mod encoding;
mod file;
mod forwarding;
mod group;
mod instance;
mod keepalived;
mod key;
mod lists;
mod node;
mod sample;
mod section;
mod server;
mod suggest;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::path::PathBuf;

use toml::de::DeTable;

use crate::model::Configuration;

pub use diagnostic::{Diagnostic, Severity, render};
pub use encoding::{NotText, decode};
pub use lists::read_lists;
pub use sample::sample;

use file::RawFile;
use section::{Problems, Reported, Section};
use syntax::SyntaxErrors;
use table::{NOWHERE, Table as _};
use value::InterfaceName;

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
    let mut problems = problems_of(&errors, text);
    let file: RawFile = table::read(Section::new(document.get_ref(), NOWHERE, "", &mut problems));
    match file.model(&mut problems) {
        Ok(configuration) if !problems.any_error() => Ok(Loaded {
            configuration,
            warnings: problems.into_diagnostics(),
        }),
        Ok(_) | Err(Reported) => Err(problems.into_diagnostics()),
    }
}

/// A warning for each interface that is named in the text and does not exist, at its first place. It is told of a text
/// with errors too.
pub fn missing_interfaces(text: &str, exists: impl Fn(&str) -> bool) -> Vec<Diagnostic> {
    let (document, errors) = DeTable::parse_recoverable(text);
    // `parse` tells of these.
    let mut told = problems_of(&errors, text);
    let file: RawFile = table::read(Section::new(document.get_ref(), NOWHERE, "", &mut told));

    let mut missing: Vec<&str> = Vec::new();
    let mut diagnostics = Vec::new();
    for interface in file.interfaces() {
        let InterfaceName(name) = interface.get_ref();
        if missing.contains(&name.as_str()) || exists(name) || !told.can_trust(interface.span().start) {
            continue;
        }
        missing.push(name);
        let message = format!("there is no interface `{name}` on this host");
        let diagnostic = Diagnostic::warning(interface.span(), message, "no such interface");
        diagnostics.push(
            diagnostic.help("lbd joins it when it appears; `ip -brief link` lists those that there are"),
        );
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

/// What the parser has found in `text`.
fn problems_of(errors: &[toml::de::Error], text: &str) -> Problems {
    Problems::new(
        SyntaxErrors::new(errors, text, RawFile::list_keys),
        RawFile::list_keys,
    )
}
