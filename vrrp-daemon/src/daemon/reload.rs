//! Reading the configuration file, at the start and again.

use std::fs;
use std::path::Path;

use crate::config::{self, Diagnostic};
use crate::model::Configuration;

/// A configuration that may take the place of the present one.
pub(super) struct Reloaded {
    /// What to do from now on.
    pub(super) configuration: Configuration,
    /// What a person should know about it.
    pub(super) message: String,
}

/// Reads the file at `path` to take the place of `present`. What only a restart can change stays as it is, and the
/// message says so.
///
/// # Errors
/// What is wrong with the file, for people: every problem, with its place.
pub(super) fn read(
    path: &Path,
    present: &Configuration,
    exists: impl Fn(&str) -> bool,
) -> Result<Reloaded, String> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let text = config::decode(bytes).map_err(|error| format!("{name} {error}"))?;
    let render = |diagnostics: &[Diagnostic]| config::render(diagnostics, &name, &text, false);
    let missing = config::missing_interfaces(&text, exists).into_iter();
    let missing: Vec<Diagnostic> = missing.map(Diagnostic::into_error).collect();
    let loaded = match config::parse(&text) {
        Ok(loaded) if missing.is_empty() => loaded,
        Ok(_) => return Err(render(&missing)),
        Err(problems) => return Err(render(&[problems, missing].concat())),
    };
    let mut message = format!("{name} is in force");
    if !loaded.warnings.is_empty() {
        message = format!("{message}\n{}", render(&loaded.warnings));
    }
    let mut configuration = loaded.configuration;
    for key in keep_fixed(&mut configuration, present) {
        message = format!("{message}\n{key} has changed in the file: that needs a restart of lbd");
    }
    Ok(Reloaded {
        configuration,
        message,
    })
}

/// Puts back what a running daemon cannot change, and names it.
fn keep_fixed(configuration: &mut Configuration, present: &Configuration) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let (node, dataplane) = (&mut configuration.node, &mut configuration.dataplane);
    keep(
        &mut node.control_socket,
        &present.node.control_socket,
        "node.control_socket",
        &mut kept,
    );
    keep(
        &mut node.pin_dir,
        &present.node.pin_dir,
        "node.pin_dir",
        &mut kept,
    );
    keep(
        &mut node.state_dir,
        &present.node.state_dir,
        "node.state_dir",
        &mut kept,
    );
    keep(
        &mut dataplane.flow_table_size,
        &present.dataplane.flow_table_size,
        "dataplane.flow_table_size",
        &mut kept,
    );
    kept
}

fn keep<T: PartialEq + Clone>(value: &mut T, present: &T, key: &'static str, kept: &mut Vec<&'static str>) {
    if value != present {
        value.clone_from(present);
        kept.push(key);
    }
}
