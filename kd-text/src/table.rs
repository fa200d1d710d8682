//! Tables of labelled texts: tab-separated, or CSV, with a line of column names.

use std::path::{Path, PathBuf};

use kd_core::{Result, Split};

use crate::lines::{input, read_text};
use crate::settings::TextSettings;

/// Texts with the names of their classes.
#[derive(Debug)]
pub(crate) struct Labelled {
    /// The file, or the folder, that they were read from.
    pub(crate) path: PathBuf,
    pub(crate) texts: Vec<String>,
    /// The label of each text, and the line that it stands in, or 0.
    pub(crate) labels: Vec<(String, usize)>,
}

/// The endings of tables.
const ENDINGS: [&str; 4] = ["tsv", "tsv.gz", "csv", "csv.gz"];

/// The names that the files and folders of a split may have.
pub(crate) fn split_names(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &["train"],
        Split::Validation => &["validation", "valid", "val", "dev"],
        Split::Test => &["test"],
    }
}

/// The table of a split in a folder, if there is one.
pub(crate) fn find_table(folder: &Path, split: Split) -> Option<PathBuf> {
    let names = split_names(split).iter();
    let mut files =
        names.flat_map(|name| ENDINGS.map(|ending| folder.join(format!("{name}.{ending}"))));
    files.find(|file| file.is_file())
}

/// Whether a file is called as a table is.
pub(crate) fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().to_lowercase();
    ENDINGS
        .iter()
        .any(|ending| name.ends_with(&format!(".{ending}")))
}

/// Reads a table: CSV by its ending, else tab-separated.
pub(crate) fn read_table(path: &Path, settings: &TextSettings) -> Result<Labelled> {
    let text = read_text(path)?;
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let ending = name.trim_end_matches(".gz").rsplit('.').next();
    let rows = if ending == Some("csv") {
        csv_rows(path, &text, settings)?
    } else {
        tab_rows(path, &text, settings)?
    };
    let mut labelled = Labelled {
        path: path.to_owned(),
        texts: Vec::new(),
        labels: Vec::new(),
    };
    for (line, label, text) in rows {
        for (what, value, column) in [
            ("label", &label, settings.label_column()),
            ("text", &text, settings.text_column()),
        ] {
            if value.trim().is_empty() {
                let problem = format!(
                    "has no {what} in line {line} (column `{column}`); fill it in, or remove the line"
                );
                return Err(input(path, problem));
            }
        }
        labelled.labels.push((label.trim().to_owned(), line));
        labelled.texts.push(text);
    }
    if labelled.texts.is_empty() {
        return Err(input(
            path,
            "has no line below the column names; add the texts",
        ));
    }
    Ok(labelled)
}

/// A line number, a label and a text.
type Row = (usize, String, String);

/// The rows of a tab-separated file, in which nothing is quoted.
fn tab_rows(path: &Path, text: &str, settings: &TextSettings) -> Result<Vec<Row>> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let fields = |line: &str| -> Vec<String> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\t').map(str::to_owned).collect()
    };
    let header = fields(lines.first().copied().unwrap_or_default());
    let [label, words] = columns(path, &header, settings)?;
    let mut rows = Vec::with_capacity(lines.len());
    for (number, line) in (1..).zip(&lines).skip(1) {
        let mut found = fields(line);
        if line.trim().is_empty() {
            let problem = format!("has an empty line, line {number}; remove it");
            return Err(input(path, problem));
        }
        check_fields(path, number, found.len(), header.len())?;
        let take = |found: &mut Vec<String>, at: usize| std::mem::take(&mut found[at]);
        rows.push((number, take(&mut found, label), take(&mut found, words)));
    }
    Ok(rows)
}

/// The rows of a CSV file, in which quoted fields may go over several lines.
fn csv_rows(path: &Path, text: &str, settings: &TextSettings) -> Result<Vec<Row>> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let failed = |error: csv::Error| input(path, format!("is no CSV: {error}"));
    let header: Vec<String> = reader
        .headers()
        .map_err(failed)?
        .iter()
        .map(str::to_owned)
        .collect();
    let [label, words] = columns(path, &header, settings)?;
    let mut rows = Vec::new();
    for record in reader.into_records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, csv::Position::line);
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        check_fields(path, line, record.len(), header.len())?;
        let field = |at: usize| record.get(at).unwrap_or_default().to_owned();
        rows.push((line, field(label), field(words)));
    }
    Ok(rows)
}

/// The places of the columns of label and text.
fn columns(path: &Path, header: &[String], settings: &TextSettings) -> Result<[usize; 2]> {
    let place = |setting: &str, name: &str| {
        let found = header.iter().position(|column| column.trim() == name);
        found.ok_or_else(|| {
            let shown: Vec<String> = header.iter().map(|column| shortened(column)).collect();
            let problem = format!(
                "has no column `{name}` in its first line, which is {}; the first line must name the \
                 columns: add it, or say which column it is by `data.text.{setting}`",
                shown.join(", ")
            );
            input(path, problem)
        })
    };
    let label = place("label_column", settings.label_column())?;
    Ok([label, place("text_column", settings.text_column())?])
}

/// A column name for an error.
fn shortened(column: &str) -> String {
    const SHOWN: usize = 30;
    let more = if column.chars().count() > SHOWN {
        "..."
    } else {
        ""
    };
    format!("`{}{more}`", column.chars().take(SHOWN).collect::<String>())
}

fn check_fields(path: &Path, line: usize, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let problem = format!(
        "has {found} columns in line {line} and {expected} in its first line; quote the field in a CSV, or \
         replace the tab in the text"
    );
    Err(input(path, problem))
}
