//! The sample configuration: every key, with what it is for and what may stand there.

use std::fmt::Write;

use super::file::RawFile;
use super::key::{Key, Presence};
use super::table::Table;

/// What the sample begins with.
const PREAMBLE: &str = "\
# The configuration of one lbd node: /etc/lbd/lbd.toml.
#
# Every key is here. One that is commented out shows its default, or is optional. Durations are strings with a unit
# (\"250ms\", \"1s\"). `lbd check-config` reports every mistake in the file; `lbd reload`, or SIGHUP, puts a changed file
# into effect, and a file with errors changes nothing.
";

/// The column that remarks behind keys begin in.
const REMARK_COLUMN: usize = 36;

/// The text of a configuration that shows every key of this version.
#[must_use]
pub fn sample() -> String {
    let mut text = PREAMBLE.to_owned();
    for key in RawFile::list_keys() {
        write_key(&mut text, &key);
    }
    text
}

/// Writes `key` with all that belongs to it.
fn write_key(text: &mut String, key: &Key) {
    if let Presence::Table { header } = key.presence {
        text.push('\n');
        write_documentation(text, key);
        line(text, header, "");
        for key in &key.keys {
            write_key(text, key);
        }
        return;
    }
    write_documentation(text, key);
    for inner in &key.keys {
        write_inner(text, inner, &key.keys);
    }
    let pair = |value: &str| format!("{} = {value}", key.name);
    match &key.presence {
        Presence::Table { .. } => {}
        Presence::Required { example, shown } => {
            line(text, &pair(shown.unwrap_or(example)), &key.accepts);
        }
        Presence::Optional { example, shown: true } => {
            line(text, &pair(example), &key.accepts);
        }
        Presence::Optional {
            example,
            shown: false,
        } => {
            line(text, &format!("# {}", pair(example)), &key.accepts);
        }
        Presence::Default { default, shown: None } => {
            line(text, &format!("# {}", pair(default)), &key.accepts);
        }
        Presence::Default {
            default,
            shown: Some(shown),
        } => {
            let remark = [&key.accepts, "; default: ", default].concat();
            line(text, &pair(shown), remark.trim_start_matches("; "));
        }
    }
}

/// Writes what `key` is for, as comments.
fn write_documentation(text: &mut String, key: &Key) {
    for documentation in &key.documentation {
        line(text, &format!("# {documentation}"), "");
    }
}

/// Writes a key of an inline table, one of `all`, as a comment.
fn write_inner(text: &mut String, key: &Key, all: &[Key]) {
    let width = all.iter().map(|key| key.name.len()).max().unwrap_or_default();
    let mut documentation = key.documentation.join(" ");
    let remarks = [
        key.accepts.clone(),
        match &key.presence {
            Presence::Default { default, .. } => format!("default: {default}"),
            Presence::Required { .. } | Presence::Optional { .. } | Presence::Table { .. } => String::new(),
        },
    ];
    let remarks: Vec<String> = remarks.into_iter().filter(|remark| !remark.is_empty()).collect();
    if !remarks.is_empty() {
        documentation = format!("{} ({})", documentation.trim_end_matches('.'), remarks.join("; "));
    }
    line(text, &format!("#   {:width$}  {documentation}", key.name), "");
}

/// Writes a line, with a remark behind it if there is one.
fn line(text: &mut String, content: &str, remark: &str) {
    let written = if remark.is_empty() {
        writeln!(text, "{content}")
    } else {
        writeln!(text, "{content:<REMARK_COLUMN$}# {remark}")
    };
    // A string takes whatever is written to it.
    debug_assert!(written.is_ok());
}
