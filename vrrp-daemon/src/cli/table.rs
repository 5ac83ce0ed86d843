//! Tables for people: aligned columns, no frames, colour where it says something.

/// What the colour of a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing.
    Plain,
    /// As it should be.
    Good,
    /// Neither working nor broken, or on the way from one to the other.
    Waiting,
    /// Broken.
    Bad,
}

impl Tone {
    /// The ANSI escape (ECMA-48, SGR) that begins it.
    const fn escape(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("\x1b[32m"),
            Self::Waiting => Some("\x1b[33m"),
            Self::Bad => Some("\x1b[31m"),
        }
    }
}

/// On which side a column's cells are flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A field of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in colour.
    pub(super) const fn toned(text: String, tone: Tone) -> Self {
        Self { text, tone }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self {
            text: value.to_string(),
            tone: Tone::Plain,
        }
    }
}

/// A heading and rows of as many cells as it has columns.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    heading: [(&'static str, Align); COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub(super) const fn new(heading: [(&'static str, Align); COLUMNS]) -> Self {
        Self {
            heading,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [Cell; COLUMNS]) {
        self.rows.push(cells);
    }

    /// The table as lines, each with its line feed and nothing between the last word and that.
    pub(super) fn render(&self, colour: bool) -> String {
        let heading = self.heading.map(|(title, _)| Cell::from(title));
        let mut widths = [0; COLUMNS];
        for row in std::iter::once(&heading).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(widths).zip(self.heading) {
                let padding = " ".repeat(width - cell.text.chars().count());
                let (before, after) = match align {
                    Align::Left => ("", padding.as_str()),
                    Align::Right => (padding.as_str(), ""),
                };
                let (begin, end) = match cell.tone.escape() {
                    Some(escape) if colour => (escape, "\x1b[0m"),
                    _ => ("", ""),
                };
                for part in [before, begin, &cell.text, end, after, "  "] {
                    line.push_str(part);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}
