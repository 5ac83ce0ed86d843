//! Reads tables of TOML key by key and goes on after an error, so that all problems are found at once.
//!
//! serde would stop at the first. Here a reader is a function from a spanned value to a result, and whatever it
//! finds wrong goes to [`Problems`]; what is left in the code is only [`Reported`]: no value, but somebody was told.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity};
use super::suggest;

/// A value of the file with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// There is no value, and a diagnostic says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// What was read from one key, and where it stands; for a key that is not there but has a default, the place of
/// the table.
pub(super) type Field<T> = Result<Spanned<T>, Reported>;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    diagnostics: Vec<Diagnostic>,
    /// Where the file's structure was lost to a syntax error: what follows was guessed by the parser, and is not
    /// reported.
    trusted_until: Option<usize>,
    /// The text has syntax errors: a key that seems missing may stand in what could not be read.
    incomplete: bool,
}

impl Problems {
    /// No problems beyond the syntax errors that the parser has found, of which it had to guess the text from
    /// `trusted_until` on.
    pub(super) const fn new(syntax: Vec<Diagnostic>, trusted_until: Option<usize>) -> Self {
        Self {
            incomplete: !syntax.is_empty(),
            diagnostics: syntax,
            trusted_until,
        }
    }

    /// Takes note of a problem.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        let guessed = self
            .trusted_until
            .is_some_and(|position| diagnostic.span().start >= position);
        if !guessed {
            self.diagnostics.push(diagnostic);
        }
        Reported
    }

    /// Takes note of a key that is not there, unless it may be.
    fn report_missing(&mut self, diagnostic: Diagnostic) -> Reported {
        if self.incomplete {
            Reported
        } else {
            self.report(diagnostic)
        }
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
    problems: &'a mut Problems,
}

impl<'a, 'i> Section<'a, 'i> {
    /// Starts to read `table`, which is known to people as `name` and stands at `span` (of a table with a header,
    /// the header).
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
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self::new(table, value.span(), name, problems)),
            other => {
                let diagnostic = Diagnostic::error(
                    value.span(),
                    format!("`{name}` must be a table"),
                    format!("this is {}", kind(other)),
                );
                Err(problems.report(diagnostic.help(format!("write it as `{example}`"))))
            }
        }
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

    /// Reads `key`, which has the value `default` if it is not there.
    pub(super) fn defaulted<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'i>, &mut Problems) -> Result<T, Reported>,
    ) -> Field<T> {
        Ok(self
            .optional(key, read)?
            .unwrap_or_else(|| Spanned::new(self.span(), default)))
    }

    /// Reads `key`, which must be there; `example` is a value that it might have, as TOML.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Value<'i>, &mut Problems) -> Result<T, Reported>,
    ) -> Field<T> {
        if let Some(value) = self.optional(key, read)? {
            return Ok(value);
        }
        let diagnostic = Diagnostic::error(
            self.span(),
            format!("`{}` lacks `{key}`", self.name),
            format!("has no `{key}`"),
        );
        Err(self
            .problems
            .report_missing(diagnostic.help(format!("add `{key} = {example}`"))))
    }

    /// Reads the tables `[[key]]`; `header` shows how their headers are written. None is fine.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        header: &str,
        mut read: impl FnMut(&Value<'i>, &mut Problems) -> Result<T, Reported>,
    ) -> Vec<Result<T, Reported>> {
        let tables = self.optional(key, |value, problems| match value.get_ref() {
            DeValue::Array(values) => Ok(values.iter().map(|value| read(value, problems)).collect()),
            other => {
                let diagnostic = Diagnostic::error(
                    value.span(),
                    format!("each `{key}` needs a header in double brackets, as there may be several"),
                    format!("this is {}", kind(other)),
                );
                Err(problems.report(diagnostic.help(format!("write `{header}`"))))
            }
        });
        match tables {
            Ok(tables) => tables.map_or_else(Vec::new, Spanned::into_inner),
            Err(reported) => vec![Err(reported)],
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn close(self) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let diagnostic = Diagnostic::error(
                key.span(),
                format!("`{}` has no key `{}`", self.name, name.escape_debug()),
                "unknown key",
            );
            let diagnostic = match suggest::closest(name, &self.known) {
                Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
                None => diagnostic.help(format!("its keys are {}", suggest::list(&self.known))),
            };
            self.problems.report(diagnostic);
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
