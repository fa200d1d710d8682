//! Markdown tables.

use std::fmt;

use crate::{Error, Result};

/// On which side the cells of a column are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A Markdown table with footnotes; its source is aligned, so that it can be read as plain text.
///
/// `|`, `\`, `<` and line breaks in cells are escaped; other markup, such as `` `code` ``, is left as it is.
///
/// # Examples
///
/// ```
/// use kd_report::{Align, Table};
///
/// let mut table = Table::new([("method", Align::Left), ("accuracy", Align::Right)]);
/// let best = table.note("best epoch: 85.10 (epoch 17)");
/// table.row(["kd", &format!("84.32 ± 1.01{best}")])?;
/// assert_eq!(
///     table.to_string(),
///     "| method |      accuracy |\n\
///      |:-------|--------------:|\n\
///      | kd     | 84.32 ± 1.01¹ |\n\
///      \n\
///      ¹ best epoch: 85.10 (epoch 17)\n"
/// );
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    head: Vec<String>,
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// A table with these columns and no row.
    pub fn new<Name: AsRef<str>>(columns: impl IntoIterator<Item = (Name, Align)>) -> Self {
        let (head, align) = columns
            .into_iter()
            .map(|(name, align)| (name.as_ref().to_owned(), align))
            .unzip();
        Self {
            head,
            align,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if it has not one cell for each column.
    pub fn row<Cell: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = Cell>) -> Result<()> {
        let cells: Vec<String> = cells
            .into_iter()
            .map(|cell| cell.as_ref().to_owned())
            .collect();
        if cells.len() != self.head.len() {
            return Err(Error::Length {
                what: format!("table with the columns {}", self.head.join(", ")),
                expected: self.head.len(),
                found: cells.len(),
                remedy: "give one cell for each column".into(),
            });
        }
        self.rows.push(cells);
        Ok(())
    }

    /// Adds a footnote and gives its mark, to be put behind a cell's text; equal footnotes share one.
    pub fn note(&mut self, text: impl Into<String>) -> String {
        let text = text.into().replace(['\r', '\n'], " ");
        let place = self.notes.iter().position(|note| *note == text);
        let place = place.unwrap_or_else(|| {
            self.notes.push(text);
            self.notes.len() - 1
        });
        superscript(place + 1)
    }

    /// The columns: the name of each, and its side.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Align)> {
        let names = self.head.iter().map(String::as_str);
        names.zip(self.align.iter().copied())
    }

    /// The rows: a cell for each column, as it was given.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The footnotes, each with its mark.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (String, &str)> {
        let numbered = self.notes.iter().enumerate();
        numbered.map(|(index, note)| (superscript(index + 1), note.as_str()))
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
        for ((cell, align), &width) in cells.iter().zip(&self.align).zip(widths) {
            match align {
                Align::Left => write!(f, "| {cell:<width$} ")?,
                Align::Right => write!(f, "| {cell:>width$} ")?,
            }
        }
        writeln!(f, "|")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |cells: &Vec<String>| cells.iter().map(|cell| escape(cell)).collect();
        let head: Vec<String> = escaped(&self.head);
        let rows: Vec<Vec<String>> = self.rows.iter().map(escaped).collect();
        let width = |column: usize| {
            let cells = rows.iter().chain([&head]);
            cells.map(|row| row[column].chars().count()).max()
        };
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| width(column).unwrap_or(0).max(1))
            .collect();
        self.line(f, &head, &widths)?;
        for (align, &width) in self.align.iter().zip(&widths) {
            match align {
                Align::Left => write!(f, "|:{}", "-".repeat(width + 1))?,
                Align::Right => write!(f, "|{}:", "-".repeat(width + 1))?,
            }
        }
        writeln!(f, "|")?;
        for row in &rows {
            self.line(f, row, &widths)?;
        }
        for (mark, note) in self.notes() {
            // Without an empty line between them Markdown would run the notes together.
            write!(f, "\n{mark} {note}\n")?;
        }
        Ok(())
    }
}

fn escape(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    for character in cell.trim().chars() {
        match character {
            '|' | '\\' => out.extend(['\\', character]),
            '<' => out.push_str("&lt;"),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

fn superscript(number: usize) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = number.to_string();
    let digit = |digit: char| digit.to_digit(10).map(|digit| DIGITS[digit as usize]);
    digits.chars().filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_table_is_escaped() {
        let mut table = Table::new([("a|b", Align::Left)]);
        table.row(["x\\|<i>\n y"]).unwrap();
        assert_eq!(
            table.to_string(),
            "| a\\|b           |\n|:---------------|\n| x\\\\\\|&lt;i>  y |\n"
        );
    }

    #[test]
    fn a_row_must_fit_the_columns() {
        let mut table = Table::new([("a", Align::Left), ("b", Align::Right)]);
        assert_eq!(
            table.row(["1"]).unwrap_err().to_string(),
            "table with the columns a, b: expected 2 entries, got 1; give one cell for each column"
        );
        assert!(table.is_empty());
    }

    #[test]
    fn equal_notes_share_a_mark() {
        let mut table = Table::new([("a", Align::Left)]);
        assert_eq!(table.note("one"), "¹");
        assert_eq!(table.note("two"), "²");
        assert_eq!(table.note("one"), "¹");
        for note in 3..12 {
            table.note(note.to_string());
        }
        assert_eq!(table.note("twelve"), "¹²");
    }
}
