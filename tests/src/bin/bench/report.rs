//! The figures, for people and for programs.

use serde_json::{Map, Value, json};

use crate::cells::{MANY, Row};
use crate::measure::{Figures, REPEAT, RUNS, median};
use crate::pair::Gain;
use crate::plane::Program;
use crate::targets::{Comparison, Target};

/// Everything as tables in Markdown.
pub(crate) fn tables(figures: &Figures, gains: &[Gain], comparisons: &[Comparison]) -> String {
    let mut text = String::from("| net ns per packet |");
    for program in Program::ALL {
        text += &format!(" {} |", program.name());
    }
    text += &format!("\n| --- |{}\n", " ---: |".repeat(Program::ALL.len()));
    for row in Row::all() {
        text += &format!("| {} |", row.name());
        for program in Program::ALL {
            let net = figures.net(row, program);
            text += &net.map_or_else(|| " |".to_owned(), |net| format!(" {net} |"));
        }
        text += "\n";
    }
    text += &format!(
        "\nThe flood of {} first segments left {} of {MANY} established connections.\n\n",
        // What filled the table, and the runs with what warms the caches.
        5 * (MANY / 2) + RUNS as u32 * (REPEAT + REPEAT / 10),
        figures.survivors
    );
    text += "| compared | is | should be | |\n| --- | ---: | --- | --- |\n";
    for comparison in comparisons {
        let target = match comparison.target {
            Target::AtMost(limit) => format!("≤ {limit}"),
            Target::AtLeast(limit) => format!("≥ {limit}"),
            Target::None => String::new(),
        };
        let met = match comparison.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        text += &format!(
            "| {} | {:.2} | {target} | {met} |\n",
            comparison.what, comparison.value
        );
    }
    text += "\n| two CPUs, gross ns per packet | one alone | each of two | gain |\n| --- | ---: | ---: | ---: |\n";
    for gain in gains {
        text += &format!(
            "| {}: {} | {} | {}, {} | {:.2} |\n",
            gain.program.name(),
            gain.row.name(),
            gain.alone,
            gain.both[0],
            gain.both[1],
            gain.gain
        );
    }
    text
}

/// Everything for programs.
pub(crate) fn json(machine: Value, figures: &Figures, gains: &[Gain], comparisons: &[Comparison]) -> Value {
    let of_row = |row: Row| {
        let programs: Map<String, Value> = (figures.figures.iter())
            .filter(|figure| figure.row == row)
            .map(|figure| {
                let value = json!({
                    "net_ns": figure.net(),
                    "gross_ns": median(&figure.runs),
                    "runs_gross_ns": figure.runs,
                    "overhead_ns": figure.overhead,
                });
                (figure.program.name().to_owned(), value)
            })
            .collect();
        json!({"row": row.name(), "programs": programs})
    };
    let comparisons = comparisons.iter().map(|comparison| {
        let (bound, limit) = match comparison.target {
            Target::AtMost(limit) => (Some("at_most"), Some(limit)),
            Target::AtLeast(limit) => (Some("at_least"), Some(limit)),
            Target::None => (None, None),
        };
        json!({
            "what": comparison.what,
            "value": rounded(comparison.value),
            "bound": bound,
            "limit": limit,
            "met": comparison.is_met(),
        })
    });
    let gains = gains.iter().map(|gain| {
        json!({
            "program": gain.program.name(),
            "row": gain.row.name(),
            "alone_gross_ns": gain.alone,
            "both_gross_ns": gain.both,
            "gain": rounded(gain.gain),
        })
    });
    let programs: Map<String, Value> = (Program::ALL.iter())
        .map(|program| (program.name().to_owned(), program.description().into()))
        .collect();
    json!({
        "machine": machine,
        "runs": RUNS,
        "packets_per_run": REPEAT,
        "programs": programs,
        "xdp_tx_alone_gross_ns": figures.alone,
        "rows": Row::all().map(of_row),
        "established_before_the_flood": MANY,
        "established_after_the_flood": figures.survivors,
        "comparisons": comparisons.collect::<Vec<_>>(),
        "two_cpus": gains.collect::<Vec<_>>(),
    })
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
