//! How the demo speaks: steps, sentences, lines that move where there is a terminal, and plain ones where there is
//! none.

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// How wide sentences are.
const WIDTH: usize = 92;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    colour: bool,
    step: usize,
    moving: usize,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    /// A heading.
    Title,
    /// Something went as it should.
    Good,
    /// Something went wrong on purpose.
    Bad,
    /// An explanation.
    Dim,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            terminal,
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            step: 0,
            moving: 0,
        }
    }

    /// `text` in a style.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Title => "1;36",
            Style::Good => "32",
            Style::Bad => "1;31",
            Style::Dim => "2",
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Prints a line for good, below whatever stood.
    pub(crate) fn line(&mut self, text: &str) {
        self.moving = 0;
        println!("{text}");
    }

    /// Begins a step: a heading and what it is about.
    pub(crate) fn step(&mut self, title: &str, sentence: &str) {
        self.step += 1;
        let heading = self.paint(Style::Title, &format!("{}  {title}", self.step));
        self.line("");
        self.line(&heading);
        for line in wrapped(sentence) {
            let line = self.paint(Style::Dim, &format!("   {line}"));
            self.line(&line);
        }
    }

    /// Something that was seen to be so.
    pub(crate) fn fact(&mut self, style: Style, text: &str) {
        let mark = match style {
            Style::Good => "✓",
            Style::Bad => "✗",
            Style::Title | Style::Dim => "·",
        };
        let line = format!("   {} {text}", self.paint(style, mark));
        self.line(&line);
    }

    /// Shows lines that the next call replaces. Without a terminal nothing moves, and nothing is shown.
    pub(crate) fn moving(&mut self, lines: &[String]) {
        if !self.terminal {
            return;
        }
        self.erase();
        for line in lines {
            println!("{line}");
        }
        self.moving = lines.len();
        // A terminal that is gone ends the demo at its next line anyway.
        drop(std::io::stdout().flush());
    }

    /// Shows lines for good, in the place of those that moved.
    pub(crate) fn settle(&mut self, lines: &[String]) {
        self.erase();
        for line in lines {
            self.line(line);
        }
    }

    fn erase(&mut self) {
        if self.moving > 0 {
            print!("\x1b[{}A\x1b[J", self.moving);
            self.moving = 0;
        }
    }
}

/// `sentence` in lines of at most [`WIDTH`] characters.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split_whitespace() {
        let last = lines.last_mut().expect("there is one to begin with");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= WIDTH {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A bar of `count` out of `whole`, `width` characters wide when full.
pub(crate) fn bar(count: usize, whole: usize, width: usize) -> String {
    let eighths = (count * width * 8).checked_div(whole).unwrap_or(0);
    let mut bar = "█".repeat(eighths / 8);
    if let Some(rest) = ["▏", "▎", "▍", "▌", "▋", "▊", "▉"].get((eighths % 8).wrapping_sub(1)) {
        bar.push_str(rest);
    }
    let missing = width.saturating_sub(bar.chars().count());
    bar + &" ".repeat(missing)
}

/// A duration as a person says it.
pub(crate) fn spoken(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
