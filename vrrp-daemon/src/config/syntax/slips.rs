//! Mistakes that the parser would answer with an error for each line, and a person with one sentence.
//!
//! They are looked for in a text that is not TOML, line by line, outside of strings and comments. Each kind is reported
//! once, at its first place.

use std::ops::Range;

use crate::config::character::{code_point, is_invisible};
use crate::config::diagnostic::Diagnostic;
use crate::config::key::{Key, Presence};

/// What Keepalived calls its blocks.
const KEEPALIVED_BLOCKS: &[&str] = &[
    "global_defs",
    "vrrp_instance",
    "vrrp_sync_group",
    "vrrp_script",
    "vrrp_track_process",
    "virtual_server",
    "virtual_server_group",
    "static_ipaddress",
    "static_routes",
    "static_rules",
];

/// The sentence about a text that is written in another language, and where that shows first.
pub(super) fn other_language(text: &str) -> Option<Diagnostic> {
    let mut lines = Lines::of(text).map(|line| (line.start, line.code()));
    let keepalived = lines.find_map(|(start, code)| {
        let word = code.split_whitespace().next()?;
        let block = KEEPALIVED_BLOCKS.contains(&word.trim_end_matches('{')) && !code.contains(['=', ':']);
        block.then(|| span_of(&code, word, start))
    });
    if let Some(span) = keepalived {
        let diagnostic = Diagnostic::error(
            span,
            "this is a configuration of Keepalived: lbd's is TOML",
            "Keepalived's syntax",
        );
        return Some(diagnostic.help(
            "most words are the same: a block begins with a header such as `[[vrrp_instance]]`, a key is set as in \
             `name = \"VI_1\"`; `lbd sample-config` shows them all",
        ));
    }
    text.trim_start().starts_with('{').then(|| {
        let start = text.len() - text.trim_start().len();
        Diagnostic::error(
            start..start + 1,
            "this is JSON: lbd's configuration is TOML",
            "JSON's syntax",
        )
        .help("`lbd sample-config` prints a configuration with every key")
    })
}

/// The mistakes in a text, a diagnostic for each kind, and the lines that have them.
pub(super) fn find(text: &str, keys: &[Key], duplicates: &[usize]) -> (Vec<Diagnostic>, Vec<Range<usize>>) {
    let mut found: [Vec<Place>; 5] = Default::default();
    let headers = single_headers(text, keys, duplicates);
    for line in Lines::of(text) {
        let code = line.code();
        let kinds = [typographic, invisible, conflict, colon, nothing_between];
        for (kind, places) in kinds.iter().zip(&mut found) {
            if let Some(span) = kind(&code) {
                places.push(Place {
                    span: span.start + line.start..span.end + line.start,
                    number: line.number,
                    line: line.range(),
                });
                break;
            }
        }
    }
    let [typographic, invisible, conflicts, colons, nothing] = &found;
    let diagnostics = [
        first(typographic, |span| {
            Diagnostic::error(span, "strings are put in straight quotes", "typographic quotes")
                .help("write `\"` for each; text processors and web pages change them")
        }),
        first(invisible, |span| {
            let name = text
                .get(span.clone())
                .and_then(|text| text.chars().next())
                .map(invisible_name);
            let message = format!(
                "here is {}, which does not belong there",
                name.unwrap_or_default()
            );
            Diagnostic::error(span, message, "looks like a blank or like nothing")
                .help("delete it and write a blank if one is needed; pasted text has such characters")
        }),
        first(colons, |span| {
            Diagnostic::error(span, "a key is set with `=`", "not with `:`")
                .help("write `key = value`, as in `name = \"VI_1\"`")
        }),
        first(nothing, |span| {
            let words = text.get(span.clone()).unwrap_or_default();
            let (key, value) = words.split_once([' ', '\t']).unwrap_or_default();
            let value = if value.starts_with(|first: char| first.is_ascii_alphabetic()) {
                format!("\"{}\"", value.trim())
            } else {
                value.trim().to_owned()
            };
            Diagnostic::error(span, "a key is set with `=`", "there is none")
                .help(format!("write `{key} = {value}`"))
        }),
        first(conflicts, |span| {
            Diagnostic::error(span, "a merge conflict was left in the file", "its marks")
                .help("choose one of the two versions, and delete the lines with marks")
        }),
        first(&headers, |span| {
            let header = text.get(span.clone()).unwrap_or_default();
            let message = format!(
                "each `{}` needs a header in double brackets, as there may be several",
                header
                    .trim_matches(['[', ']'])
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .trim()
            );
            Diagnostic::error(span, message, "single brackets").help(format!("write `[{header}]`"))
        }),
    ];
    let lines = found.into_iter().flatten().chain(headers).map(|place| place.line);
    (diagnostics.into_iter().flatten().collect(), lines.collect())
}

/// Where a mistake was made.
struct Place {
    span: Range<usize>,
    /// The number of its line, from 1.
    number: usize,
    /// What it leaves nothing to be trusted in.
    line: Range<usize>,
}

/// What there is to say about the first of `places`, with the lines of the others.
fn first(places: &[Place], diagnostic: impl FnOnce(Range<usize>) -> Diagnostic) -> Option<Diagnostic> {
    /// How many other places are named.
    const NAMED: usize = 5;
    let (first, others) = places.split_first()?;
    let diagnostic = diagnostic(first.span.clone());
    let numbers: Vec<String> = others
        .iter()
        .take(NAMED)
        .map(|place| place.number.to_string())
        .collect();
    Some(match (others.len(), numbers.as_slice()) {
        (0, _) => diagnostic,
        (1, [only]) => diagnostic.note(format!("likewise in line {only}")),
        (..=NAMED, [before @ .., last]) => {
            diagnostic.note(format!("likewise in lines {} and {last}", before.join(", ")))
        }
        (count, numbers) => {
            let more = count - numbers.len();
            diagnostic.note(format!(
                "likewise in lines {} and {more} more",
                numbers.join(", ")
            ))
        }
    })
}

/// A line with its place.
struct Line<'t> {
    text: &'t str,
    start: usize,
    number: usize,
}

/// The lines of a text.
struct Lines<'t> {
    rest: &'t str,
    start: usize,
    number: usize,
}

impl<'t> Lines<'t> {
    const fn of(text: &'t str) -> Self {
        Self {
            rest: text,
            start: 0,
            number: 0,
        }
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Line<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.rest.find('\n').map_or(self.rest.len(), |feed| feed + 1);
        let (text, rest) = self.rest.split_at(length);
        let start = self.start;
        (self.rest, self.start, self.number) = (rest, start + length, self.number + 1);
        Some(Line {
            text,
            start,
            number: self.number,
        })
    }
}

impl Line<'_> {
    /// Its bytes, with the line feed.
    const fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The line without its comment, and with an `_` for each byte of its strings.
    fn code(&self) -> String {
        let mut code = String::with_capacity(self.text.len());
        let mut rest = self.text;
        if self.start == 0
            && let Some(text) = rest.strip_prefix('\u{feff}')
        {
            // At the beginning of a file, and nowhere else, a byte order mark is right.
            code.push_str("___");
            rest = text;
        }
        while let Some(character) = rest.chars().next() {
            let string = match character {
                '#' => break,
                '"' | '\'' => string(rest, character),
                _ => None,
            };
            let length = string.unwrap_or(character.len_utf8());
            match string {
                Some(length) => code.extend(std::iter::repeat_n('_', length)),
                None => code.push(character),
            }
            rest = &rest[length..];
        }
        code
    }
}

/// How many bytes the string at the beginning of `text` takes, if it ends.
fn string(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(index, character)| {
        let ends = character == quote && !escaped;
        escaped = quote == '"' && character == '\\' && !escaped;
        ends.then_some(index + 1)
    })
}

/// The place of `part` in `code`, which stands at `start`.
fn span_of(code: &str, part: &str, start: usize) -> Range<usize> {
    let begin = start + code.find(part).unwrap_or_default();
    begin..begin + part.len()
}

/// Quotes as in printed texts.
fn typographic(code: &str) -> Option<Range<usize>> {
    let index = code.find([
        '“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '‹', '›', '″', '′', '＂', '＇',
    ])?;
    // The word, with both of its quotes.
    let end = code[index..].find([',', ']', '}', ' ', '\t', '\r', '\n']);
    Some(index..end.map_or(code.len(), |length| index + length))
}

/// Characters that cannot be seen.
fn invisible(code: &str) -> Option<Range<usize>> {
    let (index, character) = code
        .char_indices()
        .find(|(_, character)| is_invisible(*character))?;
    Some(index..index + character.len_utf8())
}

/// What an invisible character is called.
fn invisible_name(character: char) -> String {
    let name = match character {
        '\u{a0}' | '\u{202f}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{feff}' => "a byte order mark",
        '\u{2000}'..='\u{200a}' | '\u{205f}' | '\u{3000}' | '\u{1680}' => "a blank of another width",
        _ => "an invisible character",
    };
    format!("{name} ({})", code_point(character))
}

/// A key that is set with a colon, as in YAML.
fn colon(code: &str) -> Option<Range<usize>> {
    let (before, after) = code.split_once(':')?;
    let key = before.trim().trim_start_matches("- ").trim_end();
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.'));
    (is_key && after.starts_with([' ', '\t', '\r', '\n'])).then(|| before.len()..before.len() + 1)
}

/// A key with a value behind it, and nothing between them.
fn nothing_between(code: &str) -> Option<Range<usize>> {
    let line = code.trim();
    let (key, value) = line.split_once([' ', '\t'])?;
    let is_key = key.starts_with(|first: char| first.is_ascii_alphabetic())
        && key
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'));
    let is_value = value.trim_start().starts_with(|first: char| {
        first.is_ascii_alphanumeric() || matches!(first, '_' | '[' | '{' | '-' | '+')
    });
    (is_key && is_value && !line.contains('=')).then(|| span_of(code, line, 0))
}

/// What version control writes around two versions of a text.
fn conflict(code: &str) -> Option<Range<usize>> {
    let line = code.trim_end();
    let mark = ["<<<<<<<", "=======", ">>>>>>>", "|||||||"]
        .into_iter()
        .find(|mark| {
            line.strip_prefix(mark)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })?;
    Some(0..mark.len())
}

/// The headers in single brackets of tables of which there may be several, if one of them is there more often than
/// once: at the bytes of `duplicates`, the parser has found a key for the second time.
fn single_headers(text: &str, keys: &[Key], duplicates: &[usize]) -> Vec<Place> {
    let mut several = Vec::new();
    headers_of_several(keys, &mut several);
    let mut places: Vec<Place> = Vec::new();
    let mut lines = Lines::of(text).peekable();
    while let Some(line) = lines.next() {
        let code = line.code();
        let header = code.trim();
        if !several.contains(&format!("[{header}]").as_str()) {
            continue;
        }
        // All that follows is of this table, as far as the next header.
        let mut end = line.range().end;
        while let Some(next) = lines.next_if(|next| !next.text.trim_start().starts_with('[')) {
            end = next.range().end;
        }
        places.push(Place {
            span: span_of(&code, header, line.start),
            number: line.number,
            line: line.start..end,
        });
    }
    if !duplicates
        .iter()
        .any(|position| places.iter().any(|place| place.line.contains(position)))
    {
        places.clear();
    }
    places
}

/// The headers of all arrays of tables among `keys` and below them.
fn headers_of_several(keys: &[Key], several: &mut Vec<&'static str>) {
    for key in keys {
        if let Presence::Table { header } = key.presence
            && header.starts_with("[[")
        {
            several.push(header);
        }
        headers_of_several(&key.keys, several);
    }
}
