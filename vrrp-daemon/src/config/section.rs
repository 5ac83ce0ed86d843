//! Reads tables of TOML key by key and goes on after an error, so that all problems are found at once.
//!
//! serde would stop at the first. Here a reader is a function from a spanned value to a result, and whatever it
//! finds wrong goes to [`Problems`]; what is left in the code is only [`Reported`]: no value, but somebody was told.

use std::cell::LazyCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity};
use super::keepalived::{self, Meaning};
use super::key::Key;
use super::suggest;
use super::syntax::SyntaxErrors;

/// A value of the file with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// There is no value, and a diagnostic says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// What was read from one key, and where it stands; for a key that is not there but has a default, the place of
/// the table.
pub(super) type Field<T> = Result<Spanned<T>, Reported>;

/// The problems found so far.
#[derive(Debug)]
pub(super) struct Problems {
    diagnostics: Vec<Diagnostic>,
    /// All keys that a file can have.
    vocabulary: LazyCell<Vec<Key>>,
    /// Where the file's structure was lost to a syntax error: what follows was guessed by the parser, and is not
    /// reported.
    trusted_until: Option<usize>,
    /// The lines with syntax errors, as ranges of bytes. What the parser made of the rest of such a line, or a key
    /// that seems missing, is not reported.
    damaged: Vec<Range<usize>>,
}

impl Problems {
    /// What the parser has found in a file that can have the keys of `vocabulary`.
    pub(super) fn new(syntax: SyntaxErrors, vocabulary: fn() -> Vec<Key>) -> Self {
        Self {
            diagnostics: syntax.diagnostics,
            vocabulary: LazyCell::new(vocabulary),
            trusted_until: syntax.trusted_until,
            damaged: syntax.damaged,
        }
    }

    /// Takes note of a problem.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        if self.can_trust(diagnostic.span().start) {
            self.diagnostics.push(diagnostic);
        }
        Reported
    }

    /// Whether what the parser made of the text at `position` is what its author meant.
    pub(super) fn can_trust(&self, position: usize) -> bool {
        self.trusted_until.is_none_or(|until| position < until)
            && !self.damaged.iter().any(|line| line.contains(&position))
    }

    /// Whether anything makes the configuration unusable.
    pub(super) fn any_error(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity() == Severity::Error)
    }

    /// All problems in the order of the text.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.span().start);
        self.diagnostics
    }
}

/// A table that is being read. Its known keys are those that were asked for.
pub(super) struct Section<'a, 'i> {
    table: &'a DeTable<'i>,
    span: Range<usize>,
    name: &'static str,
    known: Vec<&'static str>,
    /// The keys that must be there and are not, with an example of each.
    missing: Vec<(&'static str, String)>,
    problems: &'a mut Problems,
}

impl<'a, 'i> Section<'a, 'i> {
    /// Starts to read `table`, which is known to people as `name` (empty for the whole file) and stands at
    /// `span` (of a table with a header, the header).
    pub(super) const fn new(
        table: &'a DeTable<'i>,
        span: Range<usize>,
        name: &'static str,
        problems: &'a mut Problems,
    ) -> Self {
        Self {
            table,
            span,
            name,
            known: Vec::new(),
            missing: Vec::new(),
            problems,
        }
    }

    /// Starts to read `value` if it is a table; `example` shows how to write one.
    pub(super) fn open(
        value: &'a Value<'i>,
        name: &'static str,
        example: &str,
        problems: &'a mut Problems,
    ) -> Result<Self, Reported> {
        if let DeValue::Table(table) = value.get_ref() {
            return Ok(Self::new(table, value.span(), name, problems));
        }
        let message = format!("`{name}` must be a table");
        let label = format!("this is {}", kind(value.get_ref()));
        let diagnostic = Diagnostic::error(value.span(), message, label);
        Err(problems.report(diagnostic.help(format!("write it as `{example}`"))))
    }

    /// Where the table stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Where further problems of this table go.
    pub(super) const fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// Reads `key` if it is there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'i>, &mut Problems) -> Result<T, Reported>,
    ) -> Result<Option<Spanned<T>>, Reported> {
        self.known.push(key);
        self.table
            .get(key)
            .map(|value| Ok(Spanned::new(value.span(), read(value, self.problems)?)))
            .transpose()
    }

    /// Reads `key`, which must be there, or [`Self::close`] reports it; `example` is a value that it might have, as
    /// TOML.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Value<'i>, &mut Problems) -> Result<T, Reported>,
    ) -> Field<T> {
        if let Some(value) = self.optional(key, read)? {
            return Ok(value);
        }
        self.missing.push((key, format!("`{key} = {example}`")));
        Err(Reported)
    }

    /// Reads `key`, which must be there, or [`Self::close`] reports it, unless the key `other` is.
    pub(super) fn required_unless<T>(
        &mut self,
        key: &'static str,
        other: &str,
        example: &str,
        read: impl FnOnce(&Value<'i>, &mut Problems) -> Result<T, Reported>,
    ) -> Result<Option<Spanned<T>>, Reported> {
        if self.table.contains_key(other) {
            return self.optional(key, read);
        }
        self.required(key, example, read).map(Some)
    }

    /// Reads the tables `[[key]]`; `header` shows how their headers are written. None is fine.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        header: &str,
        mut read: impl FnMut(&Value<'i>, &mut Problems) -> Result<T, Reported>,
    ) -> Vec<Result<T, Reported>> {
        let tables = self.optional(key, |value, problems| {
            if let DeValue::Array(values) = value.get_ref() {
                return Ok(values.iter().map(|value| read(value, problems)).collect());
            }
            let message = format!("each `{key}` needs a header in double brackets, as there may be several");
            let label = format!("this is {}", kind(value.get_ref()));
            let diagnostic = Diagnostic::error(value.span(), message, label);
            Err(problems.report(diagnostic.help(format!("write `{header}`"))))
        });
        match tables {
            Ok(tables) => tables.map_or_else(Vec::new, Spanned::into_inner),
            Err(reported) => vec![Err(reported)],
        }
    }

    /// Reports the keys that nobody asked for, and those that are missing, unless one of the former was meant to be
    /// it. Returns where further problems go.
    pub(super) fn close(mut self) -> &'a mut Problems {
        let absent: Vec<&str> = self
            .known
            .iter()
            .copied()
            .filter(|key| !self.table.contains_key(*key))
            .collect();
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let diagnostic = self.unknown_key(name, key.span(), &absent);
            self.problems.report(diagnostic);
        }
        // What could not be read may be what is missing.
        if self.missing.is_empty() || !self.problems.damaged.is_empty() {
            return self.problems;
        }
        let (keys, examples): (Vec<&str>, Vec<String>) = self.missing.iter().cloned().unzip();
        let keys = suggest::list(&keys, "and");
        let message = format!("{} lacks {keys}", self.title());
        let diagnostic = Diagnostic::error(
            self.span(),
            message,
            format!("has no {}", keys.replace(" and ", " or ")),
        );
        self.problems
            .report(diagnostic.help(format!("for example {}", examples.join(", "))));
        self.problems
    }

    /// What there is to say about the key `name`, which the table does not have; `absent` are those of its keys that
    /// are not there.
    fn unknown_key(&mut self, name: &str, span: Range<usize>, absent: &[&'static str]) -> Diagnostic {
        let message = format!("{} has no key `{}`", self.title(), name.escape_debug());
        let foreign = keepalived::meaning(name);
        if let Some(Meaning::Other(help)) = foreign {
            return Diagnostic::error(span, message, "Keepalived's word").help(help);
        }
        let closest = suggest::closest(name, absent).or_else(|| suggest::closest(name, &self.known));
        let is_missing = |meant: &str| self.missing.iter().any(|(missing, _)| *missing == meant);
        let place = suggest::place(name, &self.problems.vocabulary);
        let unknown = |span, message| Diagnostic::error(span, message, "unknown key");
        match (closest, place, foreign) {
            (Some(meant), place, _) if place.is_none() || is_missing(meant) => {
                self.missing.retain(|(missing, _)| *missing != meant);
                unknown(span, message).help(format!("did you mean `{meant}`?"))
            }
            (_, Some(place), _) => unknown(span, message).help(place),
            (_, None, Some(_)) => {
                let label = "a word of Keepalived that this version of lbd does not know";
                Diagnostic::error(span, message, label)
            }
            (_, None, None) => {
                let keys = suggest::list(&self.known, "and");
                unknown(span, message).help(format!("its keys are {keys}"))
            }
        }
    }

    /// What people call the table.
    fn title(&self) -> String {
        if self.name.is_empty() {
            "the configuration".to_owned()
        } else {
            format!("`{}`", self.name)
        }
    }
}

/// What `value` is, for people.
pub(super) const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a floating-point number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
