//! The configuration file, read and checked for a person who waits at a terminal.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use crate::config::{self, Diagnostic, Loaded, Severity};

/// The names of the interfaces in the calling thread's network namespace, one line each after two of headings.
const INTERFACES: &str = "/proc/thread-self/net/dev";

/// Reads the text of `path`.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    read_if_there(path)?.ok_or_else(|| {
        anyhow::anyhow!(
            "there is no configuration file {}: name it with `-c FILE`",
            path.display()
        )
    })
}

/// Reads the text of `path`, if there is such a file.
pub(super) fn read_if_there(path: &Path) -> anyhow::Result<Option<String>> {
    let name = path.display();
    match fs::read(path) {
        Ok(bytes) => config::decode(bytes)
            .map(Some)
            .map_err(|error| anyhow::anyhow!("{name} {error}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::anyhow!(
            "cannot read the configuration file {name}: {error}"
        )),
    }
}

/// Reads and checks the configuration file at `path`, and gives what is to be said about it to `report`, with the worst
/// severity in it. An interface that is not there is no error: it may come, or be another host's.
pub(super) fn load(path: &Path, report: impl Fn(Severity, &str)) -> anyhow::Result<Loaded> {
    let text = read(path)?;
    let colour = io::stderr().is_terminal();
    let name = path.display().to_string();
    let print = |diagnostics: &[Diagnostic]| {
        if !diagnostics.is_empty() {
            let severity = if count_errors(diagnostics) > 0 {
                Severity::Error
            } else {
                Severity::Warning
            };
            report(
                severity,
                &format!("{}\n\n", config::render(diagnostics, &name, &text, colour)),
            );
        }
    };
    let absent = config::missing_interfaces(&text, interface_exists()?);
    let mut loaded = match config::parse(&text) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            let diagnostics = [diagnostics, absent].concat();
            print(&diagnostics);
            return Err(refusal(&name, &diagnostics));
        }
    };
    print(&loaded.warnings);
    print(&absent);
    let lists = &mut loaded.configuration.dataplane.access;
    if let Err(problem) = config::read_lists(lists, |path| fs::read(path), colour) {
        report(Severity::Error, &format!("{problem}\n\n"));
        anyhow::bail!("{name} names lists that cannot be used");
    }
    Ok(loaded)
}

/// The last line about a file with errors.
fn refusal(name: &str, diagnostics: &[Diagnostic]) -> anyhow::Error {
    anyhow::anyhow!("{name} has {}", count(count_errors(diagnostics), "error"))
}

fn count_errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity() == Severity::Error)
        .count()
}

/// `1 error`, `2 errors`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Tells which interfaces there are.
fn interface_exists() -> anyhow::Result<impl Fn(&str) -> bool> {
    let list = fs::read_to_string(INTERFACES)
        .map_err(|error| anyhow::anyhow!("cannot list the interfaces from {INTERFACES}: {error}"))?;
    let names: Vec<String> = list
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect();
    Ok(move |name: &str| names.iter().any(|known| known == name))
}
