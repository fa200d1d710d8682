//! Output: results on standard output, everything else on standard error.

pub(crate) mod settings;
mod table;
mod words;

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use self::settings::{coloured, settings};
pub(crate) use self::table::{show, table, table_of_sentences, table_without};
pub(crate) use self::words::{about, bytes, csv_field, quoted, quoted_path};
use crate::args::ProgressForm;

/// The first error of standard output.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// A line of the result.
pub(crate) fn line(text: &str) {
    if !settings().quiet {
        print(text);
    }
}

/// A line of data for other programs, which is the result however little is said.
pub(crate) fn data(text: &str) {
    print(text);
}

fn print(text: &str) {
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
        print(&text);
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
    match settings() {
        settings if settings.quiet => {}
        settings if settings.progress == ProgressForm::Json => {
            event(&json!({ "event": "notice", "text": text }));
        }
        _ => say(&coloured(&visible(text))),
    }
}

/// An event of progress for other programs: one object on a line of standard error.
pub(crate) fn event(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        say(&visible(&text));
    }
}

/// What can be done next, in one line: a command, as it can be typed.
pub(crate) fn next(command: &str) {
    if settings().hints {
        notice(&format!("next: {command}"));
    }
}

/// The error that the command ends with; as an object where the result would have been one.
pub(crate) fn failure(text: &str, kind: &str, exit_code: u8) {
    let settings = settings();
    if settings.json || settings.progress == ProgressForm::Json {
        event(&json!({ "error": text, "kind": kind, "exit_code": exit_code }));
    } else {
        say(&coloured(&visible(&format!("error: {text}"))));
    }
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Names with their values, one a line.
pub(crate) fn list<Name: AsRef<str>>(width: usize, entries: &[(Name, String)]) {
    for (name, value) in entries {
        line(format!("  {:<width$} {value}", name.as_ref()).trim_end());
    }
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
