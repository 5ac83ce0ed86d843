//! The parser's own errors, as diagnostics.

mod slips;

use std::ops::Range;

use toml::de::Error;

use super::diagnostic::Diagnostic;
use super::key::Key;

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
    /// Judges the errors that the parser found in `text`, in which one expects `keys`.
    pub(super) fn new(errors: &[Error], text: &str, keys: impl FnOnce() -> Vec<Key>) -> Self {
        let mut judged = Self {
            diagnostics: Vec::new(),
            trusted_until: None,
            damaged: Vec::new(),
        };
        if errors.is_empty() {
            return judged;
        }
        if let Some(diagnostic) = slips::other_language(text) {
            judged.diagnostics.push(diagnostic);
            judged.trusted_until = Some(0);
            return judged;
        }
        let mut errors: Vec<(Range<usize>, &Error)> = errors
            .iter()
            .map(|error| (error.span().unwrap_or_default(), error))
            .collect();
        errors.sort_by_key(|(span, _)| span.start);
        let duplicates: Vec<usize> = errors
            .iter()
            .filter(|(_, error)| error.message() == DUPLICATE)
            .map(|(span, _)| span.start)
            .collect();
        (judged.diagnostics, judged.damaged) = slips::find(text, &keys(), &duplicates);
        for (span, error) in errors {
            if judged.damaged.iter().any(|line| line.contains(&span.start)) {
                if loses_structure(error.message()) {
                    judged.trusted_until = Some(span.start);
                    break;
                }
                continue;
            }
            judged.damaged.push(line(text, span.start));
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

/// The parser's words for a key that is there twice.
const DUPLICATE: &str = "duplicate key";

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
        DUPLICATE => {
            let is_header = text.get(..span.start).is_some_and(|before| before.ends_with('['));
            let help = if is_header {
                "a table is written once; one of several has its name in double brackets, `[[…]]`"
            } else {
                "remove one of them"
            };
            Diagnostic::error(span, "this key is there twice", "second definition").help(help)
        }
        _ => {
            let span_start = span.start;
            let label = expected.map_or_else(|| "here".to_owned(), |expected| format!("expected {expected}"));
            let diagnostic = Diagnostic::error(span, format!("not TOML: {what}"), label);
            if what.starts_with("missing comma") {
                diagnostic.help("a comma or a closing bracket is missing before this")
            } else if is_named_header(text, span_start) {
                diagnostic
                    .help("a header stands alone in its line; a name is a key below it: `name = \"VI_1\"`")
            } else {
                diagnostic
            }
        }
    }
}

/// Whether the line around `position` is a header of a table and a name, as Keepalived's blocks have one.
fn is_named_header(text: &str, position: usize) -> bool {
    let line = text.get(line(text, position)).unwrap_or_default();
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line
        .split(['[', ']', ' ', '\t', '\r', '\n', '"'])
        .filter(|word| !word.is_empty());
    let is_word = |word: &str| word.starts_with(|first: char| first.is_ascii_alphanumeric());
    line.trim_start().starts_with('[') && words.clone().count() == 2 && words.all(is_word)
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
    if let Some(value) = value.strip_suffix(';') {
        return diagnostic.help(format!(
            "lines do not end with `;`: write `{}`",
            value.escape_debug()
        ));
    }
    let lower = value.to_lowercase();
    if matches!(lower.as_str(), "true" | "false") {
        diagnostic.help(format!("booleans are written small: `{lower}`"))
    } else {
        diagnostic.help(format!("write `\"{}\"`", value.escape_debug()))
    }
}
