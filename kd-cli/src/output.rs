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
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widths = cells
            .chain(titles.get(column))
            .map(|cell| cell.chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let show = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .zip(head)
            .zip(&widths)
            .map(|((cell, (_, side)), &width)| match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            })
            .collect();
        line(format!("  {}", cells.join("  ")).trim_end());
    };
    show(&titles);
    show(
        &widths
            .iter()
            .map(|&width| "-".repeat(width))
            .collect::<Vec<_>>(),
    );
    for row in rows {
        show(row);
    }
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

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
