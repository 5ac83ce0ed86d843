//! Tables for people: aligned columns, no frames, colour where it says something, in eighty columns.

/// The columns of a terminal that everything fits in.
const WIDTH: usize = 80;

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

impl Cell {
    /// The text, in its colour if there is any.
    pub(super) fn render(&self, colour: bool) -> String {
        match self.tone.escape() {
            Some(escape) if colour => format!("{escape}{}\x1b[0m", self.text),
            _ => self.text.clone(),
        }
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

/// A row, and what is said of it below.
#[derive(Debug)]
struct Row<const COLUMNS: usize> {
    cells: [Cell; COLUMNS],
    details: Vec<Cell>,
}

/// A heading and rows of as many cells as it has columns.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    heading: [(&'static str, Align); COLUMNS],
    rows: Vec<Row<COLUMNS>>,
    /// What is longer in the first column has a line of its own.
    longest: usize,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows. What is longer than `longest` in the first column has a line of its own.
    pub(super) const fn new(heading: [(&'static str, Align); COLUMNS], longest: usize) -> Self {
        Self {
            heading,
            rows: Vec::new(),
            longest,
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [Cell; COLUMNS]) {
        self.rows.push(Row {
            cells,
            details: Vec::new(),
        });
    }

    /// Says something about the last row, below it.
    pub(super) fn detail(&mut self, text: String, tone: Tone) {
        if let Some(row) = self.rows.last_mut() {
            row.details.push(Cell::toned(text, tone));
        }
    }

    /// The table as lines, each with its line feed and nothing between the last word and that.
    pub(super) fn render(&self, colour: bool) -> String {
        let heading = self.heading.map(|(title, _)| Cell::from(title));
        let mut widths = [0; COLUMNS];
        for cells in std::iter::once(&heading).chain(self.rows.iter().map(|row| &row.cells)) {
            for (column, (width, cell)) in widths.iter_mut().zip(cells).enumerate() {
                let length = cell.text.chars().count();
                if column > 0 || length <= self.longest {
                    *width = (*width).max(length);
                }
            }
        }
        let mut text = self.line(&heading, &widths, colour);
        for row in &self.rows {
            text += &self.line(&row.cells, &widths, colour);
            for detail in &row.details {
                for line in wrap(&detail.text, "    ", "      ").lines() {
                    let words = line.trim_start();
                    text += &line[..line.len() - words.len()];
                    text += &Cell::toned(words.to_owned(), detail.tone).render(colour);
                    text.push('\n');
                }
            }
        }
        text
    }

    fn line(&self, cells: &[Cell; COLUMNS], widths: &[usize; COLUMNS], colour: bool) -> String {
        let mut line = String::new();
        for (column, ((cell, width), (_, align))) in cells.iter().zip(widths).zip(self.heading).enumerate() {
            let length = cell.text.chars().count();
            if column == 0 && length > *width {
                line += &cell.render(colour);
                line += "\n";
                line += &" ".repeat(*width);
            } else {
                let padding = " ".repeat(width - length);
                let (before, after) = match align {
                    Align::Left => ("", padding.as_str()),
                    Align::Right => (padding.as_str(), ""),
                };
                line += before;
                line += &cell.render(colour);
                line += after;
            }
            line += "  ";
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// `text` in lines that fit, broken between words: the first begins with `first`, the others with `next`.
pub(super) fn wrap(text: &str, first: &str, next: &str) -> String {
    let mut wrapped = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            wrapped += &line;
            wrapped.push('\n');
            next.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    wrapped += &line;
    wrapped.push('\n');
    wrapped
}
