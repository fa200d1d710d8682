//! Notices of the libraries, as lines on standard error.

use kd_recipe::{Notice, Notices};

use crate::output::{self, quoted_path};

/// Prints every notice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printed;

/// Prints every notice but the notes: of recipes that the user has not written, and cannot change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WithoutNotes;

impl Notices for WithoutNotes {
    fn take(&self, notice: &Notice) {
        if !matches!(notice, Notice::Note(_)) {
            Printed.take(notice);
        }
    }
}

impl Notices for Printed {
    fn take(&self, notice: &Notice) {
        output::notice(&match notice {
            Notice::Note(text) => format!("note: {text}"),
            Notice::Finding(finding) => format!("{}: {}", finding.grade.word(), finding.text),
            Notice::EventsEnded(error) => format!("TensorBoard's log has ended early: {error}"),
            Notice::NoReport { run, error } => {
                let run = quoted_path(run);
                format!("the report was not written: {error}; `kd report {run}` makes it again")
            }
            _ => return,
        });
    }
}
