//! The parser's own errors, as diagnostics.

use std::ops::Range;

use toml::de::Error;

use super::diagnostic::Diagnostic;

/// What is wrong with a text as TOML, and how far what the parser made of it can be trusted.
///
/// The parser goes on after an error by guessing. One error on a line is followed by guesses about the rest of the
/// line, and one bracket that is not closed by guesses about all that follows: those are left out.
#[derive(Debug)]
pub(super) struct SyntaxErrors {
    /// The errors that are worth reporting.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Where the text's structure was lost, if it was.
    pub(super) trusted_until: Option<usize>,
    /// The lines with errors, in bytes, each with its line feed.
    pub(super) damaged: Vec<Range<usize>>,
}

impl SyntaxErrors {
    /// Judges the errors that the parser found in `text`.
    pub(super) fn new(errors: &[Error], text: &str) -> Self {
        let mut errors: Vec<(Range<usize>, &Error)> = errors
            .iter()
            .map(|error| (error.span().unwrap_or_default(), error))
            .collect();
        errors.sort_by_key(|(span, _)| span.start);
        let mut judged = Self {
            diagnostics: Vec::new(),
            trusted_until: None,
            damaged: Vec::new(),
        };
        for (span, error) in errors {
            let line = line(text, span.start);
            if judged.damaged.last() == Some(&line) {
                continue;
            }
            judged.damaged.push(line);
            let diagnostic = diagnostic(error, span.clone(), text);
            if loses_structure(error.message()) {
                let note = "what follows was not checked";
                judged.diagnostics.push(diagnostic.note(note));
                judged.trusted_until = Some(span.start);
                break;
            }
            judged.diagnostics.push(diagnostic);
        }
        judged
    }
}

/// The line of `text` that the byte at `position` is in, to the beginning of the next one.
fn line(text: &str, position: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let (before, after) = bytes.split_at(position.min(bytes.len()));
    let is_feed = |byte: &u8| *byte == b'\n';
    let start = before.iter().rposition(is_feed).map_or(0, |feed| feed + 1);
    let end = after.iter().position(is_feed).unwrap_or(after.len()) + before.len() + 1;
    start..end
}

/// Whether a container ended elsewhere than its author meant it to.
fn loses_structure(message: &str) -> bool {
    let structural = ["missing comma", "unclosed"];
    structural.iter().any(|start| message.starts_with(start)) || message.contains(" in array")
}

fn diagnostic(error: &Error, span: Range<usize>, text: &str) -> Diagnostic {
    let (what, expected) = error
        .message()
        .split_once(", expected ")
        .map_or((error.message(), None), |(what, expected)| (what, Some(expected)));
    match what {
        "string values must be quoted" if span.is_empty() => {
            Diagnostic::error(span, "a key without a value", "expected a value")
        }
        "string values must be quoted"
        | "invalid boolean"
        | "invalid datetime"
        | "invalid float"
        | "invalid integer" => unquoted(word(text, span.start), text),
        "duplicate key" => {
            let is_header = text.get(..span.start).is_some_and(|before| before.ends_with('['));
            let help = if is_header {
                "a table is written once; one of several has its name in double brackets, `[[…]]`"
            } else {
                "remove one of them"
            };
            Diagnostic::error(span, "this key is there twice", "second definition").help(help)
        }
        _ => {
            let label = expected.map_or_else(|| "here".to_owned(), |expected| format!("expected {expected}"));
            let diagnostic = Diagnostic::error(span, format!("not TOML: {what}"), label);
            if what.starts_with("missing comma") {
                diagnostic.help("a comma or a closing bracket is missing before this")
            } else {
                diagnostic
            }
        }
    }
}

/// The word around `position`: what lies between blanks and the punctuation of TOML.
fn word(text: &str, position: usize) -> Range<usize> {
    let ends = |character: char| character.is_whitespace() || "=,[]{}#\"'".contains(character);
    let (before, after) = text.split_at(text.floor_char_boundary(position));
    let start = before
        .char_indices()
        .rev()
        .find(|(_, character)| ends(*character))
        .map_or(0, |(index, character)| index + character.len_utf8());
    start..before.len() + after.find(ends).unwrap_or(after.len())
}

/// A word that is no number and no boolean.
fn unquoted(span: Range<usize>, text: &str) -> Diagnostic {
    let value = text.get(span.clone()).unwrap_or_default().to_owned();
    let diagnostic = Diagnostic::error(
        span,
        "strings are put in quotes",
        "neither a number nor a boolean",
    );
    let lower = value.to_lowercase();
    if matches!(lower.as_str(), "true" | "false") {
        diagnostic.help(format!("booleans are written small: `{lower}`"))
    } else {
        diagnostic.help(format!("write `\"{}\"`", value.escape_debug()))
    }
}
