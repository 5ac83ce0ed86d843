//! The parser's own errors, as diagnostics.

use toml::de::Error;

use super::diagnostic::Diagnostic;

/// The errors that are worth reporting, and where the text's structure was lost, if it was.
///
/// The parser goes on after an error by guessing. One error on a line is followed by guesses about the rest of the
/// line, and one bracket that is not closed by guesses about all that follows: those are left out.
pub(super) fn diagnostics(errors: &[Error], text: &str) -> (Vec<Diagnostic>, Option<usize>) {
    let mut errors: Vec<(usize, &Error)> = errors
        .iter()
        .map(|error| (error.span().map_or(0, |span| span.start), error))
        .collect();
    errors.sort_by_key(|(position, _)| *position);
    let mut diagnostics = Vec::new();
    let mut last_line = None;
    for (position, error) in errors {
        let line = text
            .as_bytes()
            .iter()
            .take(position)
            .filter(|byte| **byte == b'\n')
            .count();
        if last_line == Some(line) {
            continue;
        }
        last_line = Some(line);
        diagnostics.push(diagnostic(error, position, text));
        if loses_structure(error.message()) {
            return (diagnostics, Some(position));
        }
    }
    (diagnostics, None)
}

/// Whether a container ended elsewhere than its author meant it to.
fn loses_structure(message: &str) -> bool {
    ["missing comma", "unclosed"]
        .iter()
        .any(|start| message.starts_with(start))
        || message.contains(" in array")
}

fn diagnostic(error: &Error, position: usize, text: &str) -> Diagnostic {
    let span = error.span().unwrap_or(position..position);
    let (what, expected) = error
        .message()
        .split_once(", expected ")
        .map_or((error.message(), None), |(what, expected)| (what, Some(expected)));
    let label = expected.map_or_else(|| "here".to_owned(), |expected| format!("expected {expected}"));
    match what {
        "string values must be quoted" if span.is_empty() => {
            Diagnostic::error(span, "a key without a value", "expected a value")
        }
        "string values must be quoted" => {
            let value = text
                .get(span.clone())
                .unwrap_or_default()
                .escape_debug()
                .to_string();
            Diagnostic::error(
                span,
                "strings are put in quotes",
                "neither a number nor a boolean",
            )
            .help(format!("write `\"{value}\"`"))
        }
        "duplicate key" => Diagnostic::error(span, "this key has a value already", "second definition")
            .help("remove one; of a table that may be there several times, the header has double brackets"),
        _ => Diagnostic::error(span, format!("not TOML: {what}"), label),
    }
}
