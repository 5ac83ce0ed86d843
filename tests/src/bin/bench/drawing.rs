//! The figures as a drawing: a bar for each row and program.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

const WIDTH: f64 = 860.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 250.0;
const LONGEST: f64 = 550.0;
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;
const TOP: f64 = 58.0;

/// Colours that people tell apart who see few (Okabe and Ito, "Color universal design", 2008).
const COLOURS: [(&str, &str); 5] = [
    ("F0", "#999999"),
    ("F1", "#56b4e9"),
    ("M", "#e69f00"),
    ("S", "#009e73"),
    ("lbd", "#0072b2"),
];

/// Draws what [`crate::report::json`] has written.
pub(crate) fn draw(report: &Value) -> Result<String> {
    let rows = report["rows"].as_array().context("no rows")?;
    let net = |row: &Value, program: &str| row["programs"][program]["net_ns"].as_f64();
    let programs = || COLOURS.iter().map(|(program, _)| *program);
    let all = rows
        .iter()
        .flat_map(|row| programs().filter_map(|program| net(row, program)));
    let scale = LONGEST / all.fold(1.0, f64::max);

    let mut bars = String::new();
    let mut y = TOP;
    for row in rows {
        let label = row["row"].as_str().context("a row without a name")?;
        let drawn = programs().filter(|program| net(row, program).is_some()).count() as f64;
        let middle = y + drawn * BAR / 2.0 + 4.0;
        writeln!(
            bars,
            r#"<text x="{}" y="{middle}" text-anchor="end">{label}</text>"#,
            LEFT - 8.0
        )?;
        for (program, colour) in COLOURS {
            let Some(nanoseconds) = net(row, program) else {
                continue;
            };
            let length = (nanoseconds * scale).max(1.0);
            writeln!(
                bars,
                r#"<rect x="{LEFT}" y="{y}" width="{length:.1}" height="{}" fill="{colour}"/>"#,
                BAR - 2.0
            )?;
            writeln!(
                bars,
                r#"<text x="{:.1}" y="{}">{nanoseconds}</text>"#,
                LEFT + length + 5.0,
                y + BAR - 3.5
            )?;
            y += BAR;
        }
        y += GAP;
    }

    let mut legend = String::new();
    let mut x = LEFT;
    for (program, colour) in COLOURS {
        writeln!(
            legend,
            r#"<rect x="{x}" y="32" width="11" height="11" fill="{colour}"/>"#
        )?;
        writeln!(legend, r#"<text x="{}" y="42">{program}</text>"#, x + 16.0)?;
        x += 70.0;
    }
    let machine = &report["machine"];
    let title = format!(
        "Net nanoseconds per packet in the XDP program ({}, Linux {}, {})",
        machine["cpu"].as_str().unwrap_or("?"),
        machine["kernel"].as_str().unwrap_or("?"),
        machine["date"].as_str().unwrap_or("?").get(..10).unwrap_or("?"),
    );
    Ok(format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" "#,
            r#"font-family="sans-serif" font-size="11">"#,
            "\n",
            r##"<rect width="100%" height="100%" fill="#ffffff"/>"##,
            "\n",
            r#"<text x="12" y="20" font-size="13">{title}</text>"#,
            "\n{legend}{bars}</svg>\n"
        ),
        width = WIDTH,
        height = y + GAP,
        title = title,
        legend = legend,
        bars = bars,
    ))
}
