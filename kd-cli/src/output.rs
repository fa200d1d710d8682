//! Output: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};

use kd_recipe::with_causes;
use kd_report::{Align, Table};
use serde::Serialize;

use crate::advice::advice;

/// A line of the result.
pub(crate) fn line(text: &str) {
    // The reader may have heard enough and gone, as `head` does; that is no failure.
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// The result as one object on the last line.
pub(crate) fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        line(&text);
    }
}

/// A remark beside the result, shown on a terminal and not to a pipe.
pub(crate) fn remark(text: &str) {
    if std::io::stderr().is_terminal() {
        notice(text);
    }
}

/// A notice beside the result, wherever standard error goes.
pub(crate) fn notice(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// An error, with its causes and with what can be done about it.
pub(crate) fn error(error: &kd_core::Error) {
    let advice = advice(error);
    notice(&format!("error: {}{advice}", with_causes(error)));
}

/// A table with aligned columns.
pub(crate) fn table(head: &[(&str, Align)], rows: &[Vec<String>]) {
    let titles: Vec<String> = head.iter().map(|(title, _)| (*title).to_owned()).collect();
    let sides: Vec<Align> = head.iter().map(|(_, side)| *side).collect();
    let widths = widths(rows.iter().chain([&titles]), head.len());
    // Columns without names have no head.
    if titles.iter().any(|title| !title.is_empty()) {
        let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        row(&titles, &sides, &widths);
        row(&rules, &sides, &widths);
    }
    for cells in rows {
        row(cells, &sides, &widths);
    }
}

/// A table of a library.
pub(crate) fn show(table: &Table) {
    let columns: Vec<(&str, Align)> = table.columns().collect();
    self::table(&columns, table.rows());
}

/// Names with their values, one a line.
pub(crate) fn list<Name: AsRef<str>>(width: usize, entries: &[(Name, String)]) {
    for (name, value) in entries {
        line(&format!("  {:<width$} {value}", name.as_ref()));
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

fn row(cells: &[String], sides: &[Align], widths: &[usize]) {
    let cells: Vec<String> = cells
        .iter()
        .zip(sides)
        .zip(widths)
        .map(|((cell, side), &width)| match side {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        })
        .collect();
    line(format!("  {}", cells.join("  ")).trim_end());
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
