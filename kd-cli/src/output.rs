//! What a person reads: results on standard output, everything else on standard error.
use std::error::Error as _;
use std::io::{IsTerminal, Write};

use serde::Serialize;

/// A line of the result.
pub(crate) fn line(text: &str) {
    // Whoever reads may have heard enough and gone, as `head` does; that is no failure.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// The result as one object on the last line.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        line(&text);
    }
}

/// A remark beside the result, shown to a person and not to a pipe.
pub(crate) fn remark(text: &str) {
    if std::io::stderr().is_terminal() {
        notice(text);
    }
}

/// What a person must see wherever standard error goes.
pub(crate) fn notice(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// An error, with its causes where the text does not hold them yet.
pub(crate) fn error(error: &kd_core::Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    notice(&format!("error: {text}"));
}

/// On which side the cells of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table with aligned columns.
pub(crate) fn table(head: &[(&str, Side)], rows: &[Vec<String>]) {
    let titles: Vec<String> = head.iter().map(|(title, _)| (*title).to_owned()).collect();
    let widths = widths(rows.iter().chain([&titles]), head.len());
    let rules = widths.iter().map(|&width| "-".repeat(width)).collect();
    let sides: Vec<Side> = head.iter().map(|(_, side)| *side).collect();
    for cells in [&titles, &rules].into_iter().chain(rows) {
        row(cells, &sides, &widths);
    }
}

/// The same without a head.
pub(crate) fn rows(sides: &[Side], rows: &[Vec<String>]) {
    let widths = widths(rows.iter(), sides.len());
    for cells in rows {
        row(cells, sides, &widths);
    }
}

/// How wide each column is.
fn widths<'a>(rows: impl Iterator<Item = &'a Vec<String>>, columns: usize) -> Vec<usize> {
    let mut widths = vec![0; columns];
    for cells in rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn row(cells: &[String], sides: &[Side], widths: &[usize]) {
    let cells: Vec<String> = cells
        .iter()
        .zip(sides)
        .zip(widths)
        .map(|((cell, side), &width)| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        })
        .collect();
    line(format!("  {}", cells.join("  ")).trim_end());
}

/// A count with thousands set apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in bytes in the largest unit that keeps it above 1.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", units[unit])
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
