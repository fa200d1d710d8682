//! Tables that fit the terminal: columns are left out by importance, a last one of words is cut.

use std::borrow::Cow;

use console::Term;
use kd_report::{Align, Table};

use super::line;

/// The fewest letters that a column of words is cut to.
const LEAST: usize = 24;
/// The letters between two columns, and before the first.
const GAP: usize = 2;

/// A table with aligned columns; those on the right are left out first.
pub(crate) fn table(head: &[(&str, Align)], rows: &[Vec<String>]) {
    table_without(head, rows, &[]);
}

/// A table of which the columns `first` are left out first where it is too wide.
pub(crate) fn table_without(head: &[(&str, Align)], rows: &[Vec<String>], first: &[&str]) {
    within(head, rows, first, limit());
}

/// A table of sentences, of which nothing may be missing.
pub(crate) fn table_of_sentences(head: &[(&str, Align)], rows: &[Vec<String>]) {
    within(head, rows, &[], usize::MAX);
}

fn within(head: &[(&str, Align)], rows: &[Vec<String>], first: &[&str], limit: usize) {
    let titles: Vec<String> = head.iter().map(|(title, _)| (*title).to_owned()).collect();
    let widths = widths(rows.iter().chain([&titles]), head.len());
    let named = first
        .iter()
        .filter_map(|name| titles.iter().position(|title| title == name));
    let order: Vec<usize> = named.chain((1..head.len()).rev()).collect();
    let is_words = head.last().is_some_and(|(_, side)| *side == Align::Left);
    let fitted = fitted(&widths, limit, &order, is_words);
    let sides: Vec<Align> = fitted.iter().map(|(column, _)| head[*column].1).collect();
    let row = |cells: &[String]| {
        let cells = fitted
            .iter()
            .map(|&(column, width)| cut(&cells[column], width));
        show_row(&cells.collect::<Vec<_>>(), &sides, &fitted);
    };
    // Columns without names have no head.
    if titles.iter().any(|title| !title.is_empty()) {
        let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        row(&titles);
        let rules = fitted
            .iter()
            .map(|&(column, width)| Cow::from(&rules[column][..width]));
        show_row(&rules.collect::<Vec<_>>(), &sides, &fitted);
    }
    for cells in rows {
        row(cells);
    }
}

/// A table of a library.
pub(crate) fn show(table: &Table) {
    let columns: Vec<(&str, Align)> = table.columns().collect();
    self::table(&columns, table.rows());
}

/// The letters that a line of a terminal has; no limit elsewhere.
fn limit() -> usize {
    let term = Term::stdout();
    if term.is_term() {
        usize::from(term.size().1).max(LEAST)
    } else {
        usize::MAX
    }
}

/// The columns that are shown and their widths; `order` is that in which they are left out.
fn fitted(widths: &[usize], limit: usize, order: &[usize], is_words: bool) -> Vec<(usize, usize)> {
    let mut shown: Vec<(usize, usize)> = widths.iter().copied().enumerate().collect();
    let mut order = order.iter();
    loop {
        let needed: usize = shown.iter().map(|(_, width)| width + GAP).sum();
        let over = needed.saturating_sub(limit);
        let last = widths.len().saturating_sub(1);
        match shown.last_mut() {
            _ if over == 0 => return shown,
            Some((column, width)) if is_words && *column == last && *width >= LEAST + over => {
                *width -= over;
                return shown;
            }
            _ => {}
        }
        match order.next() {
            Some(next) if shown.len() > 1 => shown.retain(|(column, _)| column != next),
            _ => return shown,
        }
    }
}

/// The cell, cut to so many letters.
fn cut(cell: &str, width: usize) -> Cow<'_, str> {
    if cell.chars().count() <= width {
        return Cow::from(cell);
    }
    let kept: String = cell.chars().take(width.saturating_sub(3)).collect();
    Cow::from(format!("{}...", kept.trim_end()))
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

fn show_row(cells: &[Cow<'_, str>], sides: &[Align], widths: &[(usize, usize)]) {
    let cells: Vec<String> = cells
        .iter()
        .zip(sides)
        .zip(widths)
        .map(|((cell, side), &(_, width))| match side {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        })
        .collect();
    line(format!("  {}", cells.join("  ")).trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_by_importance() {
        let all = [(0, 10), (1, 10), (2, 10)];
        assert_eq!(fitted(&[10, 10, 10], 80, &[1, 2], false), all);
        assert_eq!(fitted(&[10, 10, 10], 36, &[1, 2], false), all);
        assert_eq!(
            fitted(&[10, 10, 10], 35, &[1, 2], false),
            [(0, 10), (2, 10)]
        );
        assert_eq!(fitted(&[10, 10, 10], 5, &[1, 2], false), [(0, 10)]);
    }

    #[test]
    fn a_last_column_of_words_is_cut_before_others_go() {
        assert_eq!(fitted(&[10, 60], 50, &[1], true), [(0, 10), (1, 36)]);
        // Too little would be left of it.
        assert_eq!(fitted(&[40, 60], 60, &[1], true), [(0, 40)]);
        assert_eq!(cut("a longer text", 10), "a longe...");
        assert_eq!(cut("short", 10), "short");
    }
}
