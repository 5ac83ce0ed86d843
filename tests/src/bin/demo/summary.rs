//! The table at the end: what the client saw.

use std::time::Duration;

use lab::Seen;

use crate::screen::{Screen, Style, spoken};

/// One step, as the client saw it.
#[derive(Debug)]
pub(crate) struct Row {
    /// What happened.
    step: &'static str,
    /// New connections, and those that failed.
    requests: (usize, usize),
    /// Datagrams, and those that were lost, where they were sent.
    datagrams: Option<(usize, usize)>,
    /// The longest time without an answer.
    longest_gap: Option<Duration>,
    /// How the connection that was there before fared: the longest wait, or nothing if it broke.
    established: Option<Option<Duration>>,
    /// ARP requests that two nodes answered.
    answered_by_two: Option<usize>,
}

impl Row {
    /// Of a step with requests only.
    pub(crate) const fn of_requests(step: &'static str, requests: usize, failed: usize) -> Self {
        Self {
            step,
            requests: (requests, failed),
            datagrams: None,
            longest_gap: None,
            established: None,
            answered_by_two: None,
        }
    }

    /// Of a step that all clients watched.
    pub(crate) fn of(step: &'static str, seen: &Seen) -> Self {
        Self {
            step,
            requests: (seen.load.requests, seen.load.failed()),
            datagrams: Some((seen.probe.sent, seen.probe.lost)),
            longest_gap: Some(seen.probe.longest_gap),
            established: Some(seen.session.ended.is_none().then_some(seen.session.slowest)),
            answered_by_two: Some(seen.arp.answered_by_two + seen.probe.answered_twice),
        }
    }

    fn cells(&self) -> [String; 8] {
        let dash = || "–".to_owned();
        [
            self.step.to_owned(),
            self.requests.0.to_string(),
            self.requests.1.to_string(),
            self.datagrams.map_or_else(dash, |(sent, _)| sent.to_string()),
            self.datagrams.map_or_else(dash, |(_, lost)| lost.to_string()),
            self.longest_gap.map_or_else(dash, spoken),
            self.established
                .map_or_else(dash, |slowest| slowest.map_or_else(|| "reset".to_owned(), spoken)),
            self.answered_by_two.map_or_else(dash, |count| count.to_string()),
        ]
    }
}

/// Prints the table.
pub(crate) fn print(screen: &mut Screen, rows: &[Row]) {
    let head = [
        "",
        "requests",
        "failed",
        "datagrams",
        "lost",
        "longest gap",
        "open connection",
        "answered by two",
    ];
    let cells: Vec<[String; 8]> = rows.iter().map(Row::cells).collect();
    let width = |column: usize| {
        cells
            .iter()
            .map(|row| row[column].chars().count())
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let line = |row: &[String; 8]| {
        let mut text = format!("   {:<1$}", row[0], width(0));
        for (column, cell) in row.iter().enumerate().skip(1) {
            text.push_str(&format!("  {cell:>0$}", width(column)));
        }
        text
    };
    screen.line("");
    let title = screen.paint(Style::Title, "What the client saw");
    screen.line(&title);
    screen.line("");
    let head = screen.paint(Style::Dim, &line(&head.map(str::to_owned)));
    screen.line(&head);
    for row in &cells {
        screen.line(&line(row));
    }
    screen.line("");
    for note in [
        "A datagram leaves every 10 ms: a gap of 20 ms is one period and a little. 'open connection' is the longest wait",
        "for an answer on a TCP connection opened before the step; 'reset': a director that takes over doesn't know the",
        "connections of the other, and says so at once rather than let them hang (a request on its way at that moment",
        "counts as failed). 'answered by two' counts the ARP requests and datagrams that two nodes answered: split brain,",
        "as one would see it on the wire.",
    ] {
        let note = screen.paint(Style::Dim, &format!("   {note}"));
        screen.line(&note);
    }
}
