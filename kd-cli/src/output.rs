//! Output: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use kd_recipe::with_causes;
use kd_report::{Align, Table};
use serde::Serialize;

use crate::advice::advice;

/// The first error of standard output.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// A line of the result.
pub(crate) fn line(text: &str) {
    keep(writeln!(std::io::stdout(), "{}", visible(text)));
}

/// Keeps an error of standard output for the end of the command.
fn keep(outcome: std::io::Result<()>) {
    // The reader may have heard enough and gone, as `head` does; that is no failure.
    if let Err(error) = outcome
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert(error);
    }
}

/// Writes out what is left of the result.
///
/// # Errors
///
/// [`Error::Io`](kd_core::Error::Io) if a part of it could not be written.
pub(crate) fn finish() -> kd_core::Result<()> {
    keep(std::io::stdout().flush());
    match LOST.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => Ok(()),
        Some(error) => Err(kd_core::Error::io("write", "standard output")(error)),
    }
}

/// The text with the characters that would steer a terminal in their written form: names of folders, tensors
/// and keys are others'.
fn visible(text: &str) -> Cow<'_, str> {
    let steers = |character: char| match character {
        '\n' | '\t' => false,
        // What changes the direction of writing hides what a name is.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
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
    drop(writeln!(std::io::stderr(), "{}", visible(text)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_steer_a_terminal_are_written_out() {
        assert_eq!(visible("a\tb\nc \u{e9}"), "a\tb\nc \u{e9}");
        assert_eq!(visible("\u{1b}[2Jx\r\u{7}"), "\\u{1b}[2Jx\\r\\u{7}");
        assert_eq!(visible("\u{9b}31m\u{202e}"), "\\u{9b}31m\\u{202e}");
    }
}
