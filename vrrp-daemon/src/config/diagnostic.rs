//! What is wrong with a configuration: what, where, why, and what to do about it.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// How much a [`Diagnostic`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but perhaps does not mean what its author thinks.
    Warning,
}

/// A piece of the configuration's text, and what it has to do with the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    span: Range<usize>,
    label: String,
}

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    primary: Mark,
    others: Vec<Mark>,
    notes: Vec<String>,
    help: Option<String>,
}

impl Diagnostic {
    /// An error: `message` says what is wrong, `label` why the text at `span` (in bytes) is.
    pub(super) fn error(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(Severity::Error, span, message.into(), label.into())
    }

    /// As [`Self::error`], for what can be lived with.
    pub(super) fn warning(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(Severity::Warning, span, message.into(), label.into())
    }

    const fn new(severity: Severity, span: Range<usize>, message: String, label: String) -> Self {
        Self {
            severity,
            message,
            primary: Mark { span, label },
            others: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Adds a second place that the problem needs to be understood.
    pub(super) fn beside(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.others.push(Mark {
            span,
            label: label.into(),
        });
        self
    }

    /// Adds the reason behind the rule.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets the remedy.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The bytes of the text that are wrong.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.primary.span.clone()
    }

    /// The problem for a person, over several lines: with file, line and column, the text underlined, the reason
    /// and the remedy.
    ///
    /// `text` is the text that was parsed and `path` what to call it; `colour` adds ANSI escapes.
    #[must_use]
    pub fn render(&self, path: &str, text: &str, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let window = self.window(text);
        let place = |mark: &Mark| {
            let span = within(text, &mark.span);
            span.start - window.start..span.end - window.start
        };
        let others = self.others.iter().map(|mark| {
            AnnotationKind::Context
                .span(place(mark))
                .label(mark.label.as_str())
        });
        let snippet = Snippet::source(&text[window.clone()])
            .line_start(text[..window.start].matches('\n').count() + 1)
            .path(path)
            .annotation(
                AnnotationKind::Primary
                    .span(place(&self.primary))
                    .label(self.primary.label.as_str()),
            )
            .annotations(others);
        let mut group: Group<'_> = level.primary_title(self.message.as_str()).element(snippet);
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// The lines of `text` from the first to the last that the problem concerns: the renderer looks at every byte
    /// that it is given, and a file may have thousands of problems.
    fn window(&self, text: &str) -> Range<usize> {
        let Range { mut start, mut end } = within(text, &self.primary.span);
        for other in &self.others {
            let other = within(text, &other.span);
            start = start.min(other.start);
            end = end.max(other.end);
        }
        let start = text[..start].rfind('\n').map_or(0, |feed| feed + 1);
        let end = text[end..].find('\n').map_or(text.len(), |feed| end + feed);
        start..end
    }
}

/// `span`, cut to `text` and to the borders of its characters: what is rendered may be another text than what was
/// parsed (a file that has just been edited), and must not take the daemon down.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let end = text.floor_char_boundary(span.end);
    text.floor_char_boundary(span.start).min(end)..end
}

/// All of `diagnostics` as one text, a blank line between two; empty for none. The parameters are those of
/// [`Diagnostic::render`].
#[must_use]
pub fn render(diagnostics: &[Diagnostic], path: &str, text: &str, colour: bool) -> String {
    let rendered: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.render(path, text, colour))
        .collect();
    rendered.join("\n\n")
}
